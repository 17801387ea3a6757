// Runs one command of the table in this process: for main.ts, and for `rama dev`, which deploys as a person would.
import { RamaError } from "../../base/errors.ts";
import { release } from "../../base/release.ts";
import { commandNamed } from "../../cli/commands.ts";
import { parseCommand } from "../../cli/command.ts";
import { createPrint, type Print } from "../../cli/print.ts";
import type { Workbench } from "../../cli/workbench.ts";
import type { DaemonContext } from "./daemons.ts";
import { configPath } from "./home.ts";

export async function runCli(
  context: DaemonContext,
  workbench: Workbench,
  argv: readonly string[],
  print: Print = silent,
): Promise<number> {
  const command = commandNamed(argv[0] ?? "help");
  if (!command) throw new RamaError("BAD_ARGUMENTS", `unknown command "${argv[0]}"`, { command: argv[0] });
  const parsed = parseCommand(command, argv.slice(1));
  return command.run({
    parsed,
    print,
    platform: context.platform,
    env: context.platform.env,
    config: context.config,
    configPath: configPath(context.home),
    home: context.home,
    cwd: process.cwd(),
    release,
    workbench,
  });
}

const nowhere = { write() {}, isTty: false, columns: 80 };
const silent = createPrint(nowhere, nowhere);
