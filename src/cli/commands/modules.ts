// destroy, moduleStatus, taskGroupsStatus, pauseTopology, resumeTopology.
import { RamaError } from "../../base/errors.ts";
import { migrationLines } from "../../module/migrations.ts";
import { workerIdOf } from "../../protocol/cluster-records.ts";
import {
  CLUSTER_STATUS,
  type ClusterStatusAnswer,
  DESTROY,
  MODULE_STATUS,
  type ModuleStatusAnswer,
} from "../../protocol/conductor.ts";
import { PAUSE_TOPOLOGY } from "../../protocol/table.ts";
import type { Command, CommandContext } from "../command.ts";
import { withConductor } from "../conductor-client.ts";

/** Workers read all that they have. */
const verifyTimeoutMs = 70_000;
const internalHostnames = { name: "useInternalHostnames", help: "Use the internal names of hosts." };

export const destroy: Command = {
  name: "destroy",
  group: "Modules",
  summary: "Stop a module and delete its data.",
  positionals: [{ name: "module", help: "The module's name." }],
  options: [internalHostnames],
  example: "rama destroy WordCountModule",
  async run(context) {
    const moduleName = context.parsed.positionals[0]!;
    await withConductor(context, (conductor) => conductor.call(DESTROY, { moduleName }, 70_000));
    context.print.out(`${moduleName} is destroyed`);
    return 0;
  },
};

export const moduleStatus: Command = {
  name: "moduleStatus",
  group: "Modules",
  summary: "Show a module's state, instances, workers and objects; without a name, list all modules.",
  positionals: [{ name: "module", help: "The module's name.", optional: true }],
  options: [internalHostnames],
  data: true,
  example: "rama moduleStatus WordCountModule",
  async run(context) {
    const { parsed, print } = context;
    const moduleName = parsed.positionals[0];
    if (moduleName === undefined) {
      const status = await withConductor(context, (conductor) =>
        conductor.call<ClusterStatusAnswer>(CLUSTER_STATUS, {}),
      );
      if (parsed.json) print.json(status.modules);
      else if (status.modules.length === 0) print.out("no modules are deployed");
      else {
        const rows = status.modules.map((m) => [
          m.name,
          stateWord(m.state),
          m.instances[0]?.tasks ?? 0,
          m.instances[0]?.workers ?? 0,
        ]);
        print.table(["module", "state", "tasks", "workers"], rows);
      }
      if (!parsed.json && status.leaderless) print.out(`leaders are disallowed on ${status.leaderless.supervisorId}`);
      return 0;
    }
    const status = await withConductor(context, (conductor) =>
      conductor.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName }),
    );
    if (parsed.json) print.json(status);
    else printModule(context, status);
    return 0;
  },
};

/** `RUNNING` for `[:running]`: what scripts look for. */
function stateWord(state: string): string {
  return `${state.replace(/^\[:|\]$/g, "").toUpperCase()} ${state}`;
}

function printModule(context: CommandContext, status: ModuleStatusAnswer): void {
  const { print } = context;
  const { module, objects, workers, log } = status;
  print.out(`${module.name}: ${stateWord(module.state)}`);
  if (module.error) print.out(`last error: ${module.error}`);
  for (const instance of module.instances) {
    const { id, tasks, threads, workers: count, replicationFactor } = instance;
    print.out(
      `instance ${id}: ${tasks} tasks, ${threads} threads, ${count} workers, replication factor ${replicationFactor}`,
    );
  }
  if (objects) {
    print.out(`depots:  ${objects.depots.map((d) => d.name).join(" ") || "none"}`);
    print.out(`PStates: ${objects.pstates.map((p) => p.name).join(" ") || "none"}`);
    if (objects.queries.length > 0) print.out(`queries: ${objects.queries.map((q) => q.name).join(" ")}`);
  }
  if (workers.length > 0) {
    const answering = new Set((status.engines ?? []).map(({ workerId }) => workerId));
    print.out("");
    print.table(
      ["worker", "state", "host", "pid", "starts", "ports"],
      workers.map((w) => [
        w.workerIndex,
        w.state === "running" && !answering.has(w.workerId) ? "no answer" : w.state,
        w.host,
        String(w.pid),
        w.starts,
        [...new Set(Object.values(w.groupPorts))].join(","),
      ]),
    );
  }
  printGroups(context, status);
  printEngines(context, status);
  for (const worker of workers) if (worker.error) print.out(`worker ${worker.workerIndex}: ${worker.error}`);
  for (const entry of log.slice(-5))
    print.out(`${new Date(entry.atMs).toISOString()}  ${entry.operation}: ${entry.text}`);
}

/** Of a replicated module: what is not as it should be. */
function printGroups({ print }: CommandContext, { groups, engines }: ModuleStatusAnswer): void {
  const replicas = engines.flatMap((worker) => worker.engines.flatMap(({ replica }) => replica ?? []));
  for (const [group, state] of groups.entries()) {
    if (state === null) continue;
    const missing = state.members.filter((member) => !state.inSync.includes(member));
    const leader = replicas.find((replica) => replica.group === group && replica.member === state.leader);
    if (state.leader === null) print.out(`task group ${group} has no leader`);
    if (leader?.stalled === true) {
      const gone = leader.followers.filter(({ lag }) => lag === null).map(({ member }) => member);
      print.out(`task group ${group} stands still: too few replicas are in sync; workers away: ${gone.join(", ")}`);
    } else if (missing.length > 0) print.out(`task group ${group}: out of sync are workers ${missing.join(", ")}`);
  }
}

/** Depots, PStates and topologies, summed over all engines. */
function printEngines({ print }: CommandContext, { engines }: ModuleStatusAnswer): void {
  const all = engines.flatMap((worker) => worker.engines);
  if (all.length === 0) return;
  const sum = <T extends { name: string }>(items: readonly T[], count: (item: T) => number): Map<string, number> => {
    const sums = new Map<string, number>();
    for (const item of items) sums.set(item.name, (sums.get(item.name) ?? 0) + count(item));
    return sums;
  };
  const depots = all.flatMap((engine) => engine.depots);
  const depotBytes = sum(depots, (d) => d.bytes ?? 0);
  const pstates = all.flatMap((engine) => engine.pstates);
  const pstateBytes = sum(pstates, (p) => p.bytes ?? 0);
  const topologies = all.flatMap((engine) => engine.topologies);
  const processed = sum(topologies, (t) => t.processed);
  const failures = sum(topologies, (t) => t.failures);
  print.out("");
  const rows: (string | number)[][] = [
    ...[...sum(depots, (d) => d.endOffset - d.startOffset)].map(([name, count]) => [
      name,
      "records",
      count,
      size(depotBytes.get(name)!),
    ]),
    ...[...sum(pstates, (p) => p.entries ?? 0)].map(([name, count]) => [
      name,
      "entries",
      count,
      // LevelDB tells the size of its tables; what was written last stands in its log alone.
      count > 0 && pstateBytes.get(name) === 0 ? "-" : size(pstateBytes.get(name)!),
    ]),
    ...[...processed].map(([name, count]) => [name, `processed, ${failures.get(name)} failures`, count, ""]),
    ["log", "", "", size(all.reduce((bytes, engine) => bytes + engine.logBytes, 0))],
  ];
  print.table(["object", "", "count", "on disk"], rows);
  const letters = sum(topologies, (t) => t.deadLetters ?? 0);
  for (const [name, count] of letters) if (count > 0) print.out(`${name}: ${count} dead letters; see rama deadLetters`);
  for (const { name, lastError, paused, pauseReason, blocked } of topologies) {
    if (paused) print.out(`${name} is PAUSED: ${pauseReason ?? "by pauseTopology"}; go on with: rama resumeTopology`);
    if (blocked) {
      const { depot, partition, offset, failures, error } = blocked;
      print.out(`${name}: ${depot} partition ${partition} offset ${offset} has failed ${failures} times: ${error}`);
    } else if (lastError) print.out(`${name}: ${lastError}`);
  }
  for (const { object, text } of migrationLines(all.flatMap((engine) => engine.migrations ?? [])))
    print.out(`${object}: ${text}`);
  for (const engine of all) if (engine.failed) print.out(`engine stopped: ${engine.failed}`);
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const [unit, divisor] = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(bytes / (divisor as number)).toFixed(1)} ${unit}`;
}

export const taskGroupsStatus: Command = {
  name: "taskGroupsStatus",
  group: "Modules",
  summary: "Show where each task group of a module runs.",
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "instance", help: "Id of an instance; the one that serves when left out.", optional: true },
  ],
  options: [{ name: "verify", help: "Compare what the replicas hold: everything is read." }, internalHostnames],
  data: true,
  example: "rama taskGroupsStatus WordCountModule --verify",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, instanceId] = parsed.positionals;
    const verify = parsed.options["verify"] === true;
    const status = await withConductor(context, (conductor) =>
      verify
        ? conductor.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName, verify }, verifyTimeoutMs)
        : conductor.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName }),
    );
    const id = instanceId ?? status.module.readTarget;
    const instance = status.module.instances.find((i) => i.id === id);
    if (!instance)
      throw new RamaError("MODULE_NOT_FOUND", `${moduleName} has no instance ${id}`, {
        module: moduleName,
        instance: id,
      });
    const rows = instance.placement.flatMap((placement) => {
      const workerId = workerIdOf(id, placement.workerIndex);
      const worker = status.workers.find((w) => w.workerId === workerId);
      return placement.groups.map((group) => ({
        ...replicaRow(status, group, placement.workerIndex),
        group,
        tasks: Array.from(
          { length: Math.ceil((instance.tasks - group) / instance.threads) },
          (_, i) => group + i * instance.threads,
        ),
        worker: placement.workerIndex,
        supervisor: placement.supervisorId,
        host: worker?.host ?? "",
        port: worker?.groupPorts[group] ?? 0,
        state: worker?.state ?? "not started",
        ...(verify ? { contents: contentsOf(status, workerId, group) } : {}),
      }));
    });
    rows.sort((a, b) => a.group - b.group);
    if (parsed.json) print.json(rows);
    else if (instance.replicationFactor > 1) printReplicas(context, rows);
    else {
      const cells = rows.map((r) => [
        r.group,
        r.tasks.join(","),
        r.worker,
        r.state,
        `${r.host}:${r.port}`,
        r.supervisor,
      ]);
      print.table(["group", "tasks", "worker", "state", "address", "supervisor"], cells);
    }
    if (!verify) return 0;
    const different = groupsThatDiffer(rows);
    if (!parsed.json) printContents(context, rows, different);
    return different.length === 0 ? 0 : 1;
  },
};

interface ContentsRow {
  readonly group: number;
  readonly worker: number;
  /** Absent: the worker did not answer, or the group did not stand still. */
  readonly contents?: { readonly applied: number; readonly hash: string } | undefined;
}

function contentsOf({ engines }: ModuleStatusAnswer, workerId: string, group: number): ContentsRow["contents"] {
  const own = engines.find((worker) => worker.workerId === workerId)?.engines.flatMap(({ contents }) => contents ?? []);
  return own?.find((contents) => contents.group === group);
}

/** Those with two replicas that have applied the same entries and hold something else. */
function groupsThatDiffer(rows: readonly ContentsRow[]): number[] {
  const hashes = new Map<string, string>();
  const different = new Set<number>();
  for (const { group, contents } of rows) {
    if (contents === undefined) continue;
    const at = `${group} ${contents.applied}`;
    if ((hashes.get(at) ?? contents.hash) !== contents.hash) different.add(group);
    hashes.set(at, contents.hash);
  }
  return [...different];
}

function printContents({ print }: CommandContext, rows: readonly ContentsRow[], different: readonly number[]): void {
  print.table(
    ["group", "worker", "applied", "contents"],
    rows.map(({ group, worker, contents }) => [group, worker, contents?.applied ?? "-", contents?.hash ?? "not known"]),
  );
  for (const group of different) {
    print.out(
      `task group ${group}: replicas that have applied the same entries hold something else; please report this`,
    );
  }
}

interface ReplicaRow {
  readonly role?: string;
  readonly epoch?: number;
  readonly inSync?: boolean;
  /** Entries that it lacks; null: it is not connected to its leader. */
  readonly lag?: number | null;
}

/** What is known of one replica of a replicated task group. */
function replicaRow({ groups, engines }: ModuleStatusAnswer, group: number, member: number): ReplicaRow {
  const record = groups[group];
  if (record === undefined || record === null) return {};
  const replicas = engines.flatMap((worker) => worker.engines.flatMap(({ replica }) => replica ?? []));
  const own = replicas.find((replica) => replica.group === group && replica.member === member);
  const leader = replicas.find((replica) => replica.group === group && replica.member === record.leader);
  const followed = leader?.followers.find((follower) => follower.member === member);
  const role =
    own === undefined
      ? "down"
      : leader === own && own.stalled
        ? "stalled leader"
        : own.rebuilding === true
          ? "rebuilding"
          : own.role;
  const isLeader = record.leader === member;
  return {
    role: followed?.far === true ? farRole(followed.copy) : role,
    epoch: record.epoch,
    inSync: record.inSync.includes(member),
    lag: isLeader ? 0 : (followed?.lag ?? null),
  };
}

/** A replica to which the leader's store is being copied. */
function farRole(copy: { readonly bytes: number; readonly totalBytes: number } | null): string {
  if (copy === null) return "too far behind";
  const percent = copy.totalBytes === 0 ? 100 : Math.floor((100 * copy.bytes) / copy.totalBytes);
  return `copying, ${percent} %`;
}

function printReplicas(
  { print }: CommandContext,
  rows: readonly (ReplicaRow & {
    readonly group: number;
    readonly tasks: readonly number[];
    readonly worker: number;
    readonly state: string;
    readonly host: string;
    readonly port: number;
    readonly supervisor: string;
  })[],
): void {
  print.table(
    ["group", "tasks", "worker", "role", "epoch", "in sync", "lag", "state", "address", "supervisor"],
    rows.map((r) => [
      r.group,
      r.tasks.join(","),
      r.worker,
      r.role ?? "",
      r.epoch ?? "",
      r.inSync === true ? "yes" : "no",
      r.lag ?? "-",
      r.state,
      `${r.host}:${r.port}`,
      r.supervisor,
    ]),
  );
}

const pausing = (name: "pauseTopology" | "resumeTopology", paused: boolean, summary: string): Command => ({
  name,
  group: "Modules",
  summary,
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "topology", help: "The topology's name." },
  ],
  options: [internalHostnames],
  example: `rama ${name} WordCountModule wordCount`,
  async run(context) {
    const [moduleName, topology] = context.parsed.positionals;
    await withConductor(context, (conductor) => conductor.call(PAUSE_TOPOLOGY, { moduleName, topology, paused }));
    context.print.out(`${topology} of ${moduleName} is ${paused ? "paused" : "resumed"}`);
    return 0;
  },
});

export const pauseTopology = pausing(
  "pauseTopology",
  true,
  "Pause a topology, over restarts and updates; depots take appends all the same.",
);
export const resumeTopology = pausing("resumeTopology", false, "Resume a paused topology where it stopped.");

export function absolute(cwd: string, path: string): string {
  return path.startsWith("/") ? path : `${cwd}/${path}`;
}
