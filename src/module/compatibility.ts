// May a running module be updated to another version of itself? Pure: the contracts of both (contract.ts), what the caller named for deletion, and what other modules
// use. What lasts on disk is keyed by name, so that a rename is a removal and an addition.
//
//   allowed    objects and topologies added; code, sources, task globals changed; depot schemes changed (new appends only); a PState's schema as far as
//              schema-compatibility.ts says
//   refused    removals that are not named (or names that are not removed); tick depot ↔ depot; global ↔ not; a PState at another topology; a topology of another kind;
//              any other change of a schema; removal of what other modules mirror
import { RamaError } from "../base/errors.ts";
import type { ModuleContract } from "./contract.ts";
import { misplacedMigration, schemaProblem } from "./schema-compatibility.ts";

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
  /** Depots and PStates of the running version whose migrations are complete on every task. */
  readonly migrationsFinished?: readonly string[];
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
    const misplaced = misplacedMigration(pstate.schema);
    if (misplaced !== undefined) throw refused(request, pstate.name, `is not as it may be: ${misplaced}`);
    if (old === undefined) continue;
    if (old.topology !== pstate.topology) {
      throw refused(
        request,
        pstate.name,
        `moves from topology ${old.topology} to ${pstate.topology}; a PState stays with its topology`,
      );
    }
    const finished = request.migrationsFinished?.includes(pstate.name) === true;
    const problem = schemaProblem(old.schema, pstate.schema, finished);
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
    if (old.migration === undefined || depot.migration !== undefined) continue;
    if (request.migrationsFinished?.includes(depot.name)) continue;
    const running = `drops migration ${old.migration}, which is still running: leave it until moduleStatus says that it is complete`;
    throw refused(request, depot.name, running);
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
