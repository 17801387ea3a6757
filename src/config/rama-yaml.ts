// rama.yaml, --configOverrides files and the client's config map: text or plain objects in, checked settings out. Opens no file. The wall around `yaml`.
import { parseDocument } from "yaml";
import { RamaError } from "../base/errors.ts";
import { checkOptionValue, describeType, findOption, type Option, options } from "./options.ts";

export type HostPair = { readonly internal: string; readonly external: string };

/** Settings by name, checked against the table. Absent ones have their default through `Config.get`. */
export class Config {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  /** The value set, or the default; undefined for an option that is unset and has none. The name must be in the table. */
  get<T>(name: string): T {
    const option = findOption(name);
    if (!option) throw new RamaError("INTERNAL", `no option is named ${name}`, { name });
    return (this.#values.has(name) ? this.#values.get(name) : option.default) as T;
  }

  isSet(name: string): boolean {
    return this.#values.has(name);
  }

  /** The other's values win. */
  with(other: Config): Config {
    return new Config(new Map([...this.#values, ...other.#values]));
  }

  /** BAD_CONFIG that names the setting and the file to put it in. */
  require<T>(name: string, where = "rama.yaml"): T {
    const value = this.get<T | undefined>(name);
    if (value === undefined) {
      throw new RamaError(
        "BAD_CONFIG",
        `${where}: ${name} is not set; it must be ${describeType(findOption(name)!.type)}`,
        { name },
      );
    }
    return value;
  }

  /** Internal or external name of a host setting. */
  host(name: string, side: keyof HostPair): string {
    return hostName(this.require<string | HostPair>(name), side);
  }

  /** Everything that is set, for handing to another process. */
  toObject(): Record<string, unknown> {
    return Object.fromEntries(this.#values);
  }
}

export function hostName(host: string | HostPair, side: keyof HostPair): string {
  return typeof host === "string" ? host : host[side];
}

/** BAD_CONFIG with file, line and setting. */
export function parseConfig(text: string, fileName: string): Config {
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors[0];
  if (problem) throw new RamaError("BAD_CONFIG", `${fileName} is not valid YAML: ${problem.message}`, { fileName });
  const value = document.toJS() as unknown;
  if (value === null || value === undefined) return new Config(new Map());
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new RamaError("BAD_CONFIG", `${fileName} must hold settings as "name: value", one a line`, { fileName });
  }
  return configOf(value as Record<string, unknown>, fileName);
}

export function configOf(values: Readonly<Record<string, unknown>>, where: string): Config {
  const checked = new Map<string, unknown>();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined) continue;
    checkOptionValue(name, value, where);
    checked.set(name, value);
  }
  return new Config(checked);
}

/** The rama.yaml of a release: the given settings set, every other one as a comment with its default. */
export function renderDefaultYaml(set: Readonly<Record<string, unknown>>): string {
  const lines: string[] = [
    "# Settings of this release's daemons and CLI. Every setting is here; those that are comments have the value shown.",
    "",
  ];
  const roles: readonly { role: Option["role"]; title: string }[] = [
    { role: "all", title: "All roles" },
    { role: "devZookeeper", title: "devZookeeper" },
    { role: "conductor", title: "Conductor" },
    { role: "supervisor", title: "Supervisor" },
    {
      role: "worker",
      title: "Workers (give them at deploy with --configOverrides; here they are the cluster's defaults)",
    },
    { role: "client", title: "Clients" },
  ];
  for (const { role, title } of roles) {
    lines.push(`# ---- ${title}`, "");
    for (const option of options) {
      if (option.role !== role || option.dynamic) continue;
      lines.push(`# ${option.help}`);
      const value = Object.hasOwn(set, option.name) ? set[option.name] : option.default;
      const shown = value === undefined ? "" : ` ${JSON.stringify(value)}`;
      lines.push(Object.hasOwn(set, option.name) ? `${option.name}:${shown}` : `#${option.name}:${shown}`, "");
    }
  }
  return lines.join("\n");
}
