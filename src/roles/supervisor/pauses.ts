// Paused topologies of the modules whose workers run on this node. The metastore says which they are (`rama pauseTopology`); a worker learns it with its assignment, and
// while it runs from here. A worker whose user code did not return for the third time has left the topology's name in its stuck.json: before it is started again
// the whole module is told.
import { encodeControl } from "../../base/codec.ts";
import { messageOf } from "../../base/errors.ts";
import type { ClusterStore } from "../../cluster/cluster-store.ts";
import type { Platform } from "../../net/platform.ts";
import { RpcClient } from "../../net/rpc.ts";
import type { ModulePauses, WorkerReport, WorkerTask } from "../../protocol/cluster-records.ts";
import type { PauseTopology } from "../../protocol/control.ts";
import { PAUSE_TOPOLOGY } from "../../protocol/table.ts";
import { StuckRecords } from "../worker/stuck-records.ts";

const everyMs = 500;
const callTimeoutMs = 1_000;

/** What a worker process has been told. */
interface Told {
  readonly pid: number;
  readonly pauses: ModulePauses;
}

export class Pauses {
  readonly #platform: Platform;
  readonly #store: ClusterStore;
  /** By worker id. */
  readonly #told = new Map<string, Told>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  readonly #atStart: (workerId: string) => ModulePauses;

  constructor(platform: Platform, store: ClusterStore, atStart: (workerId: string) => ModulePauses) {
    this.#atStart = atStart;
    this.#platform = platform;
    this.#store = store;
  }

  /** For the assignment of a worker that is about to be started; its process is gone. */
  async beforeStart({ moduleName }: WorkerTask, workerDir: string): Promise<ModulePauses> {
    const { disk, env } = this.#platform;
    const stuck = new StuckRecords(disk, workerDir);
    for (const [topology, reason] of Object.entries(stuck.paused)) {
      const isNew = await this.#store.setPause(moduleName, topology, { reason, stuck: true, sinceMs: env.now() });
      if (isNew) {
        const text = `${topology} is paused: ${reason}`;
        await this.#store.log({ atMs: env.now(), module: moduleName, operation: "pauseTopology", text });
      }
      stuck.forget(topology);
    }
    return this.#store.pauses(moduleName);
  }

  started(workerId: string, pid: number, pauses: ModulePauses): void {
    this.#told.set(workerId, { pid, pauses });
  }

  /** Tells workers that run what has changed. */
  async sync(running: readonly { readonly task: WorkerTask; readonly report: WorkerReport }[]): Promise<void> {
    const { env } = this.#platform;
    if (env.monotonicMs() - this.#lookedMs < everyMs) return;
    this.#lookedMs = env.monotonicMs();
    const modules = new Map<string, ModulePauses>();
    for (const { task, report } of running) {
      const { moduleName, workerId } = task;
      const pauses = modules.get(moduleName) ?? (await this.#store.pauses(moduleName));
      modules.set(moduleName, pauses);
      const told = this.#told.get(workerId);
      // One that an earlier supervisor started knows what that one told it, at least at the start.
      const known = told?.pid === report.pid ? told.pauses : this.#atStart(workerId);
      if (await this.#tell(report, changes(known, pauses))) this.#told.set(workerId, { pid: report.pid, pauses });
    }
  }

  async #tell(report: WorkerReport, changed: readonly PauseTopology[]): Promise<boolean> {
    if (changed.length === 0) return true;
    const { env, transport } = this.#platform;
    const address = { host: report.host, port: report.helloPort };
    const client = new RpcClient(env, transport, address, { connectTimeoutMs: callTimeoutMs });
    try {
      for (const pause of changed) await client.call(PAUSE_TOPOLOGY, encodeControl(pause), callTimeoutMs);
      return true;
    } catch (error) {
      env.log.debug("a worker has not heard of a pause yet", { worker: report.workerId, error: messageOf(error) });
      return false;
    } finally {
      client.close();
    }
  }
}

function changes(known: ModulePauses, pauses: ModulePauses): PauseTopology[] {
  const changed: PauseTopology[] = [];
  for (const [topology, { reason, stuck }] of Object.entries(pauses))
    if (known[topology] === undefined) changed.push({ topology, paused: true, reason, stuck });
  for (const topology of Object.keys(known))
    if (pauses[topology] === undefined) changed.push({ topology, paused: false });
  return changed;
}
