// Help texts and docs/cli.md, both made from the table of commands.
import { type Command, usageOf } from "./command.ts";

const exitCodes = "Exit codes: 0 done, 1 refused or failed, 2 wrong arguments or settings, 3 nobody reachable.";
const groups: readonly Command["group"][] = ["Daemons", "Modules", "Cluster", "Data", "Development", "Release"];

export function overview(commands: readonly Command[], release: string): string {
  const lines = [`rama ${release}`, "", "usage: rama <command> [arguments]", "       rama <command> --help", ""];
  const shown = commands.filter((command) => !command.hidden);
  const width = Math.max(...shown.map((command) => command.name.length));
  for (const group of groups) {
    lines.push(`${group}:`);
    for (const command of shown.filter((c) => c.group === group))
      lines.push(`  ${command.name.padEnd(width)}  ${command.summary}`);
    lines.push("");
  }
  lines.push("Settings are read from rama.yaml beside this executable (RAMA_HOME names another directory).");
  lines.push(exitCodes);
  return lines.join("\n");
}

export function helpOf(command: Command): string {
  const lines = [command.summary, "", `usage: ${usageOf(command)}`];
  if (command.description) lines.push("", command.description);
  const rows: [string, string][] = [
    ...command.positionals.map((p): [string, string] => [`<${p.name}>`, p.help]),
    ...command.options.map((o): [string, string] => [
      `${o.short === undefined ? "" : `-${o.short}, `}--${o.name}${o.value === undefined ? "" : ` <${o.value}>`}`,
      `${o.help}${o.required ? " (required)" : ""}`,
    ]),
    ...(command.data ? [["--json", "Print the result as JSON."] as [string, string]] : []),
  ];
  if (rows.length > 0) {
    const width = Math.max(...rows.map(([name]) => name.length));
    lines.push("", ...rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`));
  }
  lines.push("", "example:", ...command.example.split("\n").map((line) => `  ${line}`));
  lines.push("", command.exitCodes ?? exitCodes);
  return lines.join("\n");
}

export function markdown(commands: readonly Command[]): string {
  const lines = ["# The `rama` command", "", "Generated from the table of commands (`src/cli/commands.ts`).", ""];
  for (const group of groups) {
    lines.push(`## ${group}`, "");
    for (const command of commands.filter((c) => c.group === group && !c.hidden)) {
      lines.push(`### \`${command.name}\``, "", "```", helpOf(command), "```", "");
    }
  }
  return lines.join("\n");
}
