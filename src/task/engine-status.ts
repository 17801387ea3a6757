// What an engine says of itself.
import type { EngineCore } from "./engine-core.ts";
import type { EngineStatus } from "./engine-api.ts";
import type { EngineStore } from "./engine-store.ts";
import type { TaskGroup } from "./task-group.ts";

export function statusOf(core: EngineCore, store: EngineStore, migrations: EngineStatus["migrations"]): EngineStatus {
  const { options, failed } = core;
  // What a replica that follows has is told by the one that leads.
  const groups = core.leads ? core.groups : [];
  const runtimes = core.leads ? core.runtimes : [];
  const { definition } = options.module;
  const depots = groups.flatMap((group) =>
    group.tasks.flatMap((task) =>
      definition.depots.flatMap(({ name, index }) => {
        const partition = task.depots[index];
        if (partition === undefined) return [];
        const { startOffset, endOffset, bytes } = partition;
        return [{ name, task: task.id, startOffset, endOffset, bytes }];
      }),
    ),
  );
  return {
    groups: core.groups.map(({ id, replog }) => ({
      group: id,
      end: replog.end,
      durable: replog.durable,
      applied: replog.applied,
    })),
    depots,
    pstates: (core.leads ? definition.pstates : []).map(({ name }) => ({ name, entries: entriesOf(groups, name) })),
    topologies: runtimes.map((runtime) => runtime.status()),
    migrations,
    logBytes: store.log.bytes,
    ...(store.replicated === undefined ? {} : { replica: store.replicated.replica.status() }),
    failed: failed?.message ?? null,
  };
}

/** Asks the files, too. `withContents`: reads everything. */
export async function statusWithSizes(
  core: EngineCore,
  store: EngineStore,
  migrations: EngineStatus["migrations"],
  withContents: boolean,
): Promise<EngineStatus> {
  const status = statusOf(core, store, migrations);
  const pstates = status.pstates.map(async (pstate) => {
    const id = store.names.idOf(`pstate ${pstate.name}`);
    let bytes = 0;
    for (const group of core.groups) bytes += await group.pstates.approximateBytes(id);
    return { ...pstate, bytes };
  });
  const sized = { ...status, pstates: await Promise.all(pstates) };
  return withContents ? { ...sized, contents: await store.contents() } : sized;
}

function entriesOf(groups: readonly TaskGroup[], pstate: string): number {
  let entries = 0;
  for (const group of groups) {
    for (const each of group.pstates.status()) if (each.name === pstate) entries += each.entries;
  }
  return entries;
}
