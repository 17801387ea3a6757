// `rama dev`: devZookeeper, conductor and supervisor in this process, workers as always, and a module that is deployed again whenever its source (or what it imports)
// is saved. Data lives in .rama-dev/ beside the source and starts empty at each deploy, since an edit may change what the PStates hold.
import { watch } from "node:fs";
import { dirname, resolve } from "node:path";
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Workbench } from "../../cli/workbench.ts";
import { configOf } from "../../config/rama-yaml.ts";
import { type DaemonContext, type Running, startRole } from "./daemons.ts";
import { untilStopped } from "./signals.ts";

/** Saves that come together make one deploy. */
const settleMs = 150;

export type DeployInProcess = (modulePath: string) => Promise<string>;

export async function runDev(
  context: DaemonContext,
  workbench: Workbench,
  modulePath: string | undefined,
  say: (line: string) => void,
): Promise<number> {
  const { env } = context.platform;
  const base = modulePath === undefined ? resolve(".") : dirname(modulePath);
  const own = { "local.dir": `${base}/.rama-dev`, "conductor.host": "localhost", "zookeeper.servers": ["localhost"] };
  let devContext: DaemonContext = { ...context, config: context.config.with(configOf(own, "rama dev")) };
  const running: Running[] = [];
  try {
    for (const role of ["devZookeeper", "conductor", "supervisor"] as const) {
      const started = await startRole(role, devContext);
      running.unshift(started);
      devContext = { ...devContext, config: devContext.config.with(configOf(started.settings, "rama dev")) };
      say(started.line);
    }
  } catch (error) {
    for (const role of running) await role.stop();
    throw error;
  }
  const deployments = modulePath === undefined ? undefined : new Deployments(devContext, workbench, modulePath, say);
  deployments?.changed();
  const watcher =
    modulePath === undefined
      ? undefined
      : watch(base, { recursive: true }, (_event, file) => {
          if (
            typeof file === "string" &&
            /\.[cm]?[jt]sx?$/.test(file) &&
            !file.includes(".rama-dev") &&
            !file.includes("node_modules")
          )
            deployments?.changed();
        });
  return untilStopped(env, async () => {
    watcher?.close();
    await deployments?.stop();
    for (const role of running) await role.stop();
  });
}

class Deployments {
  readonly #context: DaemonContext;
  readonly #workbench: Workbench;
  readonly #modulePath: string;
  readonly #say: (line: string) => void;
  #deployed: string | undefined;
  #pending = false;
  #work: Promise<void> = Promise.resolve();

  constructor(context: DaemonContext, workbench: Workbench, modulePath: string, say: (line: string) => void) {
    this.#context = context;
    this.#workbench = workbench;
    this.#modulePath = modulePath;
    this.#say = say;
  }

  changed(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#context.platform.env.setTimer(settleMs, () => {
      this.#pending = false;
      this.#work = this.#work.then(() => this.#deploy());
    });
  }

  /** The module goes with its terminal: its workers end too. */
  async stop(): Promise<void> {
    await this.#work;
    if (this.#deployed !== undefined) await this.#cli(["destroy", this.#deployed]);
  }

  async #deploy(): Promise<void> {
    try {
      const made = await this.#workbench.bundle(this.#modulePath);
      const { module, moduleExport } = await this.#workbench.loadModule(made, undefined);
      if (this.#deployed !== undefined) await this.#cli(["destroy", this.#deployed]);
      this.#deployed = undefined;
      const started = this.#context.platform.env.monotonicMs();
      await this.#cli([
        "deploy",
        "--action",
        "launch",
        "--jar",
        this.#modulePath,
        "--module",
        moduleExport,
        "--tasks",
        "4",
        "--threads",
        "2",
        "--workers",
        "1",
      ]);
      this.#deployed = module.definition.name;
      const ms = Math.round(this.#context.platform.env.monotonicMs() - started);
      this.#say(
        `${module.definition.name} runs (${ms} ms); save ${this.#modulePath} to deploy it again, Ctrl-C ends all`,
      );
    } catch (error) {
      if (error instanceof RamaError) this.#say(`${error.message}\n  ${error.advice}`);
      else this.#say(error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
    }
  }

  async #cli(args: readonly string[]): Promise<void> {
    const { runCli } = await import("./cli-runner.ts");
    await runCli(this.#context, this.#workbench, args);
  }
}
