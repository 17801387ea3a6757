// May a running module be updated to another version of itself? Pure: the contracts of both (contract.ts), what the caller named for deletion, and what other modules
// use. What lasts on disk is keyed by name, so that a rename is a removal and an addition.
//
//   allowed    objects and topologies added; code, sources, task globals changed; depot schemes changed (new appends only); a PState's schema widened, or wrapped in
//              PState.migrated where its values are stored whole
//   refused    removals that are not named (or names that are not removed); tick depot ↔ depot; global ↔ not; a PState at another topology; a topology of another kind;
//              any other change of a schema; removal of what other modules mirror
import { RamaError } from "../base/errors.ts";
import type { ModuleContract, SchemaText } from "./contract.ts";

/** An object of this module that another module mirrors. */
export interface UsedObject {
  readonly by: string;
  readonly kind: string;
  readonly object: string;
}

export interface UpdateRequest {
  readonly moduleName: string;
  readonly from: ModuleContract;
  readonly to: ModuleContract;
  readonly objectsToDelete: readonly string[];
  readonly used: readonly UsedObject[];
}

export interface UpdateDifference {
  readonly added: readonly string[];
  /** Depots and PStates whose data goes. */
  readonly removed: readonly string[];
}

/** DELETION_NOT_NAMED, INCOMPATIBLE_UPDATE, DEPENDED_ON; the running instance has not been touched then. */
export function checkUpdate(request: UpdateRequest): UpdateDifference {
  const { from, to } = request;
  const before = namesOf(from);
  const after = namesOf(to);
  const removed = before.filter((name) => !after.includes(name));
  const added = after.filter((name) => !before.includes(name));
  checkKinds(request);
  checkUse(request);
  checkNamed(request, removed);
  for (const pstate of to.pstates) {
    const old = from.pstates.find(({ name }) => name === pstate.name);
    checkPlacement(pstate.name, pstate.schema);
    if (old === undefined) continue;
    if (old.topology !== pstate.topology) {
      throw refused(
        request,
        pstate.name,
        `moves from topology ${old.topology} to ${pstate.topology}; a PState stays with its topology`,
      );
    }
    const problem = rootProblem(old.schema, pstate.schema);
    if (problem !== undefined) throw refused(request, pstate.name, problem);
  }
  return { added, removed };
}

function namesOf({ depots, pstates }: ModuleContract): string[] {
  return [...depots, ...pstates].map(({ name }) => name);
}

function refused({ moduleName }: UpdateRequest, object: string, what: string): RamaError {
  return new RamaError("INCOMPATIBLE_UPDATE", `${object} of ${moduleName} ${what}`, { module: moduleName, object });
}

function checkNamed({ moduleName, objectsToDelete }: UpdateRequest, removed: readonly string[]): void {
  const named = new Set(objectsToDelete);
  const missing = removed.filter((name) => !named.has(name));
  const extra = [...named].filter((name) => !removed.includes(name));
  if (missing.length === 0 && extra.length === 0) return;
  const parts: string[] = [];
  if (missing.length > 0) parts.push(`${missing.join(", ")} would be deleted with all data and is not named`);
  if (extra.length > 0) parts.push(`${extra.join(", ")} is named and is not removed`);
  throw new RamaError("DELETION_NOT_NAMED", `update of ${moduleName}: ${parts.join("; ")}`, {
    module: moduleName,
    removed,
    named: [...named],
  });
}

function checkKinds(request: UpdateRequest): void {
  const { from, to } = request;
  for (const depot of to.depots) {
    const old = from.depots.find(({ name }) => name === depot.name);
    if (old === undefined) continue;
    if (old.tick !== depot.tick) throw refused(request, depot.name, "may not become a tick depot, or cease to be one");
    if (old.global !== depot.global) throw refused(request, depot.name, "may not become global, or cease to be");
  }
  for (const pstate of to.pstates) {
    const old = from.pstates.find(({ name }) => name === pstate.name);
    if (old !== undefined && old.global !== pstate.global)
      throw refused(request, pstate.name, "may not become global, or cease to be");
  }
  for (const topology of to.topologies) {
    const old = from.topologies.find(({ name }) => name === topology.name);
    if (old !== undefined && old.kind !== topology.kind) {
      throw refused(
        request,
        topology.name,
        `is a ${old.kind} topology and would become a ${topology.kind} one; give the new one another name`,
      );
    }
  }
}

function checkUse({ moduleName, to, used }: UpdateRequest): void {
  for (const { by, kind, object } of used) {
    const stays =
      kind === "depot"
        ? to.depots.some(({ name }) => name === object)
        : kind === "pstate"
          ? to.pstates.some((pstate) => pstate.name === object && !pstate.private)
          : to.topologies.some((topology) => topology.kind === "query" && topology.name === object);
    if (stays) continue;
    throw new RamaError("DEPENDED_ON", `${kind} ${object} of ${moduleName} is used by ${by}`, {
      module: moduleName,
      object,
      dependents: [by],
    });
  }
}

// ---- schemas

/** `migrated` stands in value positions only, over values that are stored whole. */
function checkPlacement(pstate: string, schema: SchemaText): void {
  const wrong = (message: string): RamaError =>
    new RamaError("INCOMPATIBLE_UPDATE", `${pstate}: ${message}`, { object: pstate });
  const visit = (node: SchemaText, mayMigrate: boolean): void => {
    switch (node.kind) {
      case "leaf":
        return;
      case "migrated":
        if (!mayMigrate) {
          throw wrong(
            `migration ${node.id} stands inside a value that is stored whole; it belongs around the value of a top-level or subindexed map`,
          );
        }
        if (holdsStructures(node.to)) {
          throw wrong(
            `migration ${node.id} is around a value with subindexed structures, which cannot be migrated yet`,
          );
        }
        if (node.options.length > 0) {
          throw wrong(`migration ${node.id} has options; migrateToSubindexed and its like are not there yet`);
        }
        visit(node.to, false);
        return;
      case "map":
        visit(node.value, mayMigrate && node.subindexed !== "no");
        return;
      case "list":
        visit(node.element, mayMigrate && node.subindexed !== "no");
        return;
      case "fixed":
        for (const field of Object.values(node.fields)) {
          if (field.kind === "migrated")
            throw wrong(`migration ${field.id} is around one key of fixed keys; it belongs around the whole`);
          visit(field, mayMigrate);
        }
    }
  };
  if (schema.kind === "migrated" && (schema.to.kind === "map" || schema.to.kind === "fixed"))
    throw wrong(`migration ${schema.id} is around the whole PState, which is stored element by element`);
  if (schema.kind === "map") visit(schema.value, true);
  else visit(schema, true);
}

/** The top of a map or of fixed keys is stored element by element; what is below is whole unless it is subindexed. */
function rootProblem(old: SchemaText, now: SchemaText): string | undefined {
  if (old.kind === "map" && now.kind === "map")
    return keyProblem(old.key, now.key, "its keys") ?? problem(old.value, now.value, "its values");
  if (old.kind === "fixed" && now.kind === "fixed") return fixedProblem(old, now, "its fixed keys");
  if (old.kind === "map" || old.kind === "fixed" || now.kind === "map" || now.kind === "fixed")
    return `changes from ${name(old)} to ${name(now)} at its top, which is stored in another way`;
  return problem(old, now, "its value");
}

/** Why values of `old` cannot be read as `now`, in words that follow the PState's name; undefined when they can. */
function problem(old: SchemaText, now: SchemaText, where: string): string | undefined {
  if (now.kind === "migrated")
    return holdsStructures(old) ? `migrates ${where}, which have subindexed structures: not there yet` : undefined;
  if (old.kind === "migrated") {
    return `drops migration ${old.id} of ${where}: values on disk are changed when they are read, so that the wrapper has to stay`;
  }
  const changed = `changes ${where} from ${name(old)} to ${name(now)}; wrap the new schema in PState.migrated, or use a new PState`;
  if (now.kind === "leaf") return wholeAs(old, now.type) ? undefined : changed;
  if (old.kind === "leaf") return old.type === wholeClass(now) && isAnything(now) ? undefined : changed;
  if (old.kind === "fixed" && now.kind === "fixed") return fixedProblem(old, now, where);
  if (old.kind === "map" && now.kind === "map" && old.subindexed === now.subindexed)
    return keyProblem(old.key, now.key, `keys in ${where}`) ?? problem(old.value, now.value, `values in ${where}`);
  if (old.kind === "set" && now.kind === "set" && old.subindexed === now.subindexed)
    return keyProblem(old.element, now.element, `elements in ${where}`);
  if (old.kind === "list" && now.kind === "list" && old.subindexed === now.subindexed)
    return problem(old.element, now.element, `elements in ${where}`);
  return changed;
}

function fixedProblem(
  old: Extract<SchemaText, { kind: "fixed" }>,
  now: Extract<SchemaText, { kind: "fixed" }>,
  where: string,
): string | undefined {
  for (const [key, before] of Object.entries(old.fields)) {
    const after = now.fields[key];
    if (after === undefined) return `loses the fixed key ${key} in ${where}; keep it, or migrate the whole value`;
    const found = problem(before, after, `${key} in ${where}`);
    if (found !== undefined) return found;
  }
  return undefined;
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

function holdsStructures(node: SchemaText): boolean {
  switch (node.kind) {
    case "leaf":
      return false;
    case "map":
      return node.subindexed !== "no" || holdsStructures(node.value);
    case "set":
      return node.subindexed !== "no";
    case "list":
      return node.subindexed !== "no" || holdsStructures(node.element);
    case "fixed":
      return Object.values(node.fields).some(holdsStructures);
    case "migrated":
      return holdsStructures(node.to);
  }
}

function name(node: SchemaText): string {
  const sub = "subindexed" in node && node.subindexed !== "no" ? "subindexed " : "";
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
