// deploy, destroy, moduleStatus, taskGroupsStatus.
import { createHash } from "node:crypto";
import { RamaError } from "../../base/errors.ts";
import { parseConfig } from "../../config/rama-yaml.ts";
import type { ModuleDefinition } from "../../module/definition.ts";
import {
  CLUSTER_STATUS,
  type ClusterStatusAnswer,
  DESTROY,
  LAUNCH,
  type LaunchAnswer,
  type LaunchRequest,
  MODULE_STATUS,
  type ModuleStatusAnswer,
} from "../../protocol/conductor.ts";
import { PAUSE_TOPOLOGY } from "../../protocol/table.ts";
import { objectTable } from "../../protocol/routes.ts";
import { type Command, type CommandContext, numberOption, textOption } from "../command.ts";
import { withConductor } from "../conductor-client.ts";
import { deployOptions } from "../deploy-options.ts";

const internalHostnames = { name: "useInternalHostnames", help: "Use the internal names of hosts." };
const decoder = new TextDecoder();

export const deploy: Command = {
  name: "deploy",
  group: "Modules",
  summary: "Launch a module on the cluster.",
  description:
    "Takes a bundle made by `rama bundle`, or a .ts or .js source, which is bundled on the fly. Mistakes in the module are found before anything is sent.",
  positionals: [],
  options: [
    { name: "action", value: "launch", help: "What to do.", required: true },
    { name: "jar", value: "file", help: "Bundle or source with the module.", required: true },
    {
      name: "module",
      value: "name",
      help: "Exported class, or the module's full name; may be left out when there is just one.",
    },
    { name: "tasks", value: "n", help: "Partitions of every object; a power of two, fixed for ever.", required: true },
    { name: "threads", value: "n", help: "Task groups; at most tasks. Default: tasks, up to 8." },
    { name: "workers", value: "n", help: "Processes; at most threads. Default 1." },
    { name: "replicationFactor", value: "n", help: "Replicas of each task group. Default 1." },
    { name: "configOverrides", value: "yaml", help: "File of worker settings for this instance." },
    { name: "targetLabel", value: "label", help: "Only supervisors with this label." },
    { name: "moduleOptions", value: "k=v;…", help: "Dynamic options of the module." },
    { name: "topologyOptions", value: "topo,k=v;…", help: "Dynamic options of topologies." },
    { name: "depotOptions", value: "*d,k=v;…", help: "Dynamic options of depots." },
    { name: "pstateOptions", value: "$$p,k=v;…", help: "Dynamic options of PStates." },
    { name: "metadata", value: "text", help: "Text shown with the instance." },
    internalHostnames,
  ],
  data: true,
  example:
    "rama deploy --action launch --jar examples/word-count.ts --module WordCountModule --tasks 4 --threads 2 --workers 1",
  async run(context) {
    const { parsed, print } = context;
    const action = textOption(parsed, "action");
    if (action !== "launch") {
      throw new RamaError("BAD_ARGUMENTS", `--action ${action} is not there in this release; it takes launch`, {
        action,
      });
    }
    const request = await launchRequest(context);
    const started = context.env.monotonicMs();
    const answer = await withConductor(context, async (conductor) => {
      await conductor.upload(request.bundle, request.body.bundleHash, () => {});
      return conductor.call<LaunchAnswer>(LAUNCH, request.body, 130_000);
    });
    const seconds = ((context.env.monotonicMs() - started) / 1000).toFixed(2);
    if (parsed.json) print.json(answer);
    else print.out(`${answer.moduleName} is RUNNING as instance ${answer.instanceId} (${seconds} s)`);
    return 0;
  },
};

async function launchRequest(context: CommandContext): Promise<{ body: LaunchRequest; bundle: Uint8Array }> {
  const { parsed, workbench, cwd, platform } = context;
  const bundle = await workbench.bundle(absolute(cwd, textOption(parsed, "jar")!));
  const { module, moduleExport } = await workbench.loadModule(bundle, textOption(parsed, "module"));
  const tasks = numberOption(parsed, "tasks", 1);
  const overrides = textOption(parsed, "configOverrides");
  const configOverrides =
    overrides === undefined
      ? {}
      : parseConfig(decoder.decode(platform.disk.readFile(absolute(cwd, overrides))), overrides).toObject();
  const targetLabel = textOption(parsed, "targetLabel");
  const metadata = textOption(parsed, "metadata");
  return {
    bundle: bundle.bytes,
    body: {
      moduleName: module.definition.name,
      moduleExport,
      bundleHash: createHash("sha256").update(bundle.bytes).digest("hex"),
      ramaVersion: bundle.ramaVersion,
      tasks,
      threads: numberOption(parsed, "threads", Math.min(tasks, 8)),
      workers: numberOption(parsed, "workers", 1),
      replicationFactor: numberOption(parsed, "replicationFactor", 1),
      configOverrides,
      options: [...launchOptions(module.definition), ...deployOptions(parsed)],
      objects: objectTable(module),
      dependencies: module.definition.mirrors.map(({ module: name, kind, object }) => ({ module: name, kind, object })),
      ...(targetLabel === undefined ? {} : { targetLabel }),
      ...(metadata === undefined ? {} : { metadata }),
    },
  };
}

function launchOptions(definition: ModuleDefinition): LaunchRequest["options"] {
  return definition.launchOptions.map(({ scope, object, name, value }) => ({ scope, object, name, value }));
}

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
    print.out("");
    print.table(
      ["worker", "state", "host", "pid", "starts", "ports"],
      workers.map((w) => [
        w.workerIndex,
        w.state,
        w.host,
        String(w.pid),
        w.starts,
        [...new Set(Object.values(w.groupPorts))].join(","),
      ]),
    );
  }
  printEngines(context, status);
  for (const worker of workers) if (worker.error) print.out(`worker ${worker.workerIndex}: ${worker.error}`);
  for (const entry of log.slice(-5))
    print.out(`${new Date(entry.atMs).toISOString()}  ${entry.operation}: ${entry.text}`);
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
  for (const { name, lastError, paused, pauseReason } of topologies) {
    if (paused) print.out(`${name} is PAUSED: ${pauseReason ?? "by pauseTopology"}; go on with: rama resumeTopology`);
    if (lastError) print.out(`${name}: ${lastError}`);
  }
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
  options: [internalHostnames],
  data: true,
  example: "rama taskGroupsStatus WordCountModule",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, instanceId] = parsed.positionals;
    const status = await withConductor(context, (conductor) =>
      conductor.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName }),
    );
    const id = instanceId ?? status.module.readTarget;
    const instance = status.module.instances.find((i) => i.id === id);
    if (!instance)
      throw new RamaError("MODULE_NOT_FOUND", `${moduleName} has no instance ${id}`, {
        module: moduleName,
        instance: id,
      });
    const rows = instance.placement.flatMap((placement) => {
      const worker = status.workers.find((w) => w.workerIndex === placement.workerIndex);
      return placement.groups.map((group) => ({
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
      }));
    });
    rows.sort((a, b) => a.group - b.group);
    if (parsed.json) print.json(rows);
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
    return 0;
  },
};

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

export const pauseTopology = pausing("pauseTopology", true, "Pause a topology; depots take appends all the same.");
export const resumeTopology = pausing("resumeTopology", false, "Resume a paused topology where it stopped.");

export function absolute(cwd: string, path: string): string {
  return path.startsWith("/") ? path : `${cwd}/${path}`;
}
