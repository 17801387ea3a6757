// One task group: its tasks, its view of the engine's log, and what of it the running turn has changed. Does not know whose thread it has.
import type { PStateGroup } from "../pstate/contract.ts";
import type { GroupReplog } from "../replication/replog.ts";
import type { Task } from "./task.ts";
import type { TurnEntry } from "./turn-entry.ts";

/** Adds what it changed in the turn to the group's entry. */
export interface Sealer {
  /** Before any sealer of the turn seals: what belongs to other groups' entries is given to them. */
  prepare?(): void;
  seal(entry: TurnEntry): void;
}

export class TaskGroup {
  #changed: Sealer[] = [];
  readonly #changedLazily = new Set<Sealer>();

  constructor(
    readonly id: number,
    readonly tasks: readonly Task[],
    readonly pstates: PStateGroup,
    readonly replog: GroupReplog,
  ) {}

  get hasChanges(): boolean {
    return this.#changed.length > 0;
  }

  get hasLazyChanges(): boolean {
    return this.#changedLazily.size > 0;
  }

  /** The turn must write what the sealer changed. */
  changedBy(sealer: Sealer): void {
    if (!this.#changed.includes(sealer)) this.#changed.push(sealer);
  }

  /** The same, and its part stands before those of the others: what they write later in the turn counts. */
  changedFirstBy(sealer: Sealer): void {
    if (!this.#changed.includes(sealer)) this.#changed.unshift(sealer);
  }

  /**
   * No entry need be written for this alone. It goes with the next turn that writes anything, in whatever group: the end of a record must not be written later
   * than the last of its effects.
   */
  changedLazilyBy(sealer: Sealer): void {
    this.#changedLazily.add(sealer);
  }

  prepare(): void {
    for (const sealer of this.#changedLazily) this.changedBy(sealer);
    this.#changedLazily.clear();
    for (const sealer of this.#changed) sealer.prepare?.();
  }

  takeChanged(): readonly Sealer[] {
    const changed = this.#changed;
    if (changed.length > 0) this.#changed = [];
    return changed;
  }
}
