// What a partition remembers of its migrations, under the place `00 04` (layout.ts): written like any other value, so that it goes through the log.
//   { names: [place and id of each migration], generations: Map name → how often it has left the schema, cursor, done, rewritten }
// The partition's migrations run together: when one of the names changes, all begin anew; values that carry the stamp of one that stays are passed over.
import { nameOf, stampOf, type ValueMigration } from "./migration.ts";

export interface MigrationRecord {
  readonly names: readonly string[];
  readonly generations: ReadonlyMap<string, number>;
  /** Encoded keys (latin1) of the last element that has been looked at, the top level's first; null: from the beginning. */
  readonly cursor: readonly string[] | null;
  readonly done: boolean;
  /** Values that have been brought into the new form, in the background. */
  readonly rewritten: number;
}

const nothing: MigrationRecord = { names: [], generations: new Map(), cursor: null, done: true, rewritten: 0 };

/** The migrations of one partition: their stamps and how far they are. */
export class PartitionMigrations {
  readonly all: readonly ValueMigration[];
  readonly #record: () => MigrationRecord | undefined;
  readonly #stamps = new Map<ValueMigration, number>();

  constructor(all: readonly ValueMigration[], record: () => MigrationRecord | undefined) {
    this.all = all;
    this.#record = record;
  }

  get record(): MigrationRecord {
    return this.#record() ?? nothing;
  }

  stampOf(migration: ValueMigration): number {
    let stamp = this.#stamps.get(migration);
    if (stamp === undefined) {
      stamp = stampOf(migration, this.record.generations.get(nameOf(migration)) ?? 0);
      this.#stamps.set(migration, stamp);
    }
    return stamp;
  }

  /** The record with which this version of the module begins; undefined: the present one will do. */
  begun(): MigrationRecord | undefined {
    const { record } = this;
    const names = this.all.map(nameOf).sort();
    if (names.length === record.names.length && names.every((name, i) => name === record.names[i])) return undefined;
    const generations = new Map(record.generations);
    for (const name of record.names) {
      if (!names.includes(name)) generations.set(name, (generations.get(name) ?? 0) + 1);
    }
    return { names, generations, cursor: null, done: names.length === 0, rewritten: 0 };
  }

  /** The log has brought another record. */
  replaced(): void {
    this.#stamps.clear();
  }
}
