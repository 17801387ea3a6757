// The cluster that a soak disturbs: three nodes on one machine out of one release, each with a supervisor of its own; the first has devZookeeper and conductor, the second
// keeps its stores on a small file system when this machine lets us mount one.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Unpacked, unpackedRelease } from "../../tests/release/built-release.ts";
import type { Daemon, LocalCluster } from "../local-cluster.ts";
import { soakModule, soakTasks } from "./module.ts";

const smallDiskMb = 2048;

export class SoakCluster implements AsyncDisposable {
  readonly nodes: readonly LocalCluster[];
  /** Where the second node's stores are; undefined when there is no small disk. */
  readonly smallDisk: string | undefined;
  readonly #unpacked: readonly Unpacked[];

  private constructor(unpacked: readonly Unpacked[]) {
    this.#unpacked = unpacked;
    this.nodes = unpacked.map(({ cluster }) => cluster);
    this.smallDisk = mounted(join(this.nodes[1]!.home, "local-rama-data/supervisor/data"));
  }

  static async start(): Promise<SoakCluster> {
    const cluster = new SoakCluster([unpackedRelease(), unpackedRelease(), unpackedRelease()]);
    try {
      const [first, ...others] = cluster.nodes;
      await first!.startAll();
      for (const node of others) {
        node.ports.zookeeper = first!.ports.zookeeper;
        node.ports.conductor = first!.ports.conductor;
        await node.start("supervisor");
      }
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get first(): LocalCluster {
    return this.nodes[0]!;
  }

  async deploy(action: "launch" | "update", module: string, replicas = 1): Promise<void> {
    const file = `${module}.ts`;
    writeFileSync(join(this.first.home, file), soakModule(module));
    // The small disk is not larger than what the default keeps free.
    writeFileSync(join(this.first.home, "overrides.yaml"), 'disk.min.free: "16m"\n');
    const size = ["--tasks", String(soakTasks), "--threads", "4", "--workers", "2"];
    const launch = [...size, "--replicationFactor", String(replicas)];
    const { code, err } = await this.first.rama(
      "deploy",
      "--action",
      action,
      "--jar",
      file,
      "--configOverrides",
      "overrides.yaml",
      ...(action === "launch" ? launch : []),
    );
    if (code !== 0) throw new Error(`deploy --action ${action} of ${module} ended with ${code}: ${err}`);
  }

  /** Kills the daemons named, and the workers of the node when its supervisor is one of them and `workers` is set. */
  async kill(node: LocalCluster, daemons: readonly Daemon[], workers = false): Promise<void> {
    const pids = workers ? node.workerPids() : [];
    await Promise.all(daemons.map((daemon) => node.kill(daemon)));
    for (const pid of pids) signal(pid, "SIGKILL");
  }

  /** Tries until it runs: a machine under load may take longer than one try allows. */
  async start(node: LocalCluster, daemon: Daemon): Promise<void> {
    for (let left = 2; ; left--) {
      try {
        await node.start(daemon);
        return;
      } catch (error) {
        if (left === 0) throw error;
        await node.kill(daemon);
      }
    }
  }

  /** Name and pid of all that lives, this process as "clients". */
  *processes(): Generator<readonly [string, number]> {
    yield ["clients", process.pid];
    for (const [i, node] of this.nodes.entries()) {
      for (const daemon of ["devZookeeper", "conductor", "supervisor"] as const) {
        const pid = node.pid(daemon);
        if (pid !== undefined) yield [`node ${i + 1} ${daemon}`, pid];
      }
      for (const [worker, pid] of workersOf(node)) yield [`node ${i + 1} ${worker}`, pid];
    }
  }

  /** A copy of all logs, for who looks for the cause of a failure. */
  keepLogs(): string {
    const to = mkdtempSync(join(tmpdir(), "rama-soak-logs-"));
    for (const [i, { home }] of this.nodes.entries()) {
      const node = join(to, `node-${i + 1}`);
      cpSync(join(home, "logs"), join(node, "logs"), { recursive: true });
      const workers = join(home, "local-rama-data/supervisor/workers");
      if (existsSync(workers)) cpSync(workers, join(node, "workers"), { recursive: true });
    }
    return to;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node.end();
    if (this.smallDisk !== undefined) spawnSync("umount", ["-l", this.smallDisk]);
    for (const unpacked of this.#unpacked) await unpacked[Symbol.asyncDispose]();
  }
}

/** False: there is no such process any more. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

function workersOf(node: LocalCluster): [string, number][] {
  const dir = join(node.home, "local-rama-data/supervisor/workers");
  if (!existsSync(dir)) return [];
  const alive = new Set(node.workerPids());
  const found: [string, number][] = [];
  for (const name of readdirSync(dir)) {
    try {
      const { pid } = JSON.parse(readFileSync(join(dir, name, "process.json"), "utf8")) as { pid: number };
      if (alive.has(pid)) found.push([`worker ${name.slice(0, 8)}${name.slice(-3)}`, pid]);
    } catch {
      // It is just being started or removed.
    }
  }
  return found;
}

function mounted(path: string): string | undefined {
  mkdirSync(path, { recursive: true });
  const done = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${smallDiskMb}m`, "tmpfs", path]);
  return done.status === 0 ? path : undefined;
}

/** Fills the file system up to `freeBytes`; `clearDisk` takes it back. */
export function fillDisk(path: string, freeBytes: number): void {
  const filler = join(path, "filler");
  spawnSync("sh", ["-c", `dd if=/dev/zero of=${filler} bs=1M 2>/dev/null; truncate -s -${freeBytes} ${filler}`]);
}

export function clearDisk(path: string): void {
  rmSync(join(path, "filler"), { force: true });
}
