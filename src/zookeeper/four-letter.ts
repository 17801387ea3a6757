// Four-letter words: the operator's plain-text questions on the client port (`echo srvr | nc host 2000`). Lines and spellings are those of Apache
// ZooKeeper 3.8, since monitoring reads them by machine.

import type { Disk } from "../storage/disk.ts";
import type { ClientConnection } from "./connection.ts";
import type { Session, Sessions } from "./session.ts";
import type { Watches } from "./watches.ts";
import type { Znodes } from "./znodes.ts";

export interface ServerFacts {
  readonly options: {
    readonly disk: Disk;
    readonly dir: string;
    readonly tickTimeMs: number;
    readonly sessionTimeoutMinMs: number;
    readonly sessionTimeoutMaxMs: number;
    readonly connectionsPerHostMax: number;
    readonly packetBytesMax: number;
    readonly env: { now(): number; monotonicMs(): number };
  };
  readonly tree: Znodes;
  readonly sessions: Sessions;
  readonly watches: Watches<ClientConnection>;
  readonly stats: {
    received: number;
    sent: number;
    answered: number;
    latencySumMs: number;
    latencyMinMs: number;
    latencyMaxMs: number;
    rejected: number;
    expired: number;
    snapshots: number;
  };
  readonly syncs: { readonly count: number; readonly totalMs: number; readonly maxMs: number };
  readonly lastZxid: number;
  readonly uptimeMs: number;
  readonly connections: ReadonlySet<ClientConnection>;
}

/** The protocol level that we speak; clients read the number. */
export const zookeeperVersion = "3.8.0-rama, built on 2026-01-01 00:00 UTC";

/** The whole answer, or undefined when `word` is none of the words. `asker` counts itself among the connections, as Apache's does. */
export function answerFourLetterWord(facts: ServerFacts, word: string, asker: ClientConnection): string | undefined {
  switch (word) {
    case "ruok":
      return "imok";
    case "isro":
      return "rw";
    case "srvr":
      return `Zookeeper version: ${zookeeperVersion}\n${serverLines(facts)}`;
    case "stat":
      return `Zookeeper version: ${zookeeperVersion}\nClients:\n${connectionLines(facts, false)}\n${serverLines(facts)}`;
    case "cons":
      return `${connectionLines(facts, true)}\n`;
    case "mntr":
      return monitorLines(facts);
    case "conf":
      return configLines(facts, asker);
    case "envi":
      return environmentLines();
    case "dirs": {
      const bytes = directoryBytes(facts);
      return `datadir_size: ${bytes.snapshots}\nlogdir_size: ${bytes.journals}\n`;
    }
    case "dump":
      return dumpLines(facts);
    case "wchs": {
      const { watchers, paths, watches } = facts.watches.counts();
      return `${watchers} connections watching ${paths} paths\nTotal watches:${watches}\n`;
    }
    case "wchc":
      return watchLines(facts.watches.pathsByWatcher(), sessionName, (path) => path);
    case "wchp":
      return watchLines(facts.watches.watchersByPath(), (path) => path, sessionName);
    case "crst":
      for (const { stats } of facts.connections) stats.received = stats.sent = 0;
      return "Connection stats reset.\n";
    case "srst":
      for (const key of Object.keys(facts.stats) as (keyof typeof facts.stats)[]) facts.stats[key] = 0;
      return "Server stats reset.\n";
    case "gtmk":
      return "306";
    default:
      return undefined;
  }
}

function serverLines(facts: ServerFacts): string {
  const { stats } = facts;
  return [
    `Latency min/avg/max: ${Math.round(stats.latencyMinMs)}/${average(facts)}/${Math.round(stats.latencyMaxMs)}`,
    `Received: ${stats.received}`,
    `Sent: ${stats.sent}`,
    `Connections: ${facts.connections.size}`,
    `Outstanding: ${outstanding(facts)}`,
    `Zxid: 0x${facts.lastZxid.toString(16)}`,
    "Mode: standalone",
    `Node count: ${nodeCount(facts)}`,
    "",
  ].join("\n");
}

function connectionLines(facts: ServerFacts, full: boolean): string {
  return [...facts.connections].map((connection) => `${connectionLine(connection, full)}\n`).join("");
}

function connectionLine(connection: ClientConnection, full: boolean): string {
  const { bytes, session, stats } = connection;
  const fields = [`queued=${connection.heldReplies}`, `recved=${stats.received}`, `sent=${stats.sent}`];
  if (full && session !== undefined) {
    fields.push(
      `sid=${hex(session.id)}`,
      `lop=${stats.lastOp}`,
      `est=${stats.establishedMs}`,
      `to=${session.timeoutMs}`,
    );
    if (stats.lastXid >= 0) fields.push(`lcxid=0x${stats.lastXid.toString(16)}`);
    fields.push(`lzxid=0x${Math.max(stats.lastZxid, 0).toString(16)}`, `lresp=${Math.round(stats.lastResponseMs)}`);
    fields.push("llat=0", "minlat=0", "avglat=0", "maxlat=0");
  }
  return ` /${bytes.remoteHost}:${bytes.remotePort}[${session === undefined ? 0 : 1}](${fields.join(",")})`;
}

function monitorLines(facts: ServerFacts): string {
  const { stats, tree, sessions, watches, syncs } = facts;
  const rows: [string, string | number][] = [
    ["zk_version", zookeeperVersion],
    ["zk_server_state", "standalone"],
    ["zk_avg_latency", average(facts)],
    ["zk_max_latency", Math.round(stats.latencyMaxMs)],
    ["zk_min_latency", Math.round(stats.latencyMinMs)],
    ["zk_packets_received", stats.received],
    ["zk_packets_sent", stats.sent],
    ["zk_num_alive_connections", facts.connections.size],
    ["zk_outstanding_requests", outstanding(facts)],
    ["zk_znode_count", nodeCount(facts)],
    ["zk_watch_count", watches.counts().watches],
    ["zk_ephemerals_count", tree.ephemeralCount()],
    ["zk_approximate_data_size", tree.dataSizeBytes],
    ["zk_global_sessions", sessions.size],
    ["zk_local_sessions", 0],
    ["zk_uptime", Math.round(facts.uptimeMs)],
    ["zk_connection_rejected", stats.rejected],
    ["zk_stale_sessions_expired", stats.expired],
    ["zk_snap_count", stats.snapshots],
    ["zk_avg_fsynctime", syncs.count === 0 ? "0.0" : (syncs.totalMs / syncs.count).toFixed(1)],
    ["zk_max_fsynctime", Math.round(syncs.maxMs)],
    ["zk_cnt_fsynctime", syncs.count],
    ["zk_sum_fsynctime", Math.round(syncs.totalMs)],
  ];
  return rows.map(([name, value]) => `${name}\t${value}\n`).join("");
}

function configLines({ options }: ServerFacts, asker: ClientConnection): string {
  const bytes = directoryBytes({ options });
  return [
    `clientPort=${asker.bytes.localPort}`,
    "secureClientPort=-1",
    `dataDir=${options.dir}`,
    `dataDirSize=${bytes.snapshots}`,
    `dataLogDir=${options.dir}`,
    `dataLogSize=${bytes.journals}`,
    `tickTime=${options.tickTimeMs}`,
    `maxClientCnxns=${options.connectionsPerHostMax}`,
    `minSessionTimeout=${options.sessionTimeoutMinMs}`,
    `maxSessionTimeout=${options.sessionTimeoutMaxMs}`,
    "clientPortListenBacklog=-1",
    "serverId=0",
    `jute.maxbuffer=${options.packetBytesMax}`,
    "",
  ].join("\n");
}

function environmentLines(): string {
  const megabytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)}MB`;
  const { heapUsed, rss } = process.memoryUsage();
  return [
    "Environment:",
    `zookeeper.version=${zookeeperVersion}`,
    `bun.version=${process.versions["bun"] ?? "none"}`,
    `os.name=${process.platform}`,
    `os.arch=${process.arch}`,
    `user.dir=${process.cwd()}`,
    `os.memory.used=${megabytes(heapUsed)}`,
    `os.memory.total=${megabytes(rss)}`,
    "",
  ].join("\n");
}

function dumpLines(facts: ServerFacts): string {
  const { sessions, tree, connections, options } = facts;
  const nowMs = options.env.monotonicMs();
  const expiry = (deadlineMs: number) => new Date(options.env.now() + deadlineMs - nowMs).toUTCString();
  const bySession = [...sessions.all()].sort((a: Session, b: Session) => a.deadlineMs - b.deadlineMs);
  const owners = [...tree.ephemerals()].filter(([, paths]) => paths.size > 0);
  return [
    "SessionTracker dump:",
    `Session Sets (${bySession.length})/(${bySession.length}):`,
    ...bySession.flatMap((session) => [`1 expire at ${expiry(session.deadlineMs)}:`, `\t${hex(session.id)}`]),
    "ephemeral nodes dump:",
    `Sessions with Ephemerals (${owners.length}):`,
    ...owners.flatMap(([id, paths]) => [`${hex(id)}:`, ...[...paths].map((path) => `\t${path}`)]),
    "Connections dump:",
    `Connections Sets (${connections.size})/(${connections.size}):`,
    ...[...connections].flatMap(({ bytes, session }) => [
      `1 expire at ${expiry(session?.deadlineMs ?? nowMs)}:`,
      `\tip: /${bytes.remoteHost}:${bytes.remotePort} sessionId: ${hex(session?.id ?? 0n)}`,
    ]),
    "",
  ].join("\n");
}

function watchLines<K, V>(
  groups: ReadonlyMap<K, Iterable<V> | ReadonlyMap<V, unknown>>,
  head: (key: K) => string,
  item: (value: V) => string,
): string {
  const lines: string[] = [];
  for (const [key, values] of groups) {
    lines.push(head(key));
    const items = values instanceof Map ? values.keys() : (values as Iterable<V>);
    for (const value of items) lines.push(`\t${item(value)}`);
  }
  return `${lines.map((line) => `${line}\n`).join("")}\n`;
}

function sessionName({ session }: ClientConnection): string {
  return hex(session?.id ?? 0n);
}

function hex(id: bigint): string {
  return `0x${id.toString(16)}`;
}

function average({ stats }: ServerFacts): string {
  return stats.answered === 0 ? "0.0" : (stats.latencySumMs / stats.answered).toFixed(1);
}

function outstanding({ connections }: ServerFacts): number {
  let count = 0;
  for (const connection of connections) count += connection.heldReplies;
  return count;
}

/** Apache counts its root twice, under "" and "/". */
function nodeCount({ tree }: ServerFacts): number {
  return tree.size + 1;
}

function directoryBytes({ options }: Pick<ServerFacts, "options">): { journals: number; snapshots: number } {
  const { disk, dir } = options;
  const bytes = { journals: 0, snapshots: 0 };
  for (const name of disk.list(dir)) {
    if (name.startsWith("journal-")) bytes.journals += disk.size(`${dir}/${name}`);
    else if (name.startsWith("snapshot-")) bytes.snapshots += disk.size(`${dir}/${name}`);
  }
  return bytes;
}
