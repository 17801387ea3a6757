// append and select: the daily look at a cluster's data, and bulk loading.
import { RamaError } from "../../base/errors.ts";
import { jsonOf } from "../../base/json.ts";
import { RamaClusterManager } from "../../client/cluster-manager.ts";
import { pathOfJson } from "../../paths/json-path.ts";
import type { AckLevelName } from "../../dataflow/compiled.ts";
import { loadFile } from "../bulk-load.ts";
import { type Command, type CommandContext, jsonArgument, textOption } from "../command.ts";

const internalHostnames = { name: "useInternalHostnames", help: "Use the internal names of hosts." };
const ackLevels: readonly string[] = ["ack", "appendAck", "none"];
async function withCluster<T>(context: CommandContext, work: (cluster: RamaClusterManager) => Promise<T>): Promise<T> {
  const { config, parsed } = context;
  const settings = {
    "conductor.host": config.require<string>("conductor.host"),
    "conductor.port": config.get<number>("conductor.port"),
  };
  const cluster = await (parsed.options["useInternalHostnames"]
    ? RamaClusterManager.openInternal(settings)
    : RamaClusterManager.open(settings));
  try {
    return await work(cluster);
  } finally {
    await cluster.close();
  }
}

export const append: Command = {
  name: "append",
  group: "Data",
  summary: "Append a record, or a file of records, to a depot.",
  description: [
    "With --file (or - for stdin) every line is one JSON record. Lines that are not JSON, or that the depot refuses, go to <file>.rejected with",
    "their number and the reason, and loading goes on. Ctrl-C, or a cluster that is away for long, stops it: it says the line to go on from with --from-line.",
  ].join("\n"),
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "depot", help: "The depot, with its star." },
    { name: "json", help: "The record.", optional: true },
  ],
  options: [
    { name: "file", value: "jsonl", help: "Load the lines of this file; - reads stdin." },
    { name: "from-line", value: "n", help: "Skip the lines before this one (the first is 1)." },
    { name: "ack", value: "level", help: "ack (default: stored and processed), appendAck (stored) or none." },
    internalHostnames,
  ],
  data: true,
  example:
    "rama append WordCountModule '*sentences' '\"to be or not to be\"'\nrama append FlightsModule '*flights' --file flights.jsonl",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, depotName, json] = parsed.positionals;
    const level = textOption(parsed, "ack") ?? "ack";
    if (!ackLevels.includes(level))
      throw new RamaError("BAD_ARGUMENTS", `--ack takes ${ackLevels.join(", ")}, got "${level}"`, { level });
    const file = textOption(parsed, "file");
    if ((json === undefined) === (file === undefined)) {
      throw new RamaError("BAD_ARGUMENTS", "append takes either a record or --file", {});
    }
    return withCluster(context, async (cluster) => {
      const depot = cluster.clusterDepot(moduleName!, depotName!);
      if (file !== undefined) return loadFile(context, depot, file, level as AckLevelName);
      const returns = await depot.append(jsonArgument(json!, "the record"), level as AckLevelName);
      if (parsed.json) print.json(jsonOf(returns));
      else
        print.out(
          Object.keys(returns).length === 0 ? "appended" : `appended; returned ${JSON.stringify(jsonOf(returns))}`,
        );
      return 0;
    });
  },
};

export const select: Command = {
  name: "select",
  group: "Data",
  summary: "Read a PState by a path in JSON.",
  description: [
    'The path is a list of navigators: a string is a key, ["name", args…] any navigator of the REST API, as in ["key", 7].',
    'It begins with the key that chooses the partition, or with ["pkey", value].',
  ].join("\n"),
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "pstate", help: "The PState, with its dollars." },
    { name: "path", help: "The path." },
  ],
  options: [{ name: "one", help: "Expect exactly one value." }, internalHostnames],
  data: true,
  example: "rama select WordCountModule '$$wordCounts' '[\"be\"]'",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, pstateName, text] = parsed.positionals;
    const { path, partitionKey } = pathOfJson(jsonArgument(text!, "the path"));
    return withCluster(context, async (cluster) => {
      const pstate = cluster.clusterPState(moduleName!, pstateName!);
      const rows =
        partitionKey === undefined ? await pstate.select(path) : await pstate.select(partitionKey.value, path);
      if (parsed.options["one"] && rows.length !== 1) {
        throw new RamaError("NOT_EXACTLY_ONE", `the path navigates to ${rows.length} values, --one wants exactly one`, {
          count: rows.length,
        });
      }
      if (parsed.json) print.json(parsed.options["one"] ? jsonOf(rows[0]) : rows.map((row) => jsonOf(row)));
      else for (const row of rows) print.out(JSON.stringify(jsonOf(row)));
      return 0;
    });
  },
};

export const query: Command = {
  name: "query",
  group: "Data",
  summary: "Invoke a query topology and print its result.",
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "query", help: "The query topology's name." },
    { name: "args", help: "A JSON list of its arguments; none when left out.", optional: true },
  ],
  options: [internalHostnames],
  data: true,
  example: "rama query FlightsModule worstDays '[\"ORD\", 3]'",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, queryName, text] = parsed.positionals;
    const args = text === undefined ? [] : jsonArgument(text, "the arguments");
    if (!Array.isArray(args))
      throw new RamaError("BAD_ARGUMENTS", "the arguments must be a JSON list, as in '[\"ORD\", 3]'", { text });
    return withCluster(context, async (cluster) => {
      const result = jsonOf(await cluster.clusterQuery(moduleName!, queryName!).invoke(...args));
      if (parsed.json) print.json(result);
      else print.out(JSON.stringify(result));
      return 0;
    });
  },
};
