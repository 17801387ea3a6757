// Every setting there is, in one table: configs (fixed when a process starts: rama.yaml, --configOverrides, the client's map) and dynamic options
// (belong to the module, changed any time). `rama options`, `docs/options.md`, the commented rama.yaml of the release and validation come from here.
import { RamaError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import type { Option, OptionType } from "./option.ts";
import { options } from "./option-table.ts";

export type { Option, OptionRole, OptionScope, OptionType } from "./option.ts";
export { options } from "./option-table.ts";

const byName: ReadonlyMap<string, Option> = new Map(options.map((option) => [option.name, option]));

export function findOption(name: string): Option | undefined {
  return byName.get(name);
}

/** The known name nearest to a misspelt one, when it is near enough to be meant. */
export function nearestOption(name: string): string | undefined {
  return nearest(name, byName.keys());
}

/** Says what the type takes, for messages and docs. */
export function describeType(type: OptionType): string {
  switch (type.kind) {
    case "number":
      return `${type.integer ? "a whole number" : "a number"} ${type.max === undefined ? `≥ ${type.min}` : `from ${type.min} to ${type.max}`}`;
    case "string":
      return "a string";
    case "boolean":
      return "true or false";
    case "strings":
      return "a list of strings";
    case "host":
      return "a host name, or {internal: …, external: …}";
    case "hosts":
      return "a list of hosts, each a name or {internal: …, external: …}";
    case "portRange":
      return "[first, last], or 0 for any free port";
    case "map":
      return "a map";
  }
}

/** BAD_CONFIG with the name, the value and what is wanted. */
export function checkOptionValue(name: string, value: unknown, where: string): void {
  const option = byName.get(name);
  if (!option) {
    const near = nearestOption(name);
    throw new RamaError("BAD_CONFIG", `${where}: unknown setting "${name}"${near ? `; did you mean "${near}"?` : ""}`, {
      name,
    });
  }
  if (!fits(option.type, value)) {
    throw new RamaError(
      "BAD_CONFIG",
      `${where}: ${name} must be ${describeType(option.type)}, got ${JSON.stringify(value)}`,
      { name, value },
    );
  }
}

function isHost(value: unknown): boolean {
  if (typeof value === "string") return value.length > 0;
  if (typeof value !== "object" || value === null) return false;
  const pair = value as Record<string, unknown>;
  return typeof pair["internal"] === "string" && typeof pair["external"] === "string" && Object.keys(pair).length === 2;
}

function fits(type: OptionType, value: unknown): boolean {
  switch (type.kind) {
    case "number":
      return (
        typeof value === "number" &&
        Number.isFinite(value) &&
        (!type.integer || Number.isInteger(value)) &&
        value >= type.min &&
        (type.max === undefined || value <= type.max)
      );
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "strings":
      return Array.isArray(value) && value.every((item) => typeof item === "string");
    case "host":
      return isHost(value);
    case "hosts":
      return Array.isArray(value) && value.length > 0 && value.every(isHost);
    case "portRange":
      return (
        value === 0 ||
        (Array.isArray(value) &&
          value.length === 2 &&
          value.every((p) => Number.isInteger(p) && p >= 0 && p <= 65535) &&
          value[0] <= value[1])
      );
    case "map":
      return typeof value === "object" && value !== null && !Array.isArray(value);
  }
}
