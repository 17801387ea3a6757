// The background part of a partition's migrations: a few values at a time are brought into their new form on disk, by writes of a transaction of its own beside that of
// the topology. They change nothing that anyone sees. A value that the topology is writing just now is left alone and looked at again; what it writes is in the new
// form anyway. How far the walk is stands in the same writes (migration-record.ts), so that a crash between any two steps loses nothing and does nothing twice.
import { assert } from "../base/assert.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import { ReadSession } from "../paths/indexed.ts";
import type { SealedWrites } from "./contract.ts";
import { isMigrated, Unmigrated } from "./migration.ts";
import type { MigrationRecord } from "./migration-record.ts";
import { type Candidate, candidates, isSettled } from "./migration-walk.ts";
import type { Partition } from "./partition.ts";
import { makeSubindexed } from "./pending.ts";
import type { Transaction } from "./transaction.ts";
import { View } from "./view.ts";

export class PartitionMigration {
  readonly #partition: Partition;
  readonly #transaction: Transaction;
  #walk: AsyncGenerator<Candidate | undefined> | undefined = undefined;
  #waiting: Candidate[] = [];
  /** The walk is through. */
  #ended = false;

  constructor(partition: Partition, transaction: Transaction) {
    this.#partition = partition;
    this.#transaction = transaction;
  }

  get pstate(): string {
    return this.#partition.spec.name;
  }

  get taskId(): number {
    return this.#partition.taskId;
  }

  get done(): boolean {
    const { record, all } = this.#partition.migrations;
    return all.length === 0 || (record.done && this.#partition.migrations.begun() === undefined);
  }

  get status(): MigrationStatus {
    const { migrations } = this.#partition;
    return {
      object: this.pstate,
      task: this.taskId,
      ids: migrations.all.map(({ id }) => id),
      done: this.done,
      rewritten: migrations.record.rewritten,
    };
  }

  /** Notes which migrations this version of the module has; undefined: that is known. Before anything else of the version is written. */
  begin(): SealedWrites | undefined {
    const begun = this.#partition.migrations.begun();
    if (begun === undefined) return undefined;
    return this.#seal(begun);
  }

  /** Finds up to `max` values to rewrite; not inside a turn. False: there are none now, and there may be later. */
  async look(max: number): Promise<boolean> {
    const { type, migrations } = this.#partition;
    if (type.kind === "leaf") return !this.done;
    if (this.#walk === undefined) {
      const top = this.#partition.rootStructure(this.#view());
      this.#walk = candidates(this.#partition, top, migrations.record.cursor);
    }
    for (let rests = 0; this.#waiting.length < max && !this.#ended && rests < 4; ) {
      const next = await this.#walk.next();
      if (next.done === true) this.#ended = true;
      else if (next.value === undefined) rests++;
      else this.#waiting.push(next.value);
    }
    return this.#waiting.length > 0 || this.#ended;
  }

  /** In a turn: rewrites what `look` has found, about `max` places, and says how far it is. undefined: nothing could be done now. */
  step(max: number): SealedWrites | undefined {
    const { migrations, type } = this.#partition;
    const { record } = migrations;
    if (record.done) return undefined;
    if (type.kind === "leaf") return this.#root(record);
    let cursor = record.cursor;
    let rewritten = record.rewritten;
    for (let left = max; left > 0 && this.#waiting.length > 0; ) {
      const candidate = this.#waiting[0]!;
      const places = this.#rewrite(candidate);
      if (places === undefined) break;
      this.#waiting.shift();
      cursor = candidate.cursor;
      if (places > 0) rewritten++;
      left -= Math.max(1, places);
    }
    const done = this.#ended && this.#waiting.length === 0;
    if (cursor === record.cursor && rewritten === record.rewritten && !done) return undefined;
    return this.#seal({ ...record, cursor, rewritten, done });
  }

  #root(record: MigrationRecord): SealedWrites | undefined {
    const { root, type } = this.#partition;
    if (type.kind !== "leaf" || !isSettled(root)) return undefined;
    const stored = root.current !== undefined && !isMigrated(root, type.value.migration!);
    if (stored) this.#transaction.rewrite(root);
    return this.#seal({ ...record, done: true, rewritten: record.rewritten + (stored ? 1 : 0) });
  }

  /** How many places were written; undefined: the topology has it in hand. */
  #rewrite({ level, key, type }: Candidate): number | undefined {
    if (!level.alive) return 0;
    const { structure } = level;
    const node = structure.node(key);
    if (!isSettled(node)) return undefined;
    const { current } = node;
    if (current === undefined || isMigrated(node, type.migration!)) return 0;
    if (!(current instanceof Unmigrated)) {
      this.#transaction.rewrite(node);
      return 1;
    }
    makeSubindexed(this.#view(), type, node, current);
    return 1 + sizeOf(current.value);
  }

  #view(): View {
    return new View(this.#partition, this.#transaction, new ReadSession());
  }

  #seal(record: MigrationRecord): SealedWrites | undefined {
    const { recordNode } = this.#partition;
    this.#transaction.write(recordNode, record);
    this.#partition.migrations.replaced();
    const sealed = this.#transaction.seal();
    assert(sealed !== undefined, "a migration that goes on writes how far it is");
    return sealed;
  }

  /** The process goes on without it. */
  async stop(): Promise<void> {
    await this.#walk?.return(undefined);
  }
}

function sizeOf(value: unknown): number {
  if (value instanceof Map || value instanceof Set) return value.size;
  return Array.isArray(value) ? value.length : 0;
}
