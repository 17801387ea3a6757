// Names in scope, as an immutable chain from the newest binding to the oldest, and what is in scope where branches meet again (language.md 2.3).
import type { Binding } from "./flow.ts";

export class Scope {
  readonly parent: Scope | undefined;
  readonly depth: number;

  private constructor(
    parent: Scope | undefined,
    readonly binding: Binding | undefined,
  ) {
    this.parent = parent;
    this.depth = parent === undefined ? 0 : parent.depth + 1;
  }

  static readonly empty = new Scope(undefined, undefined);

  with(binding: Binding): Scope {
    return new Scope(this, binding);
  }

  lookup(name: string): Binding | undefined {
    for (let at: Scope | undefined = this; at !== undefined; at = at.parent) {
      if (at.binding?.name === name) return at.binding;
    }
    return undefined;
  }

  /** What an author may have meant: without hidden vars. */
  shownNames(): string[] {
    return this.names().filter((name) => !name.startsWith("@"));
  }

  names(): string[] {
    const names = new Set<string>();
    for (let at: Scope | undefined = this; at !== undefined; at = at.parent) {
      if (at.binding !== undefined) names.add(at.binding.name);
    }
    return [...names];
  }
}

function commonAncestor(a: Scope, b: Scope): Scope {
  let [x, y] = [a, b];
  while (x !== y) {
    if (x.depth >= y.depth) x = x.parent!;
    else y = y.parent!;
  }
  return x;
}

export interface Joined {
  readonly scope: Scope;
  readonly params: readonly Binding[];
  /** By branch: the binding that each param takes its value from. */
  readonly args: readonly (readonly Binding[])[];
}

/**
 * Where branches meet: names bound before the split, plus names bound on every branch. A name from before that only some branches rebound keeps its
 * original value; one that all rebound has each branch's own, as a parameter of what follows.
 */
export function join(scopes: readonly Scope[], fresh: (name: string) => Binding): Joined {
  const before = scopes.reduce(commonAncestor);
  const params: Binding[] = [];
  const args: Binding[][] = scopes.map(() => []);
  let scope = before;
  const names = scopes.map((each) => new Set(each.names()));
  for (const name of names[0]!) {
    if (!names.every((set) => set.has(name))) continue;
    const bindings = scopes.map((each) => each.lookup(name)!);
    const original = before.lookup(name);
    if (original !== undefined && bindings.includes(original)) continue;
    if (bindings.every((binding) => binding === bindings[0])) {
      scope = scope.with(bindings[0]!);
      continue;
    }
    const param = fresh(name);
    params.push(param);
    for (const [i, binding] of bindings.entries()) args[i]!.push(binding);
    scope = scope.with(param);
  }
  return { scope, params, args };
}
