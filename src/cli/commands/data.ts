// append and select: the daily look at a cluster's data, and bulk loading.
import { messageOf, RamaError } from "../../base/errors.ts";
import { jsonOf, parseJson } from "../../base/json.ts";
import { RamaClusterManager } from "../../client/cluster-manager.ts";
import type { DepotClient } from "../../client/depot.ts";
import { pathOfJson } from "../../paths/json-path.ts";
import type { AckLevelName } from "../../dataflow/compiled.ts";
import { type Command, type CommandContext, numberOption, textOption } from "../command.ts";
import { absolute } from "./modules.ts";

const internalHostnames = { name: "useInternalHostnames", help: "Use the internal names of hosts." };
const ackLevels: readonly string[] = ["ack", "appendAck", "none"];
/** Records sent in one call, and calls under way, of a bulk load. */
const chunkRecords = 1000;
const chunksInFlight = 8;

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
    "their number and the reason, and loading goes on. When loading is interrupted it says the line to go on from with --from-line.",
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
      const returns = await depot.append(parsedJson(json!, "the record"), level as AckLevelName);
      if (parsed.json) print.json(jsonOf(returns));
      else
        print.out(
          Object.keys(returns).length === 0 ? "appended" : `appended; returned ${JSON.stringify(jsonOf(returns))}`,
        );
      return 0;
    });
  },
};

async function loadFile(
  context: CommandContext,
  depot: DepotClient,
  file: string,
  level: AckLevelName,
): Promise<number> {
  const { parsed, print, workbench, cwd, platform, env } = context;
  const path = file === "-" ? "-" : absolute(cwd, file);
  if (path !== "-" && !platform.disk.exists(path))
    throw new RamaError("FILE_NOT_FOUND", `there is no file ${path}`, { path });
  const fromLine = numberOption(parsed, "from-line", 1);
  const totalBytes = path === "-" ? 0 : platform.disk.size(path);
  const rejects = new Rejects(context, path === "-" ? `${cwd}/stdin` : path);
  const progress = print.progress(`loading ${file}`, totalBytes);
  const startedMs = env.monotonicMs();
  const load = new BulkLoad(depot, level, rejects);
  let line = 0;
  let bytes = 0;
  try {
    for await (const text of workbench.readLines(path)) {
      line++;
      bytes += text.length + 1;
      if (line < fromLine || text.trim() === "") continue;
      await load.add(line, text);
      if (line % chunkRecords === 0) {
        progress.update(bytes, `${rate(load.appended, env.monotonicMs() - startedMs)} records/s`);
        await env.sleep(0);
      }
    }
    await load.finish();
  } catch (error) {
    progress.end(`stopped: everything before line ${load.resumeLine} is stored`);
    print.note(`go on with: --from-line ${load.resumeLine}`);
    throw error;
  } finally {
    rejects.close();
  }
  const ms = env.monotonicMs() - startedMs;
  progress.end(
    `${load.appended.toLocaleString("en-US")} records in ${(ms / 1000).toFixed(2)} s (${rate(load.appended, ms)} records/s)`,
  );
  if (rejects.count > 0) print.note(`${rejects.count} lines were rejected: ${rejects.path}`);
  if (parsed.json) print.json({ appended: load.appended, rejected: rejects.count, lines: line });
  return rejects.count > 0 ? 1 : 0;
}

function rate(count: number, ms: number): string {
  return Math.round(count / Math.max(ms / 1000, 0.001)).toLocaleString("en-US");
}

/** Keeps a bounded window of chunks under way and knows the first line that may not be stored. */
class BulkLoad {
  appended = 0;
  readonly #depot: DepotClient;
  readonly #level: AckLevelName;
  readonly #rejects: Rejects;
  readonly #underWay = new Map<number, Promise<void>>();
  #lines: number[] = [];
  #records: unknown[] = [];
  #nextLine = 1;
  #failure: unknown;

  constructor(depot: DepotClient, level: AckLevelName, rejects: Rejects) {
    this.#depot = depot;
    this.#level = level;
    this.#rejects = rejects;
  }

  get resumeLine(): number {
    return Math.min(this.#nextLine, ...this.#underWay.keys(), ...this.#lines.slice(0, 1));
  }

  async add(line: number, text: string): Promise<void> {
    this.#nextLine = line + 1;
    try {
      this.#records.push(parsedJson(text, `line ${line}`));
      this.#lines.push(line);
    } catch (error) {
      this.#rejects.add(line, messageOf(error), text);
    }
    if (this.#records.length >= chunkRecords) await this.#send();
  }

  async finish(): Promise<void> {
    if (this.#records.length > 0) await this.#send();
    await Promise.all(this.#underWay.values());
    if (this.#failure) throw this.#failure;
  }

  async #send(): Promise<void> {
    while (this.#underWay.size >= chunksInFlight) await Promise.race(this.#underWay.values());
    if (this.#failure) throw this.#failure;
    const [lines, records] = [this.#lines, this.#records];
    this.#lines = [];
    this.#records = [];
    const chunk = this.#appendAll(lines, records).then(
      () => void this.#underWay.delete(lines[0]!),
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#underWay.set(lines[0]!, chunk);
  }

  async #appendAll(lines: readonly number[], records: readonly unknown[]): Promise<void> {
    const { appended, failures } = await this.#depot.appendMany(records, this.#level);
    this.appended += appended;
    for (const { index, error } of failures) {
      // Stored all the same: only its processing failed.
      if (error.facts["stored"] === true) this.appended++;
      if (error.retryable && error.facts["stored"] !== true) throw error;
      this.#rejects.add(lines[index]!, `${error.message} (${error.code})`, JSON.stringify(records[index]));
    }
  }
}

/** <file>.rejected: one JSON object a line, `{ line, reason, text }`. Made when the first line is rejected. */
class Rejects {
  count = 0;
  readonly path: string;
  readonly #context: CommandContext;
  #file: ReturnType<CommandContext["platform"]["disk"]["open"]> | undefined;
  #position = 0;

  constructor(context: CommandContext, path: string) {
    this.#context = context;
    this.path = `${path}.rejected`;
  }

  add(line: number, reason: string, text: string): void {
    if (!this.#file) {
      this.#file = this.#context.platform.disk.open(this.path, "upsert");
      this.#file.truncate(0);
    }
    const bytes = new TextEncoder().encode(`${JSON.stringify({ line, reason, text })}\n`);
    this.#file.write(bytes, this.#position);
    this.#position += bytes.length;
    this.count++;
  }

  close(): void {
    this.#file?.close();
  }
}

function parsedJson(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new RamaError("BAD_ARGUMENTS", `${what}: ${messageOf(error)}`, {}, error);
  }
}

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
    const { path, partitionKey } = pathOfJson(parsedJson(text!, "the path"));
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
    const args = text === undefined ? [] : parsedJson(text, "the arguments");
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
