// What a task group holds at one applied offset, as a hash: two replicas that have applied the same entries have the same one, however their files came to be. Over every
// PState in key order and every record of every depot partition; made on request, by reading everything. What is each replica's own is left out: statistics, free ids, what topologies
// keep of themselves.
import { createHash } from "node:crypto";
import type { Env } from "../base/env.ts";
import type { CompiledModule } from "../dataflow/compiled.ts";
import { droppedRange, HEADER_BYTES, PLACE_ROOT, partitionRange } from "../pstate/layout.ts";
import type { Kv, KvSnapshot } from "../storage/kv.ts";
import { positionsIn } from "../storage/store.ts";
import type { TaskGroup } from "./task-group.ts";

export interface GroupContents {
  readonly group: number;
  /** Entries below count. */
  readonly applied: number;
  /** Hexadecimal. To be compared only where `applied` is the same. */
  readonly hash: string;
}

export interface GroupContentsOptions {
  readonly env: Env;
  readonly kv: Kv;
  readonly module: CompiledModule;
  readonly group: TaskGroup;
  readonly objectId: (pstate: string) => number;
  /** Brings what is applied into the Kv. */
  readonly flush: () => Promise<void>;
}

const pageEntries = 500;
const readBytesMax = 1024 * 1024;
/** A group that goes on changing is not waited for longer. */
const tries = 50;
const tryMs = 20;

/** undefined: the group changes all the time, or structures that were dropped are still being removed. */
export async function contentsOf(options: GroupContentsOptions): Promise<GroupContents | undefined> {
  const { env, kv, group, flush } = options;
  for (let left = tries; left > 0; left--) {
    await flush();
    const snapshot = kv.snapshot();
    try {
      const { applied } = positionsIn(snapshot, group.id);
      if (applied === group.replog.applied && !(await isRemoving(options, snapshot)))
        return { group: group.id, applied, hash: await hashOf(options, snapshot) };
    } finally {
      await snapshot.close();
    }
    await env.sleep(tryMs);
  }
  return undefined;
}

async function isRemoving({ module, group, objectId }: GroupContentsOptions, snapshot: KvSnapshot): Promise<boolean> {
  for (const { name } of module.definition.pstates) {
    for (const { id } of group.tasks) {
      const { gte, lt } = droppedRange(objectId(`pstate ${name}`), id);
      if ((await snapshot.range({ gte, lt, limit: 1 })).length > 0) return true;
    }
  }
  return false;
}

async function hashOf(options: GroupContentsOptions, snapshot: KvSnapshot): Promise<string> {
  const { env, module, group, objectId } = options;
  const { depots, pstates } = module.definition;
  const hash = createHash("sha256");
  const length = new DataView(new ArrayBuffer(8));
  const add = (bytes: Uint8Array): void => {
    length.setFloat64(0, bytes.length);
    hash.update(new Uint8Array(length.buffer)).update(bytes);
  };
  // In the turn of the snapshot: what comes later does not count.
  const ranges = group.tasks.flatMap(({ depots: partitions }) =>
    depots.flatMap(({ name, index }) => {
      const partition = partitions[index];
      return partition === undefined ? [] : [{ name, partition, from: partition.startOffset, to: partition.endOffset }];
    }),
  );
  for (const { name } of pstates) {
    add(new TextEncoder().encode(name));
    for (const { id } of group.tasks) {
      let { gte, lt } = partitionRange(objectId(`pstate ${name}`), id);
      for (;;) {
        const entries = await snapshot.range({ gte, lt, limit: pageEntries });
        for (const { key, value } of entries) {
          // Places of the partition itself, but for the root, are each replica's own.
          if (key[HEADER_BYTES] === PLACE_ROOT && key[HEADER_BYTES + 1] !== PLACE_ROOT) continue;
          // The object's number may be another one elsewhere.
          add(key.subarray(3));
          add(value);
        }
        if (entries.length < pageEntries) break;
        const last = entries.at(-1)!.key;
        gte = new Uint8Array(last.length + 1);
        gte.set(last);
      }
    }
  }
  for (const { name, partition, from, to } of ranges) {
    add(new TextEncoder().encode(`${name} ${partition.task} ${from} ${to}`));
    for (let offset = from; offset < to; ) {
      const records = partition.read(offset, to, readBytesMax);
      for (const { bytes, start, end } of records) add(bytes.subarray(start, end));
      offset = records.at(-1)!.offset + 1;
      await new Promise<void>((resolve) => env.nextTurn(resolve));
    }
  }
  return hash.digest("hex");
}
