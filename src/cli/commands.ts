// The table of commands: `rama help`, `--help`, docs/cli.md, completion and dispatch come from here.
import { nearest } from "../base/nearest.ts";
import type { Command } from "./command.ts";
import { append, query, select } from "./commands/data.ts";
import { conductor, devZookeeper, supervisor, worker } from "./commands/daemons.ts";
import { deadLetters } from "./commands/dead-letters.ts";
import { explain } from "./commands/explain.ts";
import { bundle, dev, init, run, runClj, runJava } from "./commands/development.ts";
import { deploy } from "./commands/deploy.ts";
import { destroy, moduleStatus, pauseTopology, resumeTopology, taskGroupsStatus } from "./commands/modules.ts";
import { allowLeaders, disallowLeaders } from "./commands/leaders.ts";
import { confValue, listOptions, unpack } from "./commands/settings.ts";
import { helpOf, overview } from "./help.ts";

const help: Command = {
  name: "help",
  group: "Release",
  summary: "List all commands, or explain one.",
  positionals: [{ name: "command", help: "Name of a command.", optional: true }],
  options: [],
  example: "rama help deploy",
  async run({ parsed, print, release }) {
    const name = parsed.positionals[0];
    const command = name === undefined ? undefined : commandNamed(name);
    if (name !== undefined && command === undefined) {
      print.error(unknownCommand(name));
      return 2;
    }
    print.out(command === undefined ? overview(commands, release) : helpOf(command));
    return 0;
  },
};

const version: Command = {
  name: "version",
  group: "Release",
  summary: "Print the release.",
  positionals: [],
  options: [],
  data: true,
  example: "rama version",
  async run({ parsed, print, release }) {
    if (parsed.json) print.json({ release });
    else print.out(release);
    return 0;
  },
};

export const commands: readonly Command[] = [
  devZookeeper,
  conductor,
  supervisor,
  worker,
  deploy,
  destroy,
  moduleStatus,
  taskGroupsStatus,
  pauseTopology,
  resumeTopology,
  deadLetters,
  disallowLeaders,
  allowLeaders,
  append,
  select,
  query,
  init,
  dev,
  bundle,
  explain,
  run,
  runJava,
  runClj,
  confValue,
  listOptions,
  unpack,
  version,
  help,
];

export function commandNamed(name: string): Command | undefined {
  return commands.find((command) => command.name === name);
}

export function unknownCommand(name: string): string {
  const names = commands.filter((command) => !command.hidden).map((command) => command.name);
  const near = nearest(name, names) ?? names.find((known) => name.length > 2 && known.startsWith(name.slice(0, 3)));
  return `Unknown command: [rama ${name}]${near ? `; did you mean "${near}"?` : "."} \`rama help\` lists all commands.`;
}
