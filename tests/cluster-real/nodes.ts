// A cluster of several nodes out of the compiled executable: Apache ZooKeeper and the conductor at this process's address, a supervisor on each machine of a network of
// namespaces. Each node has a directory of its own; nothing is shared but the executable.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RamaClusterManager } from "../../src/client.ts";
import { type RealZookeeper, startRealZookeeper } from "../real-zookeeper.ts";
import { type Unpacked, unpackedRelease, until } from "../release/built-release.ts";
import { type Machine, Network } from "./network.ts";

/** Of an address that nobody else has. */
export const conductorPort = 1973;

type Role = "conductor" | "supervisor";

/** One directory of the product with its process and what that has started. */
export class Node {
  readonly home: string;
  readonly #role: Role;
  readonly #words: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #child: Bun.Subprocess | undefined;

  constructor(home: string, role: Role, words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.home = home;
    this.#env = env;
    this.#role = role;
    this.#words = words;
  }

  async start(): Promise<void> {
    const ports = join(this.home, "local-rama-data", this.#role, "ports.json");
    rmSync(ports, { force: true });
    const log = Bun.file(join(this.home, "logs", `${this.#role}.out`));
    this.#child = Bun.spawn([...this.#words], {
      cwd: this.home,
      stdin: "ignore",
      stdout: log,
      stderr: Bun.file(join(this.home, "logs", `${this.#role}.err`)),
      env: { ...process.env, ...this.#env, RAMA_HOME: this.home },
    });
    await until(`${this.#role} in ${this.home}`, () => {
      if (this.#child!.exitCode !== null) throw new Error(`${this.#role} ended:\n${this.log()}`);
      return existsSync(ports);
    });
  }

  /** Those that live: the daemon and, on a supervisor's node, its workers. */
  pids(): number[] {
    const workers = this.workerPids();
    return this.#child === undefined || this.#child.exitCode !== null ? workers : [this.#child.pid, ...workers];
  }

  workerPids(): number[] {
    const dir = join(this.home, "local-rama-data/supervisor/workers");
    if (!existsSync(dir)) return [];
    return [...new Bun.Glob("*/process.json").scanSync({ cwd: dir })]
      .map((name) => (JSON.parse(readFileSync(join(dir, name), "utf8")) as { pid: number }).pid)
      .filter(isAlive);
  }

  signal(signal: NodeJS.Signals): void {
    for (const pid of this.pids()) process.kill(pid, signal);
  }

  /** The daemon alone: its workers go on. */
  async killDaemon(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** As a node that loses its power: everything on it at once. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    // By what they were started with: a worker that the supervisor had just started is in no file yet.
    const pids = processesWith(this.home);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until("the end of killed processes", () => !pids.some(isAlive));
  }

  log(): string {
    return readFileSync(join(this.home, "logs", `${this.#role}.err`), "utf8")
      .split("\n")
      .slice(-20)
      .join("\n");
  }
}

/** What the nodes of supervisors have that others have not. */
export interface NodeParts {
  /** Their data is on a file system of its own in memory, of so many bytes. */
  readonly diskBytes?: number;
  /** Their clocks are as far from this machine's as the file `clock` in their directory says (libfaketime). */
  readonly clock?: boolean;
  readonly settings?: Readonly<Record<string, unknown>>;
}

const faketime = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/faketime/libfaketimeMT.so.1`;
export const hasFaketime = () => existsSync(faketime);

export class RealCluster implements AsyncDisposable {
  readonly network: Network;
  readonly nodes: readonly Node[];
  readonly conductor: Node;
  readonly #dir: string;
  readonly #unpacked: Unpacked;
  readonly zookeeper: RealZookeeper;
  readonly #parts: NodeParts;
  readonly #mounts: string[] = [];
  #manager: RamaClusterManager | undefined;

  private constructor(dir: string, network: Network, unpacked: Unpacked, zookeeper: RealZookeeper, parts: NodeParts) {
    this.#dir = dir;
    this.network = network;
    this.#unpacked = unpacked;
    this.zookeeper = zookeeper;
    this.#parts = parts;
    const executable = unpacked.cluster.executable;
    this.conductor = this.#node("conductor", "conductor", [executable, "conductor"], network.address);
    this.nodes = network.machines.map((machine, i) =>
      this.#node(`node-${i + 1}`, "supervisor", network.on(machine, executable, "supervisor"), machine.address),
    );
  }

  /** Running, with as many supervisors as asked for. */
  static async start(count: number, parts: NodeParts = {}): Promise<RealCluster> {
    const network = Network.create(count);
    const dir = mkdtempSync(join(tmpdir(), "rama-nodes-"));
    const unpacked = unpackedRelease();
    const zookeeper = await startRealZookeeper({ host: network.address });
    const cluster = new RealCluster(dir, network, unpacked, zookeeper, parts);
    try {
      await cluster.conductor.start();
      await Promise.all(cluster.nodes.map((node) => node.start()));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  machine(node: number): Machine {
    return this.network.machines[node]!;
  }

  async client(): Promise<RamaClusterManager> {
    this.#manager ??= await RamaClusterManager.open({
      "conductor.host": this.network.address,
      "conductor.port": conductorPort,
    });
    return this.#manager;
  }

  /** A command of the CLI, beside the conductor. */
  async rama(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const { executable } = this.#unpacked.cluster;
    const env = { ...process.env, RAMA_HOME: this.conductor.home };
    const child = Bun.spawn([executable, ...args], { cwd: this.conductor.home, env, stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#manager?.close();
    for (const node of [...this.nodes, this.conductor]) {
      node.signal("SIGCONT");
      await node.kill();
    }
    await this.zookeeper.stop();
    await this.#unpacked[Symbol.asyncDispose]();
    this.network[Symbol.dispose]();
    for (const path of this.#mounts) Bun.spawnSync(["umount", path]);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #node(name: string, role: Role, words: readonly string[], address: string): Node {
    const home = join(this.#dir, name);
    mkdirSync(join(home, "logs"), { recursive: true });
    symlinkSync(join(this.#unpacked.home, "lib"), join(home, "lib"));
    const { diskBytes, clock } = role === "supervisor" ? this.#parts : {};
    if (diskBytes !== undefined) this.#mount(join(home, "local-rama-data"), diskBytes);
    const settings = {
      "zookeeper.servers": [this.network.address],
      "zookeeper.port": this.zookeeper.port,
      "conductor.host": this.network.address,
      "conductor.port": conductorPort,
      "cluster.ui.port": 0,
      "bind.address": address,
      "supervisor.host": address,
      "supervisor.port.range": 0,
      ...this.#parts.settings,
    };
    writeFileSync(join(home, "rama.yaml"), yamlOf(settings));
    return new Node(home, role, words, clock ? clockOf(home) : {});
  }

  #mount(path: string, bytes: number): void {
    mkdirSync(path);
    const done = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path]);
    if (done.exitCode !== 0) throw new Error(done.stderr.toString());
    this.#mounts.push(path);
  }
}

/** What a process started with this takes for the time is in a file that it reads each time. */
function clockOf(home: string): Record<string, string> {
  const file = join(home, "clock");
  writeFileSync(file, "+0\n");
  return {
    LD_PRELOAD: faketime,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
}

function yamlOf(settings: Readonly<Record<string, unknown>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
    .join("");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed process that nobody has waited for yet is gone for us.
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

function processesWith(path: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${path}/`) && isAlive(pid);
      } catch {
        return false;
      }
    });
}
