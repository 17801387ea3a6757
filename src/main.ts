// The executable: picks the command, turns what goes wrong into a message and an exit code.
import { RamaError } from "./base/errors.ts";
import { release } from "./base/release.ts";
import { commandNamed, commands, unknownCommand } from "./cli/commands.ts";
import { helpOf, overview } from "./cli/help.ts";
import { createPrint } from "./cli/print.ts";

/** Commands that build modules and run none of them. */
const buildsModules = new Set(["deploy", "explain"]);
const stdout = {
  write: (text: string) => void process.stdout.write(text),
  isTty: process.stdout.isTTY === true,
  columns: process.stdout.columns ?? 80,
};
const stderr = {
  write: (text: string) => void process.stderr.write(text),
  isTty: process.stderr.isTTY === true && process.env["NO_COLOR"] === undefined,
  columns: process.stderr.columns ?? 80,
};
const print = createPrint(stdout, stderr);

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    print.out(overview(commands, release));
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    print.out(release);
    return 0;
  }
  const command = commandNamed(name);
  if (command === undefined) {
    print.error(unknownCommand(name));
    return 2;
  }
  const ownArguments = command.positionals.at(-1)?.rest ? rest.slice(0, 1) : rest;
  if (ownArguments.includes("--help") || ownArguments.includes("-h")) {
    print.out(helpOf(command));
    return 0;
  }
  if (buildsModules.has(name)) (await import("./roles/workbench/exact-lines.ts")).beginWithExactLines();
  // Everything heavy is loaded only now: help must be there at once.
  const { start } = await import("./start.ts");
  return start(argv, print);
}

function exitCodeOf(error: RamaError): number {
  switch (error.code) {
    case "BAD_ARGUMENTS":
    case "BAD_CONFIG":
      return 2;
    case "CONDUCTOR_UNREACHABLE":
    case "CONNECT_FAILED":
    case "METASTORE_UNAVAILABLE":
      return 3;
    default:
      return 1;
  }
}

try {
  // What is still open (a client of a program, a timer) must not keep a finished command alive. A worker's engine threads have ended by themselves by now.
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  if (error instanceof RamaError) {
    print.error(`${error.message} (${error.code})`);
    print.note(error.advice);
    process.exit(exitCodeOf(error));
  }
  print.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exit(1);
}
