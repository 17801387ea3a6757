// Runs one role in this process: opens its parts, says in one line what it is and what it recovered, waits for a signal, stops in order.
import { hostname } from "node:os";
import type { LogLevel } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import { release } from "../../base/release.ts";
import type { Config } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import { bindAddress, ownHost } from "../cluster-settings.ts";
import { Conductor, type ConductorOptions } from "../conductor/conductor.ts";
import { startDevZookeeper } from "../dev-zookeeper.ts";
import { RoleDirectory } from "../local-dir.ts";
import { Supervisor, type SupervisorOptions } from "../supervisor/supervisor.ts";
import type { WorkerAssignment } from "../worker/assignment.ts";
import { bunThread } from "../worker/engine-handle.ts";
import { runWorker } from "../worker/worker.ts";
import { guardMemory } from "./memory-guard.ts";
import { untilStopped } from "./signals.ts";
import { workerStarter } from "./worker-process.ts";

export interface DaemonContext {
  readonly platform: Platform;
  readonly config: Config;
  readonly home: string;
  readonly httpApps: {
    readonly conductor: ConductorOptions["httpApp"];
    readonly supervisor: SupervisorOptions["httpApp"];
  };
  /** Entry file of an engine thread. */
  readonly engineEntry: URL | string;
}

/** A role that runs. `line` is what its start says. */
export interface Running {
  readonly line: string;
  /** Settings with the ports that it took, for the roles that are started after it. */
  readonly settings: Readonly<Record<string, unknown>>;
  stop(): Promise<void>;
}

export function localDir({ config, home }: DaemonContext): string {
  const dir = config.get<string>("local.dir");
  return dir.startsWith("/") ? dir : `${home}/${dir}`;
}

export async function startRole(
  role: "devZookeeper" | "conductor" | "supervisor",
  context: DaemonContext,
): Promise<Running> {
  switch (role) {
    case "devZookeeper":
      return startZookeeper(context);
    case "conductor":
      return startConductor(context);
    case "supervisor":
      return startSupervisor(context);
  }
}

export async function runDaemon(
  role: "devZookeeper" | "conductor" | "supervisor",
  context: DaemonContext,
): Promise<number> {
  const running = await startRole(role, context);
  context.platform.env.log.info(running.line);
  return untilStopped(context.platform.env, () => running.stop());
}

async function startZookeeper(context: DaemonContext): Promise<Running> {
  const { platform, config } = context;
  const directory = await RoleDirectory.open(platform, localDir(context), "devZookeeper", process.pid);
  try {
    const server = await startDevZookeeper({
      env: platform.env,
      disk: platform.disk,
      dir: `${directory.dir}/data`,
      host:
        config.get<string | undefined>("bind.address") ??
        (config.isSet("conductor.host") ? bindAddress(config) : "127.0.0.1"),
      port: config.get<number>("zookeeper.port"),
      tickTimeMs: config.get<number>("dev.zookeeper.tick.millis"),
      sessionTimeoutMinMs: 500,
      packetBytesMax: config.get<number>("jute.maxbuffer"),
    });
    directory.writePorts({ client: server.port });
    const { entries, tornBytes, ms } = server.recovered;
    return {
      line: `devZookeeper ${release} listens on ${server.host}:${server.port}; recovered ${entries} entries, cut ${tornBytes} bytes of torn tail, in ${seconds(ms)}`,
      settings: { "zookeeper.port": server.port },
      async stop() {
        await server.stop();
        await directory.close();
      },
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

async function startConductor(context: DaemonContext): Promise<Running> {
  const { platform, config, httpApps } = context;
  const httpApp = httpApps.conductor;
  const conductor = await Conductor.start({
    platform,
    config,
    localDir: localDir(context),
    release,
    pid: process.pid,
    ...(httpApp === undefined ? {} : { httpApp }),
  });
  return {
    line: `conductor ${release} listens on port ${conductor.port}; Cluster UI on http://${conductor.host}:${conductor.uiPort}`,
    settings: { "conductor.port": conductor.port, "cluster.ui.port": conductor.uiPort },
    stop: () => conductor.stop(),
  };
}

async function startSupervisor(context: DaemonContext): Promise<Running> {
  const { platform, config, home, httpApps } = context;
  const name = hostname();
  const host = ownHost(config, name, await resolves(name));
  const httpApp = httpApps.supervisor;
  const supervisor = await Supervisor.start({
    platform,
    config,
    localDir: localDir(context),
    release,
    pid: process.pid,
    host,
    libDir: `${home}/lib`,
    startWorker: workerStarter(platform, home),
    ...(httpApp === undefined ? {} : { httpApp }),
  });
  return {
    line: `supervisor ${release} ${supervisor.id} on ${host}; REST on http://${host}:${supervisor.httpPort}; ${supervisor.adopted} workers found`,
    settings: {},
    stop: () => supervisor.stop(),
  };
}

async function resolves(name: string): Promise<boolean> {
  const { lookup } = await import("node:dns/promises");
  return lookup(name).then(
    () => true,
    () => false,
  );
}

/** One worker, as the supervisor's assignment file says. */
export async function runWorkerDaemon(assignmentPath: string | undefined, context: DaemonContext): Promise<number> {
  if (assignmentPath === undefined)
    throw new RamaError("BAD_ARGUMENTS", "worker takes the path of an assignment file", {});
  const { platform } = context;
  const { env } = platform;
  const assignment = JSON.parse(new TextDecoder().decode(platform.disk.readFile(assignmentPath))) as WorkerAssignment;
  const worker = await runWorker({
    platform,
    assignment,
    release,
    pid: process.pid,
    startThread: bunThread(context.engineEntry),
    abort: (reason) => {
      env.log.error("the worker ends", { reason });
      process.exit(1);
    },
  });
  guardMemory(env, assignment.workerId);
  return untilStopped(env, () => worker.close());
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

export function logLevel(config: Config): LogLevel {
  return config.get<LogLevel | undefined>("log.level") ?? "info";
}
