// deploy: launch and update.
import { createHash } from "node:crypto";
import { RamaError } from "../../base/errors.ts";
import { dependenciesOf } from "../../cluster/dependencies.ts";
import { parseConfig } from "../../config/rama-yaml.ts";
import { moduleContract } from "../../module/contract.ts";
import type { ModuleDefinition } from "../../module/definition.ts";
import { LAUNCH, type LaunchAnswer, type LaunchRequest, UPDATE, type UpdateRequest } from "../../protocol/conductor.ts";
import { objectTable } from "../../protocol/routes.ts";
import { type Command, type CommandContext, numberOption, textOption } from "../command.ts";
import { withConductor } from "../conductor-client.ts";
import { deployOptions } from "../deploy-options.ts";
import { absolute } from "./modules.ts";

const internalHostnames = { name: "useInternalHostnames", help: "Use the internal names of hosts." };
const decoder = new TextDecoder();
/** Longer than the conductor waits for workers to be prepared, and for old ones to end. */
const launchTimeoutMs = 130_000;
const updateTimeoutMs = 200_000;

export const deploy: Command = {
  name: "deploy",
  group: "Modules",
  summary: "Launch a module on the cluster, or update one that runs.",
  description:
    "Takes a bundle made by `rama bundle`, or a .ts or .js source, which is bundled on the fly. Mistakes in the module are found before anything is sent. An update keeps tasks, threads, workers, all data, dynamic options and --configOverrides; it is refused, and the running version left alone, when the new version does not fit the data.",
  positionals: [],
  options: [
    { name: "action", value: "launch|update", help: "What to do.", required: true },
    { name: "jar", value: "file", help: "Bundle or source with the module.", required: true },
    {
      name: "module",
      value: "name",
      help: "Exported class, or the module's full name; may be left out when there is just one.",
    },
    {
      name: "tasks",
      value: "n",
      help: "Partitions of every object; a power of two, fixed for ever. Needed by launch.",
    },
    { name: "threads", value: "n", help: "Task groups; at most tasks. Default: tasks, up to 8." },
    { name: "workers", value: "n", help: "Processes; at most threads. Default 1." },
    { name: "replicationFactor", value: "n", help: "Replicas of each task group. Default 1." },
    {
      name: "configOverrides",
      value: "yaml",
      help: "File of worker settings; an update lays them over the earlier ones.",
    },
    { name: "resetConfig", help: "Update only: drop the configOverrides of earlier deployments." },
    {
      name: "objectsToDelete",
      value: "$$p,*d,…",
      help: "Update only: exactly the depots and PStates that the new version no longer has. Their data is deleted.",
    },
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
    const action = textOption(parsed, "action")!;
    checkFlags(action, context);
    const { bundle, ...deployment } = await deploymentOf(context);
    const body = action === "launch" ? launchRequest(context, deployment) : updateRequest(context, deployment);
    const started = context.env.monotonicMs();
    const answer = await withConductor(context, async (conductor) => {
      await conductor.upload(bundle, body.bundleHash, () => {});
      return action === "launch"
        ? conductor.call<LaunchAnswer>(LAUNCH, body, launchTimeoutMs)
        : conductor.call<LaunchAnswer>(UPDATE, body, updateTimeoutMs);
    });
    const seconds = ((context.env.monotonicMs() - started) / 1000).toFixed(2);
    if (parsed.json) print.json(answer);
    else print.out(`${answer.moduleName} is RUNNING as instance ${answer.instanceId} (${seconds} s)`);
    return 0;
  },
};

const launchOnly = ["tasks", "threads", "workers", "replicationFactor", "targetLabel"];
const updateOnly = ["objectsToDelete", "resetConfig"];

function checkFlags(action: string, { parsed }: CommandContext): void {
  const wrong = (message: string): RamaError => new RamaError("BAD_ARGUMENTS", message, { action });
  if (action !== "launch" && action !== "update")
    throw wrong(`--action ${action} is not there in this release; it takes launch and update`);
  const foreign = (action === "launch" ? updateOnly : launchOnly).filter((name) => parsed.options[name] !== undefined);
  if (foreign.length > 0)
    throw wrong(`--action ${action} does not take ${foreign.map((name) => `--${name}`).join(", ")}`);
  if (action === "launch" && parsed.options["tasks"] === undefined) throw wrong("missing --tasks");
}

/** What both actions send. */
type Deployment = Omit<UpdateRequest, "options" | "objectsToDelete" | "resetConfig">;

async function deploymentOf(context: CommandContext): Promise<Deployment & { readonly bundle: Uint8Array }> {
  const { parsed, workbench, cwd, platform } = context;
  const bundle = await workbench.bundle(absolute(cwd, textOption(parsed, "jar")!));
  const { module, moduleExport } = await workbench.loadModule(bundle, textOption(parsed, "module"));
  const { definition } = module;
  const overrides = textOption(parsed, "configOverrides");
  const configOverrides =
    overrides === undefined
      ? {}
      : parseConfig(decoder.decode(platform.disk.readFile(absolute(cwd, overrides))), overrides).toObject();
  const metadata = textOption(parsed, "metadata");
  return {
    bundle: bundle.bytes,
    moduleName: definition.name,
    moduleExport,
    bundleHash: createHash("sha256").update(bundle.bytes).digest("hex"),
    ramaVersion: bundle.ramaVersion,
    configOverrides,
    launchOptions: launchOptions(definition),
    objects: { ...objectTable(module), contract: moduleContract(definition) },
    dependencies: dependenciesOf(definition),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

function launchRequest({ parsed }: CommandContext, { launchOptions: own, ...deployment }: Deployment): LaunchRequest {
  const tasks = numberOption(parsed, "tasks", 1);
  const targetLabel = textOption(parsed, "targetLabel");
  return {
    ...deployment,
    tasks,
    threads: numberOption(parsed, "threads", Math.min(tasks, 8)),
    workers: numberOption(parsed, "workers", 1),
    replicationFactor: numberOption(parsed, "replicationFactor", 1),
    options: [...own, ...deployOptions(parsed)],
    ...(targetLabel === undefined ? {} : { targetLabel }),
  };
}

function updateRequest({ parsed }: CommandContext, deployment: Deployment): UpdateRequest {
  const named = textOption(parsed, "objectsToDelete") ?? "";
  return {
    ...deployment,
    options: deployOptions(parsed),
    objectsToDelete: named.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()])),
    resetConfig: parsed.options["resetConfig"] === true,
  };
}

function launchOptions(definition: ModuleDefinition): LaunchRequest["options"] {
  return definition.launchOptions.map(({ scope, object, name, value }) => ({ scope, object, name, value }));
}
