// One engine thread of a worker: loads the bundle, opens its engine over its store, listens on a port of its own and does what the main thread tells. The entry file
// of the thread (`src/engine-main.ts`) hands in the platform and the doors. It ends cooperatively: the main thread never terminates it while it holds a store.
import type { Env } from "../../base/env.ts";
import { configOf } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import { failureText } from "../../protocol/failure.ts";
import { type GroupAddress, objectTable } from "../../protocol/routes.ts";
import { instanceInfo } from "./assignment.ts";
import { DynamicOptions } from "./dynamic-options.ts";
import { EngineHost } from "./engine-host.ts";
import { type Doors, installDoors, loadModule } from "./module-loader.ts";
import type { FromEngine, OpenEngine, ToEngine } from "./thread-messages.ts";

export interface EngineThreadOptions {
  readonly platform: Pick<Platform, "env" | "disk" | "kv" | "transport">;
  readonly doors: Doors;
  send(message: FromEngine): void;
  /** Ends the thread. */
  exit(): void;
}

export class EngineThread {
  readonly #options: EngineThreadOptions;
  readonly #env: Env;
  #host: EngineHost | undefined;
  #groups: readonly GroupAddress[] = [];
  #dynamic: DynamicOptions | undefined;

  constructor(options: EngineThreadOptions) {
    this.#options = options;
    this.#env = options.platform.env;
  }

  onMessage(message: ToEngine): void {
    switch (message.kind) {
      case "open":
        this.#env.spawn("engine", () => this.#open(message));
        return;
      case "groups":
        this.#groups = message.groups;
        return;
      case "options":
        this.#dynamic?.replace(message.settings);
        for (const { name, scope, object, value } of message.settings) {
          this.#host?.engine.setOption(name, value, scope === "module" ? undefined : object);
        }
        return;
      case "status":
        if (this.#host !== undefined) {
          this.#options.send({ kind: "status", request: message.request, status: this.#host.engine.status() });
        }
        return;
      case "close":
        this.#env.spawn("engine close", () => this.#close());
    }
  }

  async #open(open: OpenEngine): Promise<void> {
    try {
      const { assignment } = open;
      const { disk } = this.#options.platform;
      const libDir = assignment.libDir;
      const libFiles = libDir === undefined ? [] : disk.list(libDir).filter((name) => name.endsWith(".js"));
      installDoors(
        this.#options.doors,
        libFiles.map((name) => ({ name: name.slice(0, -".js".length), path: `${libDir}/${name}` })),
      );
      const config = configOf(assignment.config, "the worker's settings");
      const { module, classes, functionNamed } = await loadModule({
        bundlePath: assignment.bundlePath,
        moduleExport: assignment.moduleExport,
        serializations: config.get<readonly string[] | undefined>("custom.serializations") ?? [],
      });
      this.#dynamic = new DynamicOptions(module.definition.launchOptions, assignment.options);
      const answerBytesMax = Math.min(
        config.get<number>("limit.answer.bytes"),
        config.get<number>("limit.frame.bytes") - 64,
      );
      this.#host = await EngineHost.open({
        ...this.#options.platform,
        address: { host: assignment.bindHost ?? assignment.host, port: open.port },
        dir: open.dir,
        module,
        classes,
        functionNamed,
        info: instanceInfo(assignment),
        groups: open.groups,
        options: this.#dynamic,
        instanceTag: `${assignment.workerId}/${open.engine}`,
        stuckNote: open.stuckNote,
        release: open.release,
        recordBytesMax: config.get("limit.record.bytes"),
        answerBytesMax,
        addressOf: (task) => this.#groups[task % assignment.threads],
      });
      const { recovered } = this.#host.engine;
      this.#options.send({ kind: "ready", port: this.#host.address.port, recovered, objects: objectTable(module) });
    } catch (error) {
      this.#env.log.error("engine did not open", { error });
      this.#options.send({ kind: "failed", failure: failureText(error) });
    }
  }

  async #close(): Promise<void> {
    try {
      await this.#host?.close();
    } finally {
      this.#options.send({ kind: "closed" });
      this.#options.exit();
    }
  }
}
