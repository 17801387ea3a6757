// A worker of a replicated module that has died holds its place in the metastore until its session's timeout. Its supervisor knows better, and takes the place away at
// once, so that another replica may lead.
import { RamaError } from "../../base/errors.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import { fromNode, tree } from "../../metastore/tree.ts";
import { dataIdOf, type WorkerTask } from "../../protocol/cluster-records.ts";
import type { MemberRecord } from "../../replication/member-watch.ts";
import type { ObservedWorker } from "./reconcile.ts";

export class DeadMembers {
  readonly #metastore: Metastore;
  /** Workers with the pids whose places are gone: the system gives a pid again. */
  readonly #done = new Set<string>();

  constructor(metastore: Metastore) {
    this.#metastore = metastore;
  }

  async look(tasks: readonly WorkerTask[], workers: ReadonlyMap<string, ObservedWorker>): Promise<void> {
    for (const task of tasks) {
      const worker = workers.get(task.workerId);
      if (task.instance.replicationFactor < 2 || worker === undefined || worker.pid === 0 || worker.alive) continue;
      const process = `${task.workerId} ${worker.pid}`;
      if (this.#done.has(process)) continue;
      await this.#remove(tree.member(dataIdOf(task.instance), task.workerIndex), worker.pid);
      this.#done.add(process);
    }
  }

  /** Only that process's place: another one may have it by now. */
  async #remove(path: string, pid: number): Promise<void> {
    const node = await this.#metastore.get(path);
    if (node === undefined || !fromNode<MemberRecord>(node.data).life.startsWith(`${pid}-`)) return;
    try {
      await this.#metastore.remove(path, node.version);
    } catch (error) {
      if (!(error instanceof RamaError && error.code === "METASTORE_CONFLICT")) throw error;
    }
  }
}
