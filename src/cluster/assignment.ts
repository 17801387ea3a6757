// Placement of a module instance's workers and task groups on supervisors, as a pure function (cluster.md 5). Deterministic: the same cluster and the
// same request give the same placement, so that a restarted conductor decides alike.
//
// Task t belongs to group t mod threads; group g to worker g mod workers of each replica set, the second replica shifted by one, so that no node has all
// groups of another node. Workers go to the emptiest supervisors first; replicas of one group never share a supervisor.
import { RamaError } from "../base/errors.ts";
import type { Placement } from "../protocol/cluster-records.ts";

export interface SupervisorLoad {
  readonly id: string;
  readonly labels: readonly string[];
  /** Workers that it runs already, of all modules. */
  readonly workers: number;
}

export interface AssignmentRequest {
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;
  readonly replicationFactor: number;
  readonly targetLabel?: string;
}

export function checkParallelism(
  request: Pick<AssignmentRequest, "tasks" | "threads" | "workers" | "replicationFactor">,
): void {
  const { tasks, threads, workers, replicationFactor } = request;
  const whole = (n: number) => Number.isInteger(n) && n >= 1;
  const wrong = (message: string) => new RamaError("BAD_PARALLELISM", message, { ...request });
  for (const [name, value] of Object.entries({ tasks, threads, workers, replicationFactor })) {
    if (!whole(value)) throw wrong(`${name} must be a whole number ≥ 1, got ${value}`);
  }
  if (tasks > 65536 || (tasks & (tasks - 1)) !== 0)
    throw wrong(`tasks must be a power of two up to 65536, got ${tasks}`);
  if (threads > tasks) throw wrong(`threads must be at most tasks: ${threads} > ${tasks}`);
  if (workers > threads)
    throw wrong(`Number of workers must be less than or equal to the number of threads: ${workers} > ${threads}`);
}

/** BAD_PARALLELISM, NOT_ENOUGH_SUPERVISORS. Worker indexes run through the replica sets: [0, workers) is the first. */
export function assign(request: AssignmentRequest, supervisors: readonly SupervisorLoad[]): Placement[] {
  checkParallelism(request);
  const { threads, workers, replicationFactor, targetLabel } = request;
  const usable = supervisors.filter((s) => targetLabel === undefined || s.labels.includes(targetLabel));
  if (usable.length < replicationFactor || usable.length === 0) {
    const labelled = targetLabel === undefined ? "" : ` with label "${targetLabel}"`;
    throw new RamaError(
      "NOT_ENOUGH_SUPERVISORS",
      `replication factor ${replicationFactor} needs ${replicationFactor} supervisors${labelled}, there are ${usable.length}`,
      { have: usable.length, need: replicationFactor, targetLabel },
    );
  }
  const load = new Map(usable.map((s) => [s.id, s.workers]));
  const holders = new Map<number, Set<string>>();
  const placements: Placement[] = [];
  for (let replica = 0; replica < replicationFactor; replica++) {
    for (let worker = 0; worker < workers; worker++) {
      const groups: number[] = [];
      for (let group = 0; group < threads; group++) if ((group + replica) % workers === worker) groups.push(group);
      const taken = new Set(groups.flatMap((group) => [...(holders.get(group) ?? [])]));
      const supervisorId = emptiest(load, taken);
      if (supervisorId === undefined) {
        throw new RamaError(
          "NOT_ENOUGH_SUPERVISORS",
          `no supervisor is left for worker ${worker} of replica ${replica}: replicas of a task group never share a node`,
          { supervisors: usable.length, workers, replicationFactor },
        );
      }
      load.set(supervisorId, load.get(supervisorId)! + 1);
      for (const group of groups) holders.set(group, new Set([...(holders.get(group) ?? []), supervisorId]));
      placements.push({ workerIndex: replica * workers + worker, supervisorId, groups });
    }
  }
  return placements;
}

function emptiest(load: ReadonlyMap<string, number>, except: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  for (const [id, workers] of load) {
    if (except.has(id)) continue;
    if (best === undefined || workers < load.get(best)! || (workers === load.get(best)! && id < best)) best = id;
  }
  return best;
}
