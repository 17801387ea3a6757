// Looks through what the Kv holds of a partition for values that a migration has not been written for yet, page by page, from the top down; elements of nested
// structures come behind the element that they stand in. What is in memory and not in the Kv has been written by this version of the module, and is stamped; the
// driver flushes what it found in the log before it begins (task/pstate-migrations.ts).
import { latin1Of } from "../base/bytes.ts";
import { decodeKey } from "../base/key-decoding.ts";
import { keyEnd, keyStart } from "./layout.ts";
import { stampIn } from "./migration.ts";
import { type Node, UNKNOWN } from "./node-cache.ts";
import type { Partition } from "./partition.ts";
import { idsOf } from "./stored-value.ts";
import { joinOrder, type Structure } from "./structure.ts";
import type { ValueType } from "./value-type.ts";

const pageEntries = 256;

/** A value that the Kv held in an older form when it was looked at. */
export interface Candidate {
  readonly level: Level;
  readonly key: unknown;
  readonly type: ValueType;
  /** Orders of the elements on the way, its own last: where to go on after it. */
  readonly cursor: readonly string[];
}

/** One structure that is walked through. */
export class Level {
  #structure: Structure;

  constructor(
    structure: Structure,
    readonly above: { readonly level: Level; readonly key: unknown; readonly type: ValueType } | undefined,
  ) {
    this.#structure = structure;
  }

  get structure(): Structure {
    if (this.#structure.gone) this.#structure = this.#structure.partition.revive(this.#structure);
    return this.#structure;
  }

  /** Its element above still refers to it. */
  get alive(): boolean {
    if (this.above === undefined) return true;
    const { level, key, type } = this.above;
    if (!level.alive) return false;
    const { structure } = level;
    const node = structure.node(key);
    return idsOf(type, structure.currentOf(node)).has(this.#structure.id);
  }
}

/** `undefined` now and then where there is nothing to do, so that the caller can rest. */
export async function* candidates(
  partition: Partition,
  top: Structure,
  from: readonly string[] | null,
): AsyncGenerator<Candidate | undefined> {
  if (top.type!.migratesBelow) yield* below(partition, new Level(top, undefined), from ?? [], []);
}

async function* below(
  partition: Partition,
  level: Level,
  resume: readonly string[],
  path: readonly string[],
): AsyncGenerator<Candidate | undefined> {
  const { cache } = partition;
  const { prefix } = level.structure;
  let from = resume[0] ?? keyStart;
  for (;;) {
    const lt = joinOrder(prefix, keyEnd);
    const page = await cache.kv.range({ gte: joinOrder(prefix, from), lt, limit: pageEntries });
    const entries = page.map(({ key, value }) => ({
      order: latin1Of(key, prefix.length),
      stamp: stampIn(value, 0),
    }));
    for (const { order, stamp } of entries) {
      const key = keyOf(level.structure, order);
      const element = level.structure.valueType(key);
      const cursor = [...path, order];
      if (element.migration !== undefined && stamp !== partition.migrations.stampOf(element.migration))
        yield { level, key, type: element, cursor };
      if (!descends(element)) continue;
      const rest = order === resume[0] ? resume.slice(1) : [];
      for (const [id, inner] of innerOf(level, key, element)) {
        if (!inner.structure!.migratesBelow) continue;
        const child = partition.structureAt(inner.structure!, id, level.structure, key);
        const down = new Level(child, { level, key, type: element });
        yield* below(partition, down, rest, cursor);
      }
    }
    if (page.length < pageEntries) return;
    from = `${entries.at(-1)!.order}\0`;
    yield undefined;
  }
}

function keyOf(structure: Structure, order: string): unknown {
  const { prefix, type, cache } = structure;
  return decodeKey(joinOrder(prefix, order), prefix.length, type!.key.leaf, cache.classes);
}

/** Structures stand in it. */
function descends(type: ValueType): boolean {
  return type.holds;
}

function innerOf(level: Level, key: unknown, type: ValueType): Map<number, ValueType> {
  const { structure } = level;
  return idsOf(type, structure.currentOf(structure.node(key)));
}

/** Nobody has written it and not committed yet: what everyone sees is what its owner sees. */
export function isSettled(node: Node): boolean {
  if (node.current === UNKNOWN || node.applied === UNKNOWN) node.structure.cache.load(node);
  return node.current === node.applied;
}
