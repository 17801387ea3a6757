// Looks at the replicas of a run's modules, through the door of `rama moduleStatus` and `rama taskGroupsStatus --verify`.
import { RamaError } from "../../base/errors.ts";
import { dataIdOf } from "../../protocol/cluster-records.ts";
import { MODULE_STATUS, type ModuleStatusAnswer } from "../../protocol/conductor.ts";
import type { SimulatedCluster } from "../cluster.ts";
import type { HeldContents, ReplicaOracles } from "./replica-oracles.ts";

const everyMs = 700;
const verifyTimeoutMs = 70_000;

/** Asks again and again, until it is over. */
export async function watchReplicas(
  cluster: SimulatedCluster,
  oracles: ReplicaOracles,
  moduleName: string,
  isOver: () => boolean,
): Promise<void> {
  const { env } = cluster.world;
  while (!isOver()) {
    await env.sleep(everyMs);
    try {
      oracles.status(await cluster.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName }));
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
    }
  }
}

/** "": all replicas of the module are level and hold the same; otherwise what is not so yet. */
export async function replicasUnlike(
  cluster: SimulatedCluster,
  oracles: ReplicaOracles,
  moduleName: string,
): Promise<string> {
  const status = await cluster.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName, verify: true }, verifyTimeoutMs);
  oracles.status(status);
  const { module, engines, groups } = status;
  const instance = module.instances.find(({ id }) => id === module.readTarget);
  if (instance === undefined || module.instances.length > 1) return `${moduleName} is being updated`;
  const held = new Map<number, HeldContents[]>(groups.map((_, group) => [group, []]));
  for (const { workerId, engines: each } of engines) {
    for (const { contents = [] } of each) {
      for (const { group, applied, hash } of contents) held.get(group)?.push({ worker: workerId, applied, hash });
    }
  }
  const unlike: string[] = [];
  for (const [group, contents] of held) {
    const isLevel = oracles.same(dataIdOf(instance), group, contents);
    if (contents.length === instance.replicationFactor && isLevel) continue;
    unlike.push(`group ${group}: ${contents.map(({ worker, applied }) => `${worker} at ${applied}`).join(", ")}`);
  }
  return unlike.join("; ");
}
