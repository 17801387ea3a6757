// A single-node cluster out of an unpacked release, with every port free and a `local.dir` of its own: for the demo, the benchmarks and the tests of the executable.
// Each daemon is a process as a user would start it; the ports come from their ports.json.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Daemon = "devZookeeper" | "conductor" | "supervisor";
export const daemonsInOrder: readonly Daemon[] = ["devZookeeper", "conductor", "supervisor"];

export interface LocalCluster {
  /** The release's directory: executable, rama.yaml, logs. */
  readonly home: string;
  readonly executable: string;
  /** Ports once started. */
  readonly ports: { zookeeper: number; conductor: number; ui: number; rest: number };
  start(daemon: Daemon): Promise<void>;
  startAll(): Promise<void>;
  /** SIGKILL to a daemon. */
  kill(daemon: Daemon): Promise<void>;
  /** SIGTERM; resolves to its exit code. */
  stop(daemon: Daemon): Promise<number>;
  /** A command of the CLI. */
  rama(...args: string[]): Promise<{ code: number; out: string; err: string }>;
  /** Pids of the workers' processes. */
  workerPids(): number[];
  pid(daemon: Daemon): number | undefined;
  /** Ends everything, workers too, and deletes nothing. */
  end(): Promise<void>;
  logTail(daemon: Daemon, lines?: number): string;
}

export interface LocalClusterOptions {
  readonly home: string;
  readonly executable?: string;
  /** Further settings of rama.yaml. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

const startTimeoutMs = 20_000;

export function localCluster(options: LocalClusterOptions): LocalCluster {
  const { home } = options;
  const executable = options.executable ?? join(home, "rama");
  const localDir = join(home, "local-rama-data");
  const ports = { zookeeper: 0, conductor: 0, ui: 0, rest: 0 };
  const running = new Map<Daemon, Bun.Subprocess>();

  const writeYaml = (): void => {
    const settings = {
      "zookeeper.servers": ["localhost"],
      "conductor.host": "localhost",
      "zookeeper.port": ports.zookeeper,
      "conductor.port": ports.conductor,
      "cluster.ui.port": ports.ui,
      "supervisor.port.range": 0,
      "supervisor.http.port": ports.rest,
      ...options.settings,
    };
    writeFileSync(
      join(home, "rama.yaml"),
      `${Object.entries(settings)
        .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
        .join("\n")}\n`,
    );
  };

  const portsFile = (daemon: Daemon): string => join(localDir, daemon, "ports.json");

  const cluster: LocalCluster = {
    home,
    executable,
    ports,
    async start(daemon) {
      writeYaml();
      mkdirSync(join(home, "logs"), { recursive: true });
      rmSync(portsFile(daemon), { force: true });
      const out = Bun.file(join(home, "logs", `${daemon}.out`));
      const child = Bun.spawn([executable, daemon], {
        cwd: home,
        stdin: "ignore",
        stdout: out,
        stderr: "pipe",
        env: { ...process.env, RAMA_HOME: home },
      });
      void keepErrors(child, join(home, "logs", `${daemon}.err`));
      running.set(daemon, child);
      const deadline = performance.now() + startTimeoutMs;
      while (!existsSync(portsFile(daemon))) {
        if (child.exitCode !== null)
          throw new Error(`${daemon} ended with ${child.exitCode}:\n${cluster.logTail(daemon)}`);
        if (performance.now() > deadline)
          throw new Error(`${daemon} was not ready within ${startTimeoutMs / 1000} s:\n${cluster.logTail(daemon)}`);
        await Bun.sleep(5);
      }
      const taken = JSON.parse(readFileSync(portsFile(daemon), "utf8")) as Record<string, number>;
      if (daemon === "devZookeeper") ports.zookeeper = taken["client"]!;
      if (daemon === "conductor") Object.assign(ports, { conductor: taken["rpc"], ui: taken["ui"] });
      if (daemon === "supervisor") ports.rest = taken["http"]!;
      writeYaml();
    },
    async startAll() {
      for (const daemon of daemonsInOrder) await cluster.start(daemon);
    },
    async kill(daemon) {
      const child = running.get(daemon);
      child?.kill("SIGKILL");
      await child?.exited;
      running.delete(daemon);
    },
    async stop(daemon) {
      const child = running.get(daemon);
      if (!child) return 0;
      child.kill("SIGTERM");
      running.delete(daemon);
      return child.exited;
    },
    async rama(...args) {
      const child = Bun.spawn([executable, ...args], {
        cwd: home,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, RAMA_HOME: home },
      });
      const [out, err, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { code, out, err };
    },
    workerPids() {
      const dir = join(localDir, "supervisor/workers");
      if (!existsSync(dir)) return [];
      return [...new Bun.Glob("*/process.json").scanSync({ cwd: dir })]
        .map((name) => (JSON.parse(readFileSync(join(dir, name), "utf8")) as { pid: number }).pid)
        .filter(isAlive);
    },
    pid: (daemon) => running.get(daemon)?.pid,
    async end() {
      for (const daemon of [...daemonsInOrder].reverse()) await cluster.kill(daemon);
      for (const pid of cluster.workerPids()) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It has ended meanwhile.
        }
        while (isAlive(pid)) await Bun.sleep(5);
      }
    },
    logTail(daemon, lines = 20) {
      const path = join(home, "logs", `${daemon}.err`);
      return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "";
    },
  };
  return cluster;
}

async function keepErrors(child: Bun.Subprocess, path: string): Promise<void> {
  writeFileSync(path, "");
  const sink = Bun.file(path).writer();
  for await (const chunk of child.stderr as ReadableStream<Uint8Array>) {
    sink.write(chunk);
    await sink.flush();
  }
  await sink.end();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
