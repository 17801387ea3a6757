// May values that were written under one schema be read under another? Pure, over the schemas' texts (contract.ts).
//
//   without a wrapper   widening only: a class above or Object; a whole collection of anything is its class, and back; further fixed keys
//   PState.migrated     any change of values that are stored whole; whole to subindexed with `migrateToSubindexed`; fixed keys with `addFixedKeys`, `removeFixedKeys`.
//                       What is subindexed below such a value stays as it is. The same id goes on and keeps its schema; another id begins anew
//   wrapper left out    once the migration is complete
import type { SchemaText } from "./contract.ts";

type Migrated = Extract<SchemaText, { kind: "migrated" }>;
type Fixed = Extract<SchemaText, { kind: "fixed" }>;

/** Where a migration stands that may not stand there; undefined when all is well. */
export function misplacedMigration(schema: SchemaText): string | undefined {
  if (schema.kind === "migrated" && (schema.to.kind === "map" || schema.to.kind === "fixed"))
    return `migration ${schema.id} is around the whole PState, which is stored element by element`;
  if (schema.kind === "map") return misplaced(schema.value, true);
  if (schema.kind !== "fixed") return misplaced(schema, true);
  return firstOf(Object.values(schema.fields), (field) => fieldMisplaced(field));
}

function misplaced(node: SchemaText, mayMigrate: boolean): string | undefined {
  switch (node.kind) {
    case "leaf":
    case "set":
      return undefined;
    case "migrated":
      if (!mayMigrate) {
        return `migration ${node.id} stands around an element, or inside a value that is stored whole; it belongs around the value of a top-level or subindexed map`;
      }
      return changesMisplaced(node) ?? misplaced(node.to, false);
    case "map":
      return misplaced(node.value, node.subindexed !== "no");
    case "list":
      return misplaced(node.element, false);
    case "fixed":
      return firstOf(Object.values(node.fields), (field) => fieldMisplaced(field));
  }
}

function fieldMisplaced(field: SchemaText): string | undefined {
  if (field.kind !== "migrated") return misplaced(field, false);
  return `migration ${field.id} is around one key of fixed keys; it belongs around the whole`;
}

function changesMisplaced({ id, to, changes }: Migrated): string | undefined {
  if (changes === undefined) return undefined;
  if (changes.toSubindexed && !isSubindexed(to))
    return `migration ${id} says migrateToSubindexed and its schema is not subindexed`;
  if (changes.addedKeys.length + changes.removedKeys.length === 0) return undefined;
  if (to.kind !== "fixed") return `migration ${id} adds or removes fixed keys and its schema has none`;
  const wrong = [
    ...changes.addedKeys.filter((key) => !(key in to.fields)),
    ...changes.removedKeys.filter((key) => key in to.fields),
  ];
  return wrong.length === 0
    ? undefined
    : `migration ${id} names fixed keys that its schema says otherwise of: ${wrong.join(", ")}`;
}

/**
 * Why values of `old` cannot be read as `now`, in words that follow the PState's name; undefined when they can. `finished`: the migrations of the running version
 * have come to their end.
 */
export function schemaProblem(old: SchemaText, now: SchemaText, finished: boolean): string | undefined {
  return new Comparison(finished).root(old, now);
}

class Comparison {
  readonly #finished: boolean;

  constructor(finished: boolean) {
    this.#finished = finished;
  }

  /** The top of a map or of fixed keys is stored element by element; what is below is whole unless it is subindexed. */
  root(old: SchemaText, now: SchemaText): string | undefined {
    if (old.kind === "map" && now.kind === "map")
      return keyProblem(old.key, now.key, "its keys") ?? this.#value(old.value, now.value, "its values");
    if (old.kind === "fixed" && now.kind === "fixed") return this.#fields(old, now, "its fixed keys");
    if (old.kind === "map" || old.kind === "fixed" || now.kind === "map" || now.kind === "fixed")
      return `changes from ${name(old)} to ${name(now)} at its top, which is stored in another way`;
    return this.#value(old, now, "its value");
  }

  #value(old: SchemaText, now: SchemaText, where: string): string | undefined {
    if (now.kind === "migrated") return this.#migrated(old, now, where);
    if (old.kind === "migrated") {
      if (this.#finished) return this.#value(old.to, now, where);
      return `drops migration ${old.id} of ${where}, which is still running: leave the wrapper until moduleStatus says that it is complete`;
    }
    const changed = `changes ${where} from ${name(old)} to ${name(now)}; wrap the new schema in PState.migrated, or use a new PState`;
    if (now.kind === "leaf") return wholeAs(old, now.type) ? undefined : changed;
    if (old.kind === "leaf") return old.type === wholeClass(now) && isAnything(now) ? undefined : changed;
    if (old.kind === "fixed" && now.kind === "fixed") return this.#fields(old, now, where);
    if (old.kind === "map" && now.kind === "map" && old.subindexed === now.subindexed)
      return (
        keyProblem(old.key, now.key, `keys in ${where}`) ?? this.#value(old.value, now.value, `values in ${where}`)
      );
    if (old.kind === "set" && now.kind === "set" && old.subindexed === now.subindexed)
      return keyProblem(old.element, now.element, `elements in ${where}`);
    if (old.kind === "list" && now.kind === "list" && old.subindexed === now.subindexed)
      return this.#value(old.element, now.element, `elements in ${where}`);
    return changed;
  }

  #fields(old: Fixed, now: Fixed, where: string): string | undefined {
    return firstOf(Object.entries(old.fields), ([key, before]) => {
      const after = now.fields[key];
      if (after === undefined) {
        return `loses the fixed key ${key} in ${where}; keep it, or migrate the whole value and say removeFixedKeys`;
      }
      return this.#value(before, after, `${key} in ${where}`);
    });
  }

  #migrated(old: SchemaText, now: Migrated, where: string): string | undefined {
    if (old.kind === "migrated" && old.id === now.id) {
      const changed = this.#value(old.to, now.to, where);
      return changed === undefined
        ? undefined
        : `${changed} (migration ${now.id} goes on: another schema needs another id)`;
    }
    const base = old.kind === "migrated" ? old.to : old;
    const goesOn = old.kind === "migrated" && !this.#finished;
    if (isSubindexed(now.to)) return this.#toSubindexed(base, now, where, goesOn && old.changes?.toSubindexed === true);
    if (isSubindexed(base))
      return `migrates ${where} from ${name(base)} to ${name(now.to)}: what is subindexed stays so`;
    return this.#keysNamed(base, now, where, old.kind === "migrated") ?? this.#structuresInside(base, now, where);
  }

  /** `unfinished`: some values may be whole yet, although `base` says subindexed. */
  #toSubindexed(base: SchemaText, now: Migrated, where: string, unfinished: boolean): string | undefined {
    const said = now.changes?.toSubindexed === true;
    if (!isSubindexed(base)) {
      if (!said) return `makes ${where} subindexed: migration ${now.id} has to say migrateToSubindexed`;
      if (!holdsStructures(base)) return undefined;
      return `makes ${where} subindexed, which have subindexed structures inside already: use a new PState`;
    }
    if (!said || !unfinished) {
      return `migrates ${where}, which are subindexed already; put migrations around the values inside, or use a new PState`;
    }
    return this.#value(base, now.to, where);
  }

  #keysNamed(base: SchemaText, now: Migrated, where: string, again: boolean): string | undefined {
    const { to, changes } = now;
    if (to.kind !== "fixed" || base.kind !== "fixed") return undefined;
    const added = Object.keys(to.fields).filter((key) => !(key in base.fields));
    const removed = Object.keys(base.fields).filter((key) => !(key in to.fields));
    const unnamed = [
      ...added.filter((key) => !changes?.addedKeys.includes(key)).map((key) => `addFixedKeys("${key}")`),
      ...removed.filter((key) => !changes?.removedKeys.includes(key)).map((key) => `removeFixedKeys("${key}")`),
    ];
    if (unnamed.length > 0)
      return `changes the fixed keys of ${where}: migration ${now.id} has to say ${unnamed.join(", ")}`;
    if (again) return undefined;
    const extra = [
      ...(changes?.addedKeys ?? []).filter((key) => !added.includes(key)),
      ...(changes?.removedKeys ?? []).filter((key) => !removed.includes(key)),
    ];
    return extra.length === 0
      ? undefined
      : `does not change ${extra.join(", ")} in ${where}, and migration ${now.id} names them`;
  }

  /** Subindexed structures below a migrated value have no part in it. */
  #structuresInside(base: SchemaText, { id, to }: Migrated, where: string): string | undefined {
    if (!holdsStructures(base) && !holdsStructures(to)) return undefined;
    if (base.kind !== "fixed" || to.kind !== "fixed") {
      const changed = this.#value(base, to, where);
      return changed === undefined ? undefined : `${changed} (what is subindexed below ${where} stays as it is)`;
    }
    const keys = new Set([...Object.keys(base.fields), ...Object.keys(to.fields)]);
    return firstOf(keys, (key) => {
      const before = base.fields[key];
      const after = to.fields[key];
      const holds =
        (before !== undefined && holdsStructures(before)) || (after !== undefined && holdsStructures(after));
      if (!holds || before === undefined) return undefined;
      if (after === undefined) return `removes ${key} in ${where}, which is subindexed: keep it, or use a new PState`;
      const changed = this.#value(before, after, `${key} in ${where}`);
      return changed === undefined ? undefined : `${changed} (what is subindexed stays as it is in migration ${id})`;
    });
  }
}

/** Keys are never migrated: a class above, or the same. */
function keyProblem(old: SchemaText, now: SchemaText, where: string): string | undefined {
  if (old.kind === "leaf" && now.kind === "leaf" && wholeAs(old, now.type)) return undefined;
  return `changes ${where} from ${name(old)} to ${name(now)}; keys cannot be migrated, use a new PState`;
}

/** A value of `old`, stored whole, passes as an instance of `type`. */
function wholeAs(old: SchemaText, type: string): boolean {
  if (old.kind === "migrated" || holdsStructures(old)) return false;
  if (type === "Object") return true;
  if (old.kind === "leaf") return old.type === type || old.supers.includes(type);
  return old.kind !== "fixed" && wholeClass(old) === type;
}

function wholeClass(node: SchemaText): string | undefined {
  if (node.kind === "map") return "Map";
  if (node.kind === "set") return "Set";
  return node.kind === "list" ? "Array" : undefined;
}

/** A collection, stored whole, of anything. */
function isAnything(node: SchemaText): boolean {
  const anything = (inner: SchemaText): boolean => inner.kind === "leaf" && inner.type === "Object";
  if (node.kind === "map") return node.subindexed === "no" && anything(node.key) && anything(node.value);
  return (node.kind === "set" || node.kind === "list") && node.subindexed === "no" && anything(node.element);
}

function isSubindexed(node: SchemaText): boolean {
  return "subindexed" in node && node.subindexed !== "no";
}

/** Subindexed itself, or somewhere inside. */
function holdsStructures(node: SchemaText): boolean {
  switch (node.kind) {
    case "leaf":
      return false;
    case "map":
      return isSubindexed(node) || holdsStructures(node.value);
    case "set":
      return isSubindexed(node);
    case "list":
      return isSubindexed(node) || holdsStructures(node.element);
    case "fixed":
      return Object.values(node.fields).some(holdsStructures);
    case "migrated":
      return holdsStructures(node.to);
  }
}

function firstOf<T>(items: Iterable<T>, problem: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = problem(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function name(node: SchemaText): string {
  const sub = isSubindexed(node) ? "subindexed " : "";
  switch (node.kind) {
    case "leaf":
      return node.type;
    case "map":
      return `${sub}Map<${name(node.key)}, ${name(node.value)}>`;
    case "set":
      return `${sub}Set<${name(node.element)}>`;
    case "list":
      return `${sub}Array<${name(node.element)}>`;
    case "fixed":
      return `{${Object.keys(node.fields).join(", ")}}`;
    case "migrated":
      return name(node.to);
  }
}
