// The pace of PState migrations on one engine: one PState after the other, its partitions too, a batch of values at a time, as many per second as the options of the
// topology that owns the PState allow. Each batch is a job of its own in a turn, sealed at once, so that what the topology writes and takes back never mixes with it.
import type { Env, Timer } from "../base/env.ts";
import type { SealedWrites } from "../pstate/contract.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import type { PartitionMigration } from "../pstate/migration-run.ts";
import type { CommitLoop } from "./commit-loop.ts";
import type { OptionView } from "./option-view.ts";
import { flexLatencyJobs } from "./run-queue.ts";
import type { Sealer, TaskGroup } from "./task-group.ts";
import { SECTION_WRITES, type TurnEntry } from "./turn-entry.ts";

export interface PStateMigrationsOptions {
  readonly env: Env;
  readonly loop: CommitLoop;
  readonly options: OptionView;
  readonly groups: readonly TaskGroup[];
  /** Name and kind of the topology that writes the PState. */
  readonly ownerOf: (pstate: string) => { readonly name: string; readonly kind: string };
  /** What the log held of the version before is in the Kv afterwards. */
  readonly flush: () => Promise<void>;
  /** Writes of a topology that are neither applied nor in memory may come yet: nothing is rewritten until they have. */
  readonly unsettled: (topology: string) => boolean;
  readonly onFailed: (error: unknown) => void;
}

interface Running {
  readonly group: TaskGroup;
  readonly migration: PartitionMigration;
  readonly sealer: MigrationSealer;
}

/** What the jobs of this turn have sealed. */
class MigrationSealer implements Sealer {
  #sealed: SealedWrites[] = [];

  constructor(readonly group: TaskGroup) {}

  add(sealed: SealedWrites): void {
    this.#sealed.push(sealed);
    this.group.changedFirstBy(this);
  }

  seal(entry: TurnEntry): void {
    for (const sealed of this.#sealed) entry.add(SECTION_WRITES, sealed.bytes, () => sealed.apply());
    this.#sealed = [];
  }
}

export class PStateMigrations {
  readonly #options: PStateMigrationsOptions;
  readonly #all: Running[] = [];
  #timer: Timer | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  #closed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: PStateMigrationsOptions) {
    this.#options = options;
    for (const group of options.groups) {
      const sealer = new MigrationSealer(group);
      for (const migration of group.pstates.migrations()) this.#all.push({ group, migration, sealer });
    }
  }

  /** Before anything else is written. Its entries are in the next turn. */
  begin(): void {
    for (const { migration, sealer } of this.#all) {
      const sealed = migration.begin();
      if (sealed !== undefined) sealer.add(sealed);
    }
    if (this.#all.length > 0) this.#options.loop.wake();
  }

  /** The engine serves: the background part may go on. */
  start(): void {
    if (this.#all.every(({ migration }) => migration.done)) return;
    this.#running = this.#run().catch((error: unknown) => {
      if (!this.#closed) this.#options.onFailed(error);
    });
  }

  status(): readonly MigrationStatus[] {
    return this.#all.map(({ migration }) => migration.status).filter(({ ids }) => ids.length > 0);
  }

  async #run(): Promise<void> {
    await this.#options.flush();
    for (const running of this.#inOrder()) {
      while (!this.#closed && !running.migration.done) await this.#batch(running);
      await running.migration.stop();
    }
  }

  /** By PState, then by task. */
  #inOrder(): Running[] {
    const names = [...new Set(this.#all.map(({ migration }) => migration.pstate))];
    const rank = ({ migration }: Running) => names.indexOf(migration.pstate) * 0x10000 + migration.taskId;
    return this.#all.toSorted((a, b) => rank(a) - rank(b));
  }

  async #batch({ migration, sealer }: Running): Promise<void> {
    const { options, ownerOf, unsettled } = this.#options;
    const owner = ownerOf(migration.pstate);
    const prefix = `topology.${owner.kind}.migration.max.paths.per.`;
    const paths = options.number(`${prefix}batch`, owner.name);
    const perSecond = options.number(`${prefix}second`, owner.name);
    const isFound = await migration.look(paths);
    if (this.#closed) return;
    let isIdle = !isFound;
    if (isFound && !unsettled(owner.name)) {
      await this.#inTurn(() => {
        const sealed = migration.step(paths);
        if (sealed !== undefined) sealer.add(sealed);
        else isIdle = true;
      });
    }
    if (migration.done || this.#closed) return;
    // Looking alone is cheap, and what waits for the topology comes soon: a tenth of the time.
    await this.#sleep(((isIdle ? 100 : 1000) * Math.min(paths, perSecond)) / perSecond);
  }

  #inTurn(fn: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#options.loop.push(flexLatencyJobs, {
        run: () => {
          if (!this.#closed) fn();
          resolve();
          return undefined;
        },
      });
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#options.env.setTimer(Math.max(1, Math.ceil(ms)), resolve);
    });
  }

  /** No batch begins any more. */
  stop(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.stop();
    await this.#running;
  }
}
