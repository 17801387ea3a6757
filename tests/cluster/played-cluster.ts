import { encodeControl, decodeControl } from "../../src/base/codec.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import { conductorApp } from "../../src/http/conductor-app.ts";
import { RpcClient } from "../../src/net/rpc.ts";
import { type LaunchRequest, PUT_BUNDLE } from "../../src/protocol/conductor.ts";
import { sha256 } from "../../src/roles/conductor/bundles.ts";
import { Conductor } from "../../src/roles/conductor/conductor.ts";
import { Supervisor } from "../../src/roles/supervisor/supervisor.ts";
import { WorkerFiles } from "../../src/roles/supervisor/worker-files.ts";
import type { WorkerAssignment } from "../../src/roles/worker/assignment.ts";
import { type MemoryPlatform, MemoryWorld } from "../../src/testing/platform-memory.ts";

const config = configOf(
  {
    "conductor.host": "localhost",
    "zookeeper.servers": ["localhost"],
    "conductor.port": 0,
    "cluster.ui.port": 0,
    "supervisor.port.range": 0,
    "supervisor.http.port": 0,
  },
  "test",
);
export const bundle = new TextEncoder().encode("export class M {}");

/** Plays processes: a started worker says that it serves, unless it is told to die. */
class PlayedWorkers {
  readonly running = new Map<number, WorkerAssignment>();
  /** Of pids that a stranger has got. */
  readonly births = new Map<number, string>();
  started = 0;
  dieAtStart = false;
  /** SIGTERM is not obeyed. */
  stubborn = false;
  #nextPid = 1000;

  constructor(readonly world: () => MemoryPlatform) {}

  start(assignmentPath: string): number {
    this.started++;
    const pid = this.#nextPid++;
    const { disk, env } = this.world();
    const assignment = JSON.parse(new TextDecoder().decode(disk.readFile(assignmentPath))) as WorkerAssignment;
    const files = new WorkerFiles(disk, assignment.workerDir);
    if (this.dieAtStart) {
      files.writeFailure("the module's class throws");
      return pid;
    }
    this.running.set(pid, assignment);
    files.writeHeartbeat({ pid, atMs: env.now() });
    if (assignment.waits === true) {
      files.writePrepared({ pid, groupPorts: {} });
      env.spawn("wait", () => this.#serveWhenLetGo(files, assignment, pid));
    } else this.#serve(files, assignment, pid);
    return pid;
  }

  async #serveWhenLetGo(files: WorkerFiles, assignment: WorkerAssignment, pid: number): Promise<void> {
    while (this.running.has(pid) && !files.isLetGo) await Bun.sleep(2);
    if (this.running.has(pid)) this.#serve(files, assignment, pid);
  }

  #serve(files: WorkerFiles, assignment: WorkerAssignment, pid: number): void {
    this.world().disk.mkdir(assignment.dataDir);
    const groupPorts = Object.fromEntries(assignment.groups.map((group) => [group, 5000 + pid]));
    files.writeStatus({ pid, helloPort: 4000, groupPorts, recovered: { entries: 0, tornBytes: 0, ms: 1 } });
  }
}

export async function cluster() {
  let platform!: MemoryPlatform;
  const workers = new PlayedWorkers(() => platform);
  const world = new MemoryWorld({
    processes: {
      start: () => ({ pid: 0 }),
      birth: (pid) => (workers.running.has(pid) ? (workers.births.get(pid) ?? "first") : undefined),
      signal: (pid) => void (workers.stubborn || workers.running.delete(pid)),
    },
  });
  platform = world.platform();
  const closing: (() => Promise<void>)[] = [];
  const startConductor = async (own: MemoryPlatform) =>
    Conductor.start({ platform: own, config, localDir: "/local", release: "0.1.0", pid: 1, httpApp: conductorApp });
  const startSupervisor = async (own: MemoryPlatform) =>
    Supervisor.start({
      platform: own,
      config,
      localDir: "/local",
      release: "0.1.0",
      pid: 2,
      host: "localhost",
      libDir: "/lib",
      startWorker: ({ assignmentPath }) => workers.start(assignmentPath),
    });
  cleanups.push(async () => {
    for (const close of closing.reverse()) await close();
  });
  return { world, platform, workers, startConductor, startSupervisor, closing };
}

export const cleanups: (() => Promise<void>)[] = [];

/** For `afterEach`: everything that the test has opened. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0)) await cleanup();
}

export function caller(platform: MemoryPlatform, port: number) {
  const client = new RpcClient(platform.env, platform.transport, { host: "localhost", port });
  cleanups.push(async () => client.close());
  return async <T>(method: number, body: unknown): Promise<T> =>
    decodeControl(await client.call(method, encodeControl(body), 20_000)) as T;
}

export const launchRequest = (name: string, more: Partial<LaunchRequest> = {}): LaunchRequest => ({
  moduleName: name,
  moduleExport: "M",
  bundleHash: sha256(bundle),
  ramaVersion: "0.1.0",
  tasks: 4,
  threads: 2,
  workers: 1,
  replicationFactor: 1,
  configOverrides: {},
  options: [],
  objects: { depots: [], pstates: [], queries: [] },
  dependencies: [],
  ...more,
});

export async function launched(c: Awaited<ReturnType<typeof cluster>>) {
  const conductor = await c.startConductor(c.platform);
  const supervisor = await c.startSupervisor(c.platform);
  c.closing.push(
    () => conductor.stop(),
    () => supervisor.stop(),
  );
  const call = caller(c.platform, conductor.port);
  await call(PUT_BUNDLE, { hash: sha256(bundle), offset: 0, total: bundle.length, bytes: bundle });
  return { conductor, supervisor, call };
}

export async function until<T>(probe: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    await Bun.sleep(5);
  }
}
