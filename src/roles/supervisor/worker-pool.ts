// The worker processes of a supervisor: starts them with an assignment file, watches them by their files (worker-files.ts), and makes their reports.
import { RamaError } from "../../base/errors.ts";
import type { Config } from "../../config/rama-yaml.ts";
import { configOf } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import { dataIdOf, type ModulePauses, type WorkerReport, type WorkerTask } from "../../protocol/cluster-records.ts";
import { bindAddress } from "../cluster-settings.ts";
import type { WorkerAssignment } from "../worker/assignment.ts";
import type { ObservedWorker } from "./reconcile.ts";
import { type ProcessFile, WorkerFiles } from "./worker-files.ts";
import { WorkerPorts } from "./worker-ports.ts";

/** Starts the process of a worker (the executable as `worker <assignment file>`); returns its pid. */
export type StartWorker = (start: {
  readonly workerId: string;
  readonly assignmentPath: string;
  readonly config: Config;
}) => number;

interface PoolOptions {
  readonly supervisorId: string;
  readonly platform: Platform;
  readonly config: Config;
  readonly host: string;
  readonly libDir: string;
  /** host:port of those who tell routes: this supervisor first, then the conductor. */
  readonly routeServers: () => readonly string[];
  readonly startWorker: StartWorker;
}

/** A process, since when this supervisor knows of it, and its last sign of life: what it wrote, and when that was seen. */
interface Seen {
  readonly pid: number;
  readonly sinceMs: number;
  heartbeat: number;
  heartbeatMs: number;
}

/** A worker that has run for so long starts counting its starts anew. */
const steadyMs = 3_000;
const longestLookMs = 1_000;

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #dir: string;
  readonly #ports: WorkerPorts;
  readonly #stopping = new Map<string, number>();
  readonly #seen = new Map<string, Seen>();
  #lookedMs = 0;

  constructor(options: PoolOptions, dir: string) {
    this.#options = options;
    this.#dir = dir;
    this.#ports = new WorkerPorts(options.config.get<[number, number] | 0>("supervisor.port.range"));
    for (const workerId of WorkerFiles.list(options.platform.disk, dir)) this.#adopt(workerId);
  }

  /**
   * Opens something of the supervisor's own on the first port of the range that no one else holds. PORT_IN_USE when none is free.
   */
  async onFreePort<T>(holder: string, open: (port: number) => Promise<T>): Promise<T> {
    for (;;) {
      const [port] = this.#ports.take(holder, 1);
      try {
        return await open(port!);
      } catch (error) {
        if (!(error instanceof RamaError) || error.code !== "PORT_IN_USE" || port === 0) throw error;
        this.#ports.avoid(port!);
      }
    }
  }

  observe(): Map<string, ObservedWorker> {
    const { platform } = this.#options;
    const observed = new Map<string, ObservedWorker>();
    this.#look();
    for (const workerId of WorkerFiles.list(platform.disk, this.#dir)) {
      const files = this.#files(workerId);
      const process = files.process();
      const pid = process?.pid ?? 0;
      const alive = process !== undefined && this.#isAlive(process);
      const ready = pid !== 0 && files.status(pid) !== undefined;
      const prepared = pid !== 0 && files.prepared(pid) !== undefined;
      const seen = this.#see(workerId, pid, files);
      if (process && ready && alive) this.#noteReady(files, process, seen);
      observed.set(workerId, {
        workerId,
        pid,
        alive,
        ready,
        prepared,
        startedMs: seen.sinceMs,
        lastHeartbeatMs: seen.heartbeatMs,
        startedAtMs: process?.startedMs ?? 0,
        starts: process?.starts ?? 0,
        startsInARow: process?.startsInARow ?? 0,
        everReady: process?.everReady ?? false,
        stoppingSinceMs: this.#stopping.get(workerId) ?? 0,
      });
    }
    return observed;
  }

  /** Where its files are, whether it has been started or not. */
  workerDir(workerId: string): string {
    return this.#files(workerId).dir;
  }

  /** What the worker that runs was told when it was started. */
  pausesAtStart(workerId: string): ModulePauses {
    return this.assigned(workerId)?.pauses ?? {};
  }

  start(task: WorkerTask, bundlePath: string, pauses: ModulePauses): number {
    const { platform, config } = this.#options;
    const files = this.#files(task.workerId);
    const before = files.process();
    const workerConfig = config.with(configOf(task.instance.configOverrides, "--configOverrides"));
    const assignment = { ...this.#assignment(task, bundlePath, workerConfig, files), pauses };
    files.create(assignment);
    const pid = this.#options.startWorker({
      workerId: task.workerId,
      assignmentPath: files.assignmentPath,
      config: workerConfig,
    });
    try {
      files.writeProcess({
        pid,
        birth: platform.processes.birth(pid) ?? "gone",
        startedMs: platform.env.now(),
        starts: (before?.starts ?? 0) + 1,
        startsInARow: (before?.startsInARow ?? 0) + 1,
        everReady: before?.everReady ?? false,
      });
    } catch (error) {
      // Nobody would know of it, and it would keep the stores from the next one.
      platform.processes.signal(pid, "SIGKILL");
      throw error;
    }
    this.#seen.delete(task.workerId);
    this.#see(task.workerId, pid, files);
    return pid;
  }

  terminate(workerId: string, pid: number): void {
    if (this.#stopping.has(workerId)) return;
    this.#stopping.set(workerId, this.#options.platform.env.monotonicMs());
    this.#options.platform.processes.signal(pid, "SIGTERM");
  }

  letGo(workerId: string): void {
    this.#files(workerId).letGo();
  }

  /** What the worker was last told to be, as far as its directory is there. */
  assigned(workerId: string): WorkerAssignment | undefined {
    return this.#files(workerId).assignment<WorkerAssignment>();
  }

  /** Deletes its directory, and its stores unless a task names them, too. */
  remove(workerId: string, tasks: readonly WorkerTask[]): void {
    const files = this.#files(workerId);
    const assignment = this.assigned(workerId);
    const { disk } = this.#options.platform;
    if (assignment !== undefined) {
      const isNamed = tasks.some((task) => this.#dataDir(task) === assignment.dataDir);
      const others = WorkerFiles.list(disk, this.#dir).filter((other) => other !== workerId);
      const isUsed = others.some((other) => this.assigned(other)?.dataDir === assignment.dataDir);
      if (!isNamed && !isUsed) disk.removeTree(assignment.dataDir);
    }
    files.remove();
    this.#ports.release(workerId);
    this.#stopping.delete(workerId);
    this.#seen.delete(workerId);
  }

  /** undefined before the first start. */
  report(
    task: WorkerTask,
    worker: ObservedWorker | undefined,
    supervisorId: string,
    host: string,
  ): WorkerReport | undefined {
    if (!worker || worker.pid === 0) return undefined;
    const files = this.#files(task.workerId);
    const status = worker.alive ? files.status(worker.pid) : undefined;
    const prepared = worker.alive ? files.prepared(worker.pid) : undefined;
    const failed = !worker.alive && !worker.everReady && worker.startsInARow >= 3;
    return {
      workerId: task.workerId,
      workerIndex: task.workerIndex,
      supervisorId,
      host,
      state: status ? "running" : failed ? "failed" : prepared ? "prepared" : "starting",
      pid: worker.pid,
      helloPort: status?.helloPort ?? 0,
      groupPorts: (status ?? prepared)?.groupPorts ?? {},
      startedMs: worker.startedAtMs,
      starts: worker.starts,
      ...(status ? { recovered: status.recovered } : {}),
      ...(failed ? { error: files.failure() ?? "its log says why" } : {}),
    };
  }

  #assignment(task: WorkerTask, bundlePath: string, config: Config, files: WorkerFiles): WorkerAssignment {
    const { instance } = task;
    const isReplicated = instance.replicationFactor > 1;
    // A replica leads or follows on its own, with a store of its own.
    const engineThreads = isReplicated
      ? task.groups.length
      : Math.min(task.groups.length, config.get<number | undefined>("worker.task.threads") ?? 1);
    const [helloPort, ...enginePorts] = this.#ports.take(task.workerId, 1 + engineThreads);
    return {
      workerId: task.workerId,
      moduleName: task.moduleName,
      instanceId: instance.id,
      moduleExport: instance.moduleExport,
      bundlePath,
      libDir: this.#options.libDir,
      tasks: instance.tasks,
      threads: instance.threads,
      workers: instance.workers,
      workerIndex: task.workerIndex,
      groups: task.groups,
      ...(isReplicated
        ? {
            replication: {
              dataId: dataIdOf(instance),
              factor: instance.replicationFactor,
              node: this.#options.supervisorId,
            },
          }
        : {}),
      dataDir: this.#dataDir(task),
      workerDir: files.dir,
      host: this.#options.host,
      bindHost: bindAddress(this.#options.config),
      helloPort: helloPort!,
      enginePorts,
      config: config.toObject(),
      options: task.options,
      routeServers: this.#options.routeServers(),
      ...(task.waits === true ? { waits: true } : {}),
      ...(instance.deletedObjects === undefined ? {} : { deletedObjects: instance.deletedObjects }),
    };
  }

  #dataDir({ instance, workerIndex }: WorkerTask): string {
    return WorkerFiles.dataDir(this.#dir, dataIdOf(instance), workerIndex);
  }

  /** A stranger that has got its pid is not it. */
  #isAlive({ pid, birth }: ProcessFile): boolean {
    const present = pid === 0 ? undefined : this.#options.platform.processes.birth(pid);
    return present !== undefined && (present === "" || birth === undefined || birth === "" || present === birth);
  }

  /** Whoever has not looked for long (it was stopped, the machine slept) knows nothing of a silence in between. */
  #look(): void {
    const nowMs = this.#options.platform.env.monotonicMs();
    if (nowMs - this.#lookedMs > longestLookMs) for (const seen of this.#seen.values()) seen.heartbeatMs = nowMs;
    this.#lookedMs = nowMs;
  }

  /** Durations are ours to measure: the wall clock of the files may jump, and by much. */
  #see(workerId: string, pid: number, files: WorkerFiles): Seen {
    const nowMs = this.#options.platform.env.monotonicMs();
    let seen = this.#seen.get(workerId);
    if (seen === undefined || seen.pid !== pid) {
      seen = { pid, sinceMs: nowMs, heartbeat: 0, heartbeatMs: nowMs };
      this.#seen.set(workerId, seen);
    }
    const heartbeat = pid === 0 ? 0 : files.heartbeatMs(pid);
    if (heartbeat !== seen.heartbeat) {
      seen.heartbeat = heartbeat;
      seen.heartbeatMs = nowMs;
    }
    return seen;
  }

  #noteReady(files: WorkerFiles, process: ProcessFile, seen: Seen): void {
    const steady = this.#options.platform.env.monotonicMs() - seen.sinceMs > steadyMs;
    if (process.everReady && (process.startsInARow === 0 || !steady)) return;
    files.writeProcess({ ...process, everReady: true, startsInARow: steady ? 0 : process.startsInARow });
  }

  #adopt(workerId: string): void {
    const assignment = this.assigned(workerId);
    if (assignment) this.#ports.note(workerId, [assignment.helloPort, ...assignment.enginePorts]);
  }

  #files(workerId: string): WorkerFiles {
    return WorkerFiles.of(this.#options.platform.disk, this.#dir, workerId);
  }
}
