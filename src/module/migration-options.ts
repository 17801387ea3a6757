// What a PState migration says beside its function: which changes of the way a value is stored are meant. They are asked for so that an update that was not
// meant to do them is refused (schema-compatibility.ts).
import { RamaError } from "../base/errors.ts";
import { declared } from "./draft.ts";
import type { MigrationChanges } from "./schema.ts";

/** `MigrationOptions.migrateToSubindexed()`; options chain, and every builder gives a new object. */
export class MigrationOptions implements MigrationChanges {
  readonly toSubindexed: boolean;
  readonly addedKeys: readonly string[];
  readonly removedKeys: readonly string[];

  private constructor(changes: MigrationChanges) {
    this.toSubindexed = changes.toSubindexed;
    this.addedKeys = Object.freeze([...changes.addedKeys]);
    this.removedKeys = Object.freeze([...changes.removedKeys]);
    Object.freeze(this);
  }

  static readonly none = new MigrationOptions({ toSubindexed: false, addedKeys: [], removedKeys: [] });

  /** The collection, stored whole so far, becomes subindexed. */
  static migrateToSubindexed(): MigrationOptions {
    return MigrationOptions.none.migrateToSubindexed();
  }

  static addFixedKeys(...keys: string[]): MigrationOptions {
    return MigrationOptions.none.addFixedKeys(...keys);
  }

  static removeFixedKeys(...keys: string[]): MigrationOptions {
    return MigrationOptions.none.removeFixedKeys(...keys);
  }

  migrateToSubindexed(): MigrationOptions {
    return new MigrationOptions({ ...this, toSubindexed: true });
  }

  addFixedKeys(...keys: string[]): MigrationOptions {
    return new MigrationOptions({ ...this, addedKeys: [...this.addedKeys, ...names(keys)] });
  }

  /** Fields of that name are left out of what the function returns. */
  removeFixedKeys(...keys: string[]): MigrationOptions {
    return new MigrationOptions({ ...this, removedKeys: [...this.removedKeys, ...names(keys)] });
  }

  /** Several, given one after the other. */
  static of(options: readonly unknown[]): MigrationOptions {
    return options.reduce<MigrationOptions>((all, each) => {
      if (!(each instanceof MigrationOptions))
        throw new RamaError("BAD_SCHEMA", "options of a migration are made by MigrationOptions, or chained to it");
      return new MigrationOptions({
        toSubindexed: all.toSubindexed || each.toSubindexed,
        addedKeys: [...all.addedKeys, ...each.addedKeys],
        removedKeys: [...all.removedKeys, ...each.removedKeys],
      });
    }, MigrationOptions.none);
  }
}

function names(keys: readonly string[]): readonly string[] {
  return declared(() => {
    if (keys.length === 0 || keys.some((key) => typeof key !== "string"))
      throw new RamaError("BAD_SCHEMA", 'name the fixed keys: addFixedKeys("since", "count")');
    return keys;
  });
}
