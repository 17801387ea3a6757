// `npm run bench:failover [-- --times 20 --kinds worker,machine,paused]`: how long one partition takes no record when its leader goes, on three machines with the compiled executable and
// Apache ZooKeeper. Measured by a client outside: from the signal to the first acknowledgement of an append that began after it; and, by a watch of the group's record, to
// the election. Prints a table for docs/reliability.md.
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemEnv } from "../../src/base/env-system.ts";
import type { RamaClusterManager } from "../../src/client.ts";
import type { Metastore } from "../../src/metastore/metastore.ts";
import { openZookeeperMetastore } from "../../src/metastore/metastore-zookeeper.ts";
import { fromNode } from "../../src/metastore/tree.ts";
import type { GroupRecord } from "../../src/replication/group-record.ts";
import { until } from "../release/built-release.ts";
import { moduleName, moduleSource } from "./module.ts";
import { type Node, RealCluster } from "./nodes.ts";

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "20" },
    kinds: { type: "string", default: "worker,machine,paused" },
    session: { type: "string", default: "5000" },
  },
});
const sessionMs = Number(values.session);

interface Kind {
  readonly name: string;
  /** It cannot be known before the session's end that the leader is gone. */
  readonly bySession: boolean;
  begin(node: Node): void;
  end(node: Node): unknown;
}

const killAll = (pids: readonly number[]) => {
  for (const pid of pids) process.kill(pid, "SIGKILL");
};
const kinds: Readonly<Record<string, Kind>> = {
  worker: {
    name: "worker killed (kill -9), its supervisor lives",
    bySession: false,
    begin: (node) => killAll(node.workerPids()),
    end: () => {},
  },
  machine: {
    name: "machine killed (kill -9 of supervisor and worker)",
    bySession: true,
    begin: (node) => killAll(node.pids()),
    end: async (node) => {
      await node.kill();
      await node.start();
    },
  },
  paused: {
    name: "machine paused (SIGSTOP of supervisor and worker)",
    bySession: true,
    begin: (node) => node.signal("SIGSTOP"),
    end: (node) => node.signal("SIGCONT"),
  },
};

interface Row {
  readonly role: string;
  readonly inSync: boolean;
  readonly host: string;
}

await using cluster = await RealCluster.start(3, { settings: { "zookeeper.session.timeout.millis": sessionMs } });
writeFileSync(join(cluster.conductor.home, "module.ts"), moduleSource);
const size = ["--tasks", "1", "--threads", "1", "--workers", "1", "--replicationFactor", "3"];
const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "module.ts", ...size);
if (deployed.code !== 0) throw new Error(deployed.err);
const manager = await cluster.client();
const { host, port } = cluster.zookeeper;
const metastore = await openZookeeperMetastore(systemEnv({ sink: () => {}, logLevel: "error" }), {
  servers: [`${host}:${port}`],
  root: "/rama",
  sessionTimeoutMs: 10_000,
});
const stop = new AbortController();
const record = await watchRecord(metastore);
const lines: string[] = [];
for (const name of values.kinds.split(",")) lines.push(await measure(kinds[name]!));
stop.abort();
await metastore.close();
console.log(`\nsession timeout ${sessionMs} ms, load of the machine ${loadavg()[0]!.toFixed(1)}\n`);
console.log(
  "| the leader's | to the election p50 / p99 | to the first acknowledged append p50 / p99 | beyond the session timeout p50 / p99 | times |",
);
console.log(`|---|---|---|---|---|\n${lines.join("\n")}`);

/** The one group's record as it changes. */
async function watchRecord(store: Metastore): Promise<{ epoch: number; sinceMs: number }> {
  const [dataId] = await store.children("/groups");
  const seen = { epoch: 0, sinceMs: 0 };
  void (async () => {
    for await (const node of store.watch(`/groups/${dataId}/0`, stop.signal)) {
      if (node === undefined) continue;
      const { epoch } = fromNode<GroupRecord>(node.data);
      if (epoch > seen.epoch) Object.assign(seen, { epoch, sinceMs: performance.now() });
    }
  })();
  return seen;
}

async function rows(): Promise<Row[]> {
  const { out, err } = await cluster.rama("taskGroupsStatus", moduleName, "--json");
  return err === "" ? (JSON.parse(out) as Row[]) : [];
}

async function measure(kind: Kind): Promise<string> {
  const elections: number[] = [];
  const acks: number[] = [];
  for (let time = 0; time < Number(values.times); time++) {
    await until("all replicas in sync", async () => {
      const all = await rows();
      return all.length === 3 && all.every(({ inSync, role }) => inSync && (role === "leader" || role === "follower"));
    });
    const leader = (await rows()).find(({ role }) => role === "leader")!.host;
    const node = cluster.nodes[cluster.network.machines.findIndex(({ address }) => address === leader)]!;
    const load = new Appends(manager);
    await load.first(0);
    const { epoch } = record;
    kind.begin(node);
    const startMs = performance.now();
    acks.push((await load.first(startMs)) - startMs);
    if (record.epoch > epoch) elections.push(record.sinceMs - startMs);
    await load.end();
    await kind.end(node);
    console.error(
      `${kind.name} ${time + 1}: elected after ${Math.round(elections.at(-1)!)} ms, acked after ${Math.round(acks.at(-1)!)} ms`,
    );
  }
  const beyond = kind.bySession ? acks.map((ms) => ms - sessionMs) : acks;
  return `| ${kind.name} | ${both(elections)} | ${both(acks)} | ${both(beyond)} | ${acks.length} |`;
}

function both(sample: readonly number[]): string {
  const sorted = [...sample].sort((x, y) => x - y);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]! / 1000).toFixed(2);
  return `${at(0.5)} / ${at(0.99)} s`;
}

/** A new append every few milliseconds, whatever became of those before. */
class Appends {
  readonly #depot: ReturnType<RamaClusterManager["clusterDepot"]>;
  readonly #open = new Set<Promise<void>>();
  #stop = false;
  #since = Number.POSITIVE_INFINITY;
  #told: (ackMs: number) => void = () => {};
  readonly #loop: Promise<void>;

  constructor(of: RamaClusterManager) {
    this.#depot = of.clusterDepot(moduleName, "*events");
    this.#loop = this.#run();
  }

  /** When an append that began at `sinceMs` or later is acknowledged first. */
  first(sinceMs: number): Promise<number> {
    this.#since = sinceMs;
    return new Promise((resolve) => {
      this.#told = resolve;
    });
  }

  async #run(): Promise<void> {
    for (let seq = 0; !this.#stop; seq++) {
      const append = this.#append(seq).finally(() => this.#open.delete(append));
      this.#open.add(append);
      await Bun.sleep(10);
    }
  }

  async #append(seq: number): Promise<void> {
    const beganMs = performance.now();
    try {
      await this.#depot.append({ user: "one", lane: 0, seq });
      if (beganMs >= this.#since) this.#told(performance.now());
    } catch {
      // What a leader's end may do to an append is looked at by the cases.
    }
  }

  async end(): Promise<void> {
    this.#stop = true;
    await this.#loop;
    await Promise.all(this.#open);
  }
}
