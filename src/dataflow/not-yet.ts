// What a module may declare and this release cannot run. Refused when the module is built, with what to do instead: nothing of a module is ever ignored.
import { RamaError } from "../base/errors.ts";
import type { ModuleDefinition } from "../module/definition.ts";

/** NOT_ALLOWED_HERE that names the object. */
export function refuseWhatIsNotThere(definition: ModuleDefinition): void {
  for (const { name, migration } of definition.depots) {
    if (migration !== undefined) throw notYet(`${name}: migrations are not there yet`);
  }
}

function notYet(message: string): RamaError {
  return new RamaError("NOT_ALLOWED_HERE", message, {});
}
