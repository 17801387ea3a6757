// One partition over a Kv in memory, and short forms of schemas.
import type { SchemaNode } from "../../../src/module/schema.ts";
import { type IndexedMap, ReadSession } from "../../../src/paths/indexed.ts";
import { openPStateGroup } from "../../../src/pstate/group.ts";
import type { Partition } from "../../../src/pstate/partition.ts";
import type { Kv } from "../../../src/storage/kv.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";

export const leaf = (type: any): SchemaNode => ({ kind: "leaf", type });
export const sub = { subindexed: { sizeTracking: true } };
export const untracked = { subindexed: { sizeTracking: false } };
export const map = (key: any, value: SchemaNode, more: object = {}): SchemaNode => ({
  kind: "map",
  key,
  value,
  ...more,
});
export const set = (element: any, more: object = {}): SchemaNode => ({ kind: "set", element, ...more });
export const list = (element: SchemaNode, more: object = {}): SchemaNode => ({ kind: "list", element, ...more });
export const fixed = (fields: Record<string, SchemaNode>): SchemaNode => ({
  kind: "fixed",
  fields: new Map(Object.entries(fields)),
});

/** `migrated(to, "id", fn).migrateToSubindexed()` */
export const migrated = (
  to: SchemaNode,
  id: string,
  migrate: (value: any) => unknown,
  changes: object = {},
): SchemaNode => ({
  kind: "migrated",
  to,
  id,
  migrate,
  options: { toSubindexed: false, addedKeys: [], removedKeys: [], ...changes },
});

interface Options {
  readonly cacheBytes?: number;
  readonly initialValue?: unknown;
  readonly deepValidation?: boolean;
}

export async function openOne(schema: SchemaNode, options: Options = {}) {
  return onePartition(await memoryKv().open("store"), schema, options);
}

function onePartition(kv: Kv, schema: SchemaNode, options: Options) {
  const group = openPStateGroup({
    kv,
    groupId: 0,
    tasks: [5],
    specs: [{ objectId: 1, name: "$$p", schema, initialValue: options.initialValue }],
    cacheBytes: options.cacheBytes ?? 1 << 20,
    deepValidation: options.deepValidation ?? true,
  });
  const transaction = group.transaction();
  const partition = group.partition(1, 5);
  return {
    group,
    transaction,
    partition,
    own: () => partition.owner(transaction, new ReadSession()).get() as IndexedMap,
    outside: () => partition.external(new ReadSession()).get() as IndexedMap,
    commit: () => transaction.seal()?.apply(),
    /** What the engine does when it begins; then the background part, `max` places at a time, until it is done or `steps` are. */
    migrate: async (max = 100, steps = 1000) => {
      const [migration] = group.migrations();
      migration!.begin()?.apply();
      let count = 0;
      for (; count < steps && !migration!.done; count++) {
        await migration!.look(max);
        migration!.step(max)?.apply();
      }
      return { ...migration!.status, steps: count };
    },
    flush: async () => {
      const { ops, done } = group.collect();
      await kv.batch(ops, { sync: true });
      done();
    },
    /** Places of the stored keys, in hexadecimal. */
    keys: async () => {
      const entries = await kv.range({ gte: Uint8Array.of(0x50), lt: Uint8Array.of(0x51) });
      return entries.map(({ key }) => Buffer.from(key.subarray(5)).toString("hex"));
    },
    cachedNodes: () => (partition as Partition).cache.nodes,
    /** Another process on the same store. */
    reopen: async () => onePartition(kv, schema, options),
    /** A later version of the module on it. */
    reopenWith: async (later: SchemaNode) => onePartition(kv, later, options),
  };
}
