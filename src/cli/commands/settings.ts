// confValue, options, unpack: the release and its settings.
import { RamaError } from "../../base/errors.ts";
import { describeType, findOption, nearestOption, options } from "../../config/options.ts";
import type { Command } from "../command.ts";
import { absolute } from "./modules.ts";

export const confValue: Command = {
  name: "confValue",
  group: "Release",
  summary: "Print a setting's value in this release.",
  positionals: [{ name: "name", help: "Name of the setting." }],
  options: [],
  data: true,
  example: "rama confValue conductor.port",
  async run({ parsed, print, config }) {
    const name = parsed.positionals[0]!;
    if (!findOption(name)) {
      const near = nearestOption(name);
      throw new RamaError("BAD_ARGUMENTS", `there is no setting "${name}"${near ? `; did you mean "${near}"?` : ""}`, {
        name,
      });
    }
    const value = config.get<unknown>(name);
    if (parsed.json) print.json(value ?? null);
    else print.out(value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
    return 0;
  },
};

export const listOptions: Command = {
  name: "options",
  group: "Release",
  summary: "List every setting with type, default and meaning.",
  positionals: [{ name: "text", help: "Only those whose name holds this.", optional: true }],
  options: [{ name: "dynamic", help: "Only dynamic options." }],
  data: true,
  example: "rama options topology.stream",
  async run({ parsed, print }) {
    const text = parsed.positionals[0] ?? "";
    const rows = options.filter((o) => o.name.includes(text) && (!parsed.options["dynamic"] || o.dynamic));
    if (parsed.json) {
      print.json(
        rows.map((o) => ({
          name: o.name,
          type: describeType(o.type),
          default: o.default ?? null,
          dynamic: o.dynamic ?? null,
          help: o.help,
        })),
      );
      return 0;
    }
    const cells = rows.map((o) => [
      o.name,
      o.default === undefined ? "" : JSON.stringify(o.default),
      o.dynamic ?? o.role,
      o.help,
    ]);
    print.table(["name", "default", "set at", "meaning"], cells);
    return 0;
  },
};

export const unpack: Command = {
  name: "unpack",
  group: "Release",
  summary: "Lay out a release (rama.yaml, lib/, examples/, logs/) around this executable.",
  positionals: [{ name: "dir", help: "Where; the current directory when left out.", optional: true }],
  options: [],
  example: "rama unpack my-cluster",
  async run({ parsed, print, workbench, cwd }) {
    const dir = absolute(cwd, parsed.positionals[0] ?? ".");
    const names = await workbench.unpack(dir);
    print.out(`${names.length} files in ${dir}`);
    print.note("start it: ./rama devZookeeper, ./rama conductor, ./rama supervisor, each in a terminal of its own");
    return 0;
  },
};
