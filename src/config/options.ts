// Every setting there is, in one table: configs (fixed when a process starts: rama.yaml, --configOverrides, the client's map) and dynamic options
// (belong to the module, changed any time). `rama options`, `docs/options.md`, the commented rama.yaml of the release and validation come from here.
import { RamaError } from "../base/errors.ts";

export type OptionRole = "all" | "conductor" | "supervisor" | "worker" | "client" | "devZookeeper";
export type OptionScope = "module" | "topology" | "depot" | "pstate";

export type OptionType =
  | { readonly kind: "number"; readonly min: number; readonly max?: number; readonly integer: boolean }
  | { readonly kind: "string" }
  | { readonly kind: "boolean" }
  | { readonly kind: "strings" }
  /** Host name, or a pair of internal and external ones. */
  | { readonly kind: "host" }
  | { readonly kind: "hosts" }
  /** [first, last], or 0 for any free port. */
  | { readonly kind: "portRange" }
  | { readonly kind: "map" };

export interface Option {
  readonly name: string;
  readonly type: OptionType;
  /** undefined: unset. */
  readonly default: unknown;
  readonly role: OptionRole;
  /** Set for dynamic options: the narrowest level at which it may be set (the module level always may). */
  readonly dynamic?: OptionScope;
  readonly help: string;
}

const int = (min: number, max?: number): OptionType => ({
  kind: "number",
  min,
  integer: true,
  ...(max === undefined ? {} : { max }),
});
const fraction = (min: number, max: number): OptionType => ({ kind: "number", min, max, integer: false });
const port = int(0, 65535);
const text: OptionType = { kind: "string" };
const bool: OptionType = { kind: "boolean" };

const config = (role: OptionRole, name: string, type: OptionType, value: unknown, help: string): Option => ({
  name,
  type,
  default: value,
  role,
  help,
});
const dynamic = (scope: OptionScope, name: string, type: OptionType, value: unknown, help: string): Option => ({
  name,
  type,
  default: value,
  role: "worker",
  dynamic: scope,
  help,
});

const megabyte = 1024 * 1024;

export const options: readonly Option[] = [
  // shared by the daemons
  config("all", "local.dir", text, "local-rama-data", "Directory of all local state; relative to the release."),
  config(
    "all",
    "zookeeper.servers",
    { kind: "hosts" },
    undefined,
    "Hosts of the ZooKeeper ensemble, each a name or {internal, external}.",
  ),
  config("all", "zookeeper.port", port, 2000, "Client port of every ZooKeeper node."),
  config("all", "zookeeper.root", text, "rama", "Root node of this cluster in ZooKeeper."),
  config("all", "zookeeper.connection.timeout.millis", int(100), 5000, "How long to try to connect to ZooKeeper."),
  config("all", "zookeeper.session.timeout.millis", int(500), 5000, "Wanted session timeout."),
  config(
    "all",
    "zookeeper.retry.interval.millis",
    int(1),
    1000,
    "First wait between tries of a failed ZooKeeper request.",
  ),
  config("all", "zookeeper.retry.times", int(0), 2, "Tries of a failed ZooKeeper request."),
  config("all", "zookeeper.retry.interval.millis.ceiling", int(1), 5000, "Longest wait between tries."),
  config(
    "all",
    "conductor.host",
    { kind: "host" },
    undefined,
    "Host of the conductor, a name or {internal, external}.",
  ),
  config("all", "conductor.port", port, 1973, "RPC port of the conductor; 0 takes a free one."),
  config(
    "all",
    "bind.address",
    text,
    undefined,
    "Address to listen on; loopback when conductor.host is loopback, else all interfaces.",
  ),
  config("all", "log.level", text, undefined, "debug, info, warn or error; log4j2.properties says it otherwise."),
  // devZookeeper
  config(
    "devZookeeper",
    "dev.zookeeper.tick.millis",
    int(10),
    2000,
    "Tick of devZookeeper; sessions last 2 to 20 ticks.",
  ),
  config("devZookeeper", "jute.maxbuffer", int(1024), megabyte - 1, "Largest request that devZookeeper takes, bytes."),
  // conductor
  config(
    "conductor",
    "cluster.ui.port",
    port,
    8888,
    "Port of the Cluster UI, its API, bundle download and the REST redirect.",
  ),
  config("conductor", "cluster.metadata", text, undefined, "Text shown at the top of the Cluster UI."),
  config(
    "conductor",
    "conductor.assignment.mode",
    { kind: "map" },
    undefined,
    "Scheduler: {type: dev} or {type: isolation, modules: …}.",
  ),
  config("conductor", "conductor.child.opts", text, "-Xmx1024m", "Runtime options of the conductor."),
  config("conductor", "backup.provider", text, undefined, "Backup provider and its argument."),
  config("conductor", "license.dir", text, undefined, "Directory of license files."),
  // supervisor
  config("supervisor", "supervisor.host", text, undefined, "Name that this node has for others; found out when unset."),
  config(
    "supervisor",
    "supervisor.port.range",
    { kind: "portRange" },
    [3000, 4000],
    "Ports for workers: [first, last], or 0 for free ones.",
  ),
  config(
    "supervisor",
    "supervisor.http.port",
    port,
    undefined,
    "Port of REST and file transfer; the first free one of supervisor.port.range when unset.",
  ),
  config("supervisor", "supervisor.child.opts", text, "-Xmx256m", "Runtime options of the supervisor."),
  config(
    "supervisor",
    "supervisor.heartbeat.frequency.millis",
    int(50),
    5000,
    "How often the node's state is written to ZooKeeper.",
  ),
  config(
    "supervisor",
    "supervisor.worker.heartbeat.timeout.millis",
    int(500),
    10000,
    "A worker silent for so long is killed and started again.",
  ),
  config(
    "supervisor",
    "supervisor.worker.launch.timeout.millis",
    int(1000),
    90000,
    "A worker that has not answered so long after its start is killed and started again.",
  ),
  config(
    "supervisor",
    "supervisor.labels",
    { kind: "strings" },
    undefined,
    "Labels that --targetLabel and the isolation scheduler know this node by.",
  ),
  config(
    "supervisor",
    "supervisor.redirect.worker.stdout",
    bool,
    true,
    "Whether what workers print goes to logs/worker-<id>.out.",
  ),
  // worker (--configOverrides)
  config(
    "worker",
    "worker.child.opts",
    text,
    "-Xmx4096m",
    "Runtime options of workers; %ID% becomes the worker's id. -Xmx is a memory guard, -D… and JVM flags are ignored with a note, the rest goes to the runtime.",
  ),
  config(
    "worker",
    "worker.task.threads",
    int(1, 256),
    undefined,
    "Engine threads per worker; cores - 1 (at least 1) when unset.",
  ),
  config(
    "worker",
    "worker.heartbeat.frequency.millis",
    int(50),
    1000,
    "How often a worker tells its supervisor that it lives.",
  ),
  config(
    "worker",
    "worker.stuck.event.seconds",
    int(1),
    30,
    "User code that holds a thread for so long ends the worker.",
  ),
  config("worker", "worker.max.direct.memory.size", text, "500m", "Accepted for compatibility; not used."),
  config("worker", "worker.weft.client.max.threads", int(1), 10, "Parallel downloads in file transfers."),
  config("worker", "worker.worp.server.threads", int(1), 10, "Accepted for compatibility; not used."),
  config("worker", "replication.replog.recency.cache.size", int(0), 1000, "Log entries kept in memory per task group."),
  config(
    "worker",
    "pstate.maximal.schema.validations",
    bool,
    true,
    "Check whole values against the schema on every write.",
  ),
  config(
    "worker",
    "pstate.validate.subindexed.structure.locations",
    bool,
    true,
    "Check that subindexed structures are not moved or shared.",
  ),
  config(
    "worker",
    "pstate.cache.bytes",
    int(megabyte),
    128 * megabyte,
    "Memory for decoded PState values per engine thread.",
  ),
  config(
    "worker",
    "topology.stream.periodic.checkpoint.seconds",
    int(1),
    1,
    "Stream progress is written at least so often.",
  ),
  config(
    "worker",
    "custom.serializations",
    { kind: "strings" },
    undefined,
    "Export names of RamaCustomSerialization objects of the bundle.",
  ),
  config("worker", "log.segment.bytes", int(65536), 64 * megabyte, "Size of a segment of the thread's log."),
  config(
    "worker",
    "disk.min.free",
    text,
    "5%,1g",
    "Appends are refused when less than either of these is free on the file system.",
  ),
  // limits
  config("all", "limit.record.bytes", int(1024), 16 * megabyte, "Largest record."),
  config("all", "limit.pstate.value.bytes", int(1024), 16 * megabyte, "Largest value stored at one place of a PState."),
  config("all", "limit.frame.bytes", int(4096), 20 * megabyte, "Largest frame on a connection."),
  config("all", "limit.answer.bytes", int(4096), 64 * megabyte, "Largest answer to a read or query."),
  config("all", "limit.http.body.bytes", int(1024), 20 * megabyte, "Largest HTTP request body."),
  config("all", "limit.bundle.bytes", int(1024), 64 * megabyte, "Largest module bundle."),
  config("all", "limit.unsent.bytes", int(65536), 64 * megabyte, "Unsent bytes after which a connection is closed."),
  // clients
  config(
    "client",
    "supervisors",
    { kind: "strings" },
    undefined,
    "host:port of supervisors, instead of conductor.host.",
  ),
  config("client", "foreign.depot.flush.delay.millis", int(0, 10000), 0, "How long appends wait for company."),
  config("client", "foreign.depot.operation.timeout.millis", int(1), 20000, "Timeout of an append or depot read."),
  config("client", "foreign.pstate.operation.timeout.millis", int(1), 20000, "Timeout of a PState read."),
  config("client", "foreign.query.operation.timeout.millis", int(1), 60000, "Timeout of a query invoke at the client."),
  config("client", "foreign.proxy.thread.pool.size", int(1), 2, "Accepted for compatibility; not used."),
  config(
    "client",
    "foreign.proxy.failure.window.seconds",
    int(1),
    120,
    "Window in which failures of a proxy are counted.",
  ),
  config("client", "foreign.proxy.failure.window.threshold", int(1), 10, "Failures in the window that end a proxy."),
  config("client", "worp.client.threads", int(1), 10, "Accepted for compatibility; not used."),
  config("client", "worp.max.send.buffer.size", int(1), 120000, "Requests in flight per connection."),
  // dynamic, module
  dynamic("module", "worker.event.target.max.millis", int(1), 5, "An event that ran longer yields at yieldIfOvertime."),
  dynamic(
    "module",
    "worker.event.category.proportions",
    { kind: "map" },
    undefined,
    "Time shares of the event categories.",
  ),
  dynamic(
    "module",
    "worker.event.telemetry.sampling.rate",
    fraction(0, 1),
    0.01,
    "Share of events whose time is measured.",
  ),
  dynamic("module", "worker.combined.transfer.limit", int(1), 1000, "Events packed into one message between tasks."),
  dynamic(
    "module",
    "replication.min.isr",
    int(1),
    undefined,
    "Replicas that must hold an entry before it counts; replication factor - 1 when unset.",
  ),
  dynamic(
    "module",
    "replication.max.time.lag.millis",
    int(1),
    2000,
    "A follower silent for so long leaves the in-sync set.",
  ),
  dynamic(
    "module",
    "replication.max.near.sync.message.lag",
    int(1),
    50000,
    "Entries that a follower may be behind and still catch up by entries.",
  ),
  dynamic("module", "replication.far.horizon.min.transfer.rounds", int(1), 1, "Least rounds of a file transfer."),
  dynamic(
    "module",
    "replication.streaming.timeout.millis",
    int(1),
    20000,
    "Longest wait for the replication of a stream batch.",
  ),
  dynamic(
    "depot",
    "replication.depot.append.timeout.millis",
    int(1),
    15000,
    "Longest wait for the replication of an append.",
  ),
  // dynamic, depot
  dynamic("depot", "depot.max.fetch", int(1), 1000, "Records per read event."),
  dynamic("depot", "depot.microbatch.max.records", int(1), 1000, "Records per partition and microbatch."),
  dynamic("depot", "depot.cache.cardinality", int(0), 10000, "Records kept in memory for retries."),
  dynamic("depot", "depot.cache.catchup.chunk.size", int(1), 1000, "Records per read when catching up."),
  dynamic("depot", "depot.max.pending.streaming.per.partition", int(1), 100000, "Acked appends tracked per partition."),
  dynamic(
    "depot",
    "depot.ack.failure.on.any.streaming.failure",
    bool,
    true,
    "Whether a failed first attempt fails the append.",
  ),
  dynamic("depot", "depot.max.entries.per.partition", int(1), undefined, "Newest records to keep; all when unset."),
  dynamic(
    "depot",
    "depot.excess.proportion",
    fraction(0, 10),
    0.25,
    "Share kept beyond depot.max.entries.per.partition.",
  ),
  dynamic(
    "depot",
    "depot.trim.coordinate.local.topologies",
    bool,
    true,
    "Keep what topologies of the module have not processed.",
  ),
  dynamic(
    "depot",
    "depot.trim.coordinate.remote.topologies",
    bool,
    true,
    "Keep what topologies of other modules have not processed.",
  ),
  // dynamic, topology
  dynamic("topology", "topology.stream.timeout.seconds", int(1), 30, "A record whose event tree takes longer fails."),
  dynamic(
    "topology",
    "topology.stream.max.executing.per.task",
    int(1),
    20000,
    "Records pending per task; more appends wait.",
  ),
  dynamic("topology", "topology.stream.max.events.per.batch", int(1), 1000, "Events of one batch."),
  dynamic(
    "topology",
    "topology.stream.checkpoint.progress.threshold",
    int(1),
    10000,
    "Progress is written after so many records.",
  ),
  dynamic(
    "topology",
    "topology.stream.retry.backoff.millis",
    int(1),
    50,
    "First wait before a failed record is tried again; doubles.",
  ),
  dynamic(
    "topology",
    "topology.stream.retry.backoff.max.millis",
    int(1),
    5000,
    "Longest wait before a failed record is tried again.",
  ),
  dynamic("topology", "topology.stream.migration.max.paths.per.batch", int(1), 100, "Migration work per batch."),
  dynamic("topology", "topology.stream.migration.max.paths.per.second", int(1), 1000, "Migration rate."),
  dynamic(
    "topology",
    "topology.microbatch.phase.timeout.seconds",
    int(1),
    60,
    "A phase that takes longer fails the attempt.",
  ),
  dynamic(
    "topology",
    "topology.microbatch.empty.sleep.time.millis",
    int(1),
    60000,
    "Longest sleep after an empty microbatch; new data ends it.",
  ),
  dynamic(
    "topology",
    "topology.microbatch.poll.new.data.frequency.millis",
    int(1),
    200,
    "Accepted for compatibility; new data is noticed at once.",
  ),
  dynamic("topology", "topology.microbatch.force.delay.millis", int(0), 0, "Pause between microbatches."),
  dynamic("topology", "topology.microbatch.ack.branching.factor", int(1), 512, "Accepted for compatibility; not used."),
  dynamic(
    "topology",
    "topology.microbatch.migration.max.paths.per.batch",
    int(1),
    100,
    "Migration work per microbatch.",
  ),
  dynamic("topology", "topology.microbatch.migration.max.paths.per.second", int(1), 1000, "Migration rate."),
  dynamic("topology", "topology.combiner.limit", int(1), 1000, "Inputs after which combiners that grow are flushed."),
  dynamic("topology", "topology.query.timeout.millis", int(1), 30000, "A query that takes longer fails."),
  // dynamic, PState
  dynamic("pstate", "topology.microbatch.pstate.flush.path.count", int(1), 1000, "Writes per flush."),
  dynamic("pstate", "pstate.yielding.select.page.size", int(1), 250, "Elements per page of a yielding select."),
  dynamic("pstate", "pstate.reactivity.queue.limit", int(1), 500, "Subscribers queued for diffs; the rest resyncs."),
  dynamic("pstate", "pstate.proxy.limit", int(1), 20000, "Proxies per worker."),
  dynamic("pstate", "pstate.excessive.write.time.warning.millis", int(1), 1000, "A slower write is logged."),
];

const byName: ReadonlyMap<string, Option> = new Map(options.map((option) => [option.name, option]));

export function findOption(name: string): Option | undefined {
  return byName.get(name);
}

/** The known name nearest to a misspelt one, when it is near enough to be meant. */
export function nearestOption(name: string): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of byName.keys()) {
    const distance = editDistance(name, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
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
