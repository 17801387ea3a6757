// The routes of a module (protocol/routes.ts) out of the cluster's records: which engine port has which task group now.
import { RamaError } from "../base/errors.ts";
import type { GroupAddress, ModuleManifest, ModuleRoutes } from "../protocol/routes.ts";
import { isBalancing } from "./lifecycle/balance.ts";
import { isUpdating } from "./lifecycle/update.ts";
import type { ClusterStore } from "./cluster-store.ts";

/** MODULE_NOT_FOUND; MODULE_NOT_RUNNING while it is launched or destroyed. During an update: of the instance that serves, or is about to. */
export async function routesOf(store: ClusterStore, moduleName: string): Promise<ModuleRoutes> {
  const { value: record, version } = await store.requireModule(moduleName);
  if (record.state !== "[:running]" && !isBalancing(record) && !isUpdating(record.state)) {
    throw new RamaError("MODULE_NOT_RUNNING", `${moduleName} is ${record.state}`, {
      module: moduleName,
      state: record.state,
    });
  }
  const instance = record.instances.find((i) => i.id === record.readTarget);
  const objects = instance && (await store.manifest<ModuleManifest>(instance.id));
  if (!instance || !objects) {
    throw new RamaError("MODULE_NOT_RUNNING", `${moduleName} has no instance that serves`, { module: moduleName });
  }
  const groups: GroupAddress[] = Array.from({ length: instance.threads }, () => ({ host: "", port: 0 }));
  const records = await store.groups(instance);
  const reports = await store.workers(instance.id);
  let starts = 0;
  for (const report of reports.values()) {
    starts += report.starts;
    // One that is prepared listens already, and serves as soon as it has the stores: after the hand-over its clients wait there.
    if (report.state !== "running" && report.state !== "prepared") continue;
    for (const [group, port] of Object.entries(report.groupPorts)) {
      const record = records[Number(group)];
      if (record !== undefined && record.leader !== report.workerIndex) continue;
      groups[Number(group)] = { host: report.host, port };
    }
  }
  for (const record of records) starts += record?.epoch ?? 0;
  // A module record changes rarely and a worker's starts and a group's epochs only grow, so that the sum orders tables of one instance; each update changes the record more than once.
  return {
    moduleName,
    moduleInstanceId: instance.id,
    version: version * 1_000_000 + starts,
    numTasks: instance.tasks,
    groups,
    depots: objects.depots,
    pstates: objects.pstates,
    queries: objects.queries,
  };
}
