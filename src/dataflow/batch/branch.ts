// Branches of a batch's pre-agg while it is built: each is an open end of code with the vars bound on the way to it, and which of them may be joined on.
import type { Place } from "../flow-graph.ts";
import type { BlockNode, NodeOf } from "../nodes.ts";
import type { Scope } from "../scope.ts";

/** Name of the hidden var that tells executions of a batch block apart. */
export const instanceVar = "@instance";

/** Hidden vars are not what rows are joined on. */
function isHidden(name: string): boolean {
  return name.startsWith("@");
}

export interface Branch {
  place: Place;
  /** Sources whose rows come here. */
  readonly roots: ReadonlySet<number>;
  /** Its first node, for messages. */
  readonly first: BlockNode;
  /** `**v`, and `*___v` of before: not joined on. */
  readonly unground: Set<string>;
  /** It has bound a `**` var: rows of the other side without partner stay. */
  optional: boolean;
  /** It only waits to be joined. */
  frozen: boolean;
  /** A partitioner that stands directly before the aggregation. */
  final: NodeOf<"partition"> | undefined;
  /** The last one that was built. */
  last: NodeOf<"partition"> | undefined;
}

/** Names bound since the batch block began, newest first, each once. */
export function namesSince(scope: Scope, outside: Scope | undefined): string[] {
  const names = new Set<string>();
  for (let at: Scope | undefined = scope; at !== undefined && at !== outside; at = at.parent) {
    if (at.binding !== undefined && !isHidden(at.binding.name)) names.add(at.binding.name);
  }
  return [...names];
}

export interface Names {
  readonly ground: ReadonlySet<string>;
  readonly all: ReadonlySet<string>;
  readonly frozen: boolean;
}

export function namesOf(branch: Branch, outside: Scope): Names {
  const all = new Set(namesSince(branch.place.scope, outside));
  const ground = new Set([...all].filter((name) => !branch.unground.has(name)));
  return { ground, all, frozen: branch.frozen };
}

/** What two sources are joined on; undefined where they cannot be joined. */
export function joinKeys(a: Names, b: Names): string[] | undefined {
  const keys = [...a.ground].filter((name) => b.ground.has(name));
  if (keys.length === 0) return undefined;
  // Rows without partner leave nulls, and a ground var is never null for that reason.
  if (a.frozen && keys.length < a.ground.size) return undefined;
  if (b.frozen && keys.length < b.ground.size) return undefined;
  for (const name of a.all) if (b.all.has(name) && !keys.includes(name)) return undefined;
  return keys;
}

/** Ground vars of optional sources that keep them from being joined: no other source has them. */
export function hindrances(branches: readonly Names[]): string[] {
  return branches.flatMap((branch) => {
    if (!branch.frozen) return [];
    const others = branches.filter((other) => other !== branch);
    return [...branch.ground].filter((name) => !others.some(({ ground }) => ground.has(name)));
  });
}

export function joinedNames(a: Names, b: Names): Names {
  return {
    ground: new Set([...a.ground, ...b.ground]),
    all: new Set([...a.all, ...b.all]),
    frozen: false,
  };
}

/** The shortest order of joins that begins with `start` and ends in one branch that `fits`. */
export function findJoins(
  start: Names,
  others: readonly { readonly branch: Branch; readonly names: Names }[],
  fits: (names: Names, joined: number) => boolean,
): Branch[] | undefined {
  let level: { readonly names: Names; readonly path: Branch[] }[] = [{ names: start, path: [] }];
  for (let length = 1; length <= others.length; length++) {
    const next: typeof level = [];
    for (const { names, path } of level) {
      for (const other of others) {
        if (path.includes(other.branch) || joinKeys(names, other.names) === undefined) continue;
        const joined = joinedNames(names, other.names);
        if (fits(joined, length)) return [...path, other.branch];
        next.push({ names: joined, path: [...path, other.branch] });
      }
    }
    level = next;
  }
  return undefined;
}
