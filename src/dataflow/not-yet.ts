// What a module may declare and this release cannot run. Refused when the module is built, with what to do instead: nothing of a module is ever ignored.
import { RamaError } from "../base/errors.ts";
import type { ModuleDefinition } from "../module/definition.ts";

/** NOT_ALLOWED_HERE that names the object. */
export function refuseWhatIsNotThere(definition: ModuleDefinition): void {
  for (const { sources } of definition.topologies) {
    for (const { depot, line } of sources) {
      if (depot.kind === "own") continue;
      const what = depot.kind === "mirror" ? "a depot of another module" : "an external depot";
      throw notYet(`${line}: ${depot.name} is ${what}: no topology can read it yet`);
    }
  }
  for (const { name, migration } of definition.depots) {
    if (migration !== undefined) throw notYet(`${name}: migrations are not there yet`);
  }
}

function notYet(message: string): RamaError {
  return new RamaError("NOT_ALLOWED_HERE", message, {});
}
