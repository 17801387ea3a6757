// Second half of main.ts, loaded when a command needs more than help: settings, platform, the workbench.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseCommand } from "./cli/command.ts";
import { commandNamed } from "./cli/commands.ts";
import type { Print } from "./cli/print.ts";
import { type Config, configOf, parseConfig } from "./config/rama-yaml.ts";
import { conductorApp } from "./http/conductor-app.ts";
import { supervisorApp } from "./http/supervisor-app.ts";
import { systemPlatform } from "./roles/platform-system.ts";
import { runCli } from "./roles/workbench/cli-runner.ts";
import { type DaemonContext, logLevel } from "./roles/workbench/daemons.ts";
import { configPath, homeDir } from "./roles/workbench/home.ts";
import { logSink } from "./roles/workbench/log-file.ts";
import { createWorkbench } from "./roles/workbench/workbench.ts";

const daemons = new Set(["devZookeeper", "conductor", "supervisor", "worker", "dev"]);
const portTakers = new Set(["conductor", "dev"]);

export async function start(argv: readonly string[], print: Print): Promise<number> {
  const command = commandNamed(argv[0]!)!;
  parseCommand(command, argv.slice(1));
  const home = homeDir();
  const path = configPath(home);
  const written = existsSync(path) ? parseConfig(readFileSync(path, "utf8"), path) : configOf({}, "defaults");
  const config = portTakers.has(command.name) ? written : withTakenPort(written, home);
  const isDaemon = daemons.has(command.name);
  const sink = isDaemon
    ? logSink(home, command.name, config, print)
    : { level: "warn" as const, write: (line: string) => print.note(line) };
  const platform = systemPlatform({
    logLevel: isDaemon ? (sink.level ?? logLevel(config)) : "warn",
    sink: sink.write,
    transport: {
      maxFrameBytes: config.get<number>("limit.frame.bytes"),
      maxUnsentBytes: config.get<number>("limit.unsent.bytes"),
    },
    metastoreConnectTimeoutMs: config.get<number>("zookeeper.connection.timeout.millis"),
  });
  const context: DaemonContext = {
    platform,
    config,
    home,
    httpApps: { conductor: conductorApp, supervisor: supervisorApp },
    engineEntry: new URL("./engine-main.ts", import.meta.url),
  };
  const workbench = createWorkbench({
    context,
    doors: async () => (await import("./doors.ts")).doors,
    say: (line) => print.out(line),
  });
  return runCli(context, workbench, argv, print);
}

/** `conductor.port: 0` means whichever port the conductor of this release has taken. */
function withTakenPort(config: Config, home: string): Config {
  if (config.get<number>("conductor.port") !== 0) return config;
  const ports = `${resolve(home, config.get<string>("local.dir"))}/conductor/ports.json`;
  if (!existsSync(ports)) return config;
  const { rpc } = JSON.parse(readFileSync(ports, "utf8")) as { rpc: number };
  return config.with(configOf({ "conductor.port": rpc }, ports));
}
