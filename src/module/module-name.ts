// Where a module name is expected, a module class is accepted too.
import { RamaError } from "../base/errors.ts";

export function moduleNameOf(module: unknown): string {
  if (typeof module === "string" && module !== "") return module;
  const instance = typeof module === "function" ? new (module as new () => unknown)() : module;
  const name = (instance as { getModuleName?: () => unknown } | null)?.getModuleName?.();
  if (typeof name === "string" && name !== "") return name;
  throw new RamaError("BAD_MODULE", "a module is named by a string or its class");
}
