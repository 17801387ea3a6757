// Writes the pages that come from tables: docs/cli.md (commands), docs/errors.md (error codes), docs/options.md (settings), and
// docs/parity.md from the claims of tests/parity.
//   npm run docs [-- --check]
// `tests/tidy/docs.test.ts` fails when a page and its table differ.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { errorTable, type ErrorKind } from "../src/base/errors.ts";
import { commands } from "../src/cli/commands.ts";
import { markdown as commandsPage } from "../src/cli/help.ts";
import { describeType, type Option, options } from "../src/config/options.ts";
import { parityPage } from "./parity.ts";

const root = resolve(import.meta.dir, "..");

/** Text of each generated page by its path in the checkout. */
export function generatedPages(): Readonly<Record<string, string>> {
  return {
    "docs/cli.md": `${commandsPage(commands).trimEnd()}\n`,
    "docs/errors.md": errorsPage(),
    "docs/options.md": optionsPage(),
    "docs/parity.md": parityPage(),
  };
}

const faults: Readonly<Record<ErrorKind["fault"], string>> = {
  user: "the caller",
  operator: "the operator",
  cluster: "the cluster",
};

function errorsPage(): string {
  const lines = [
    "# Error codes",
    "",
    "Generated from `src/base/errors.ts`. Every error that someone can act on is a `RamaError` with one of these codes; its message names the values, its `facts`",
    "hold them, `advice` says what to do. `retryable`: the same call may succeed later, unchanged. `HTTP` is the status where the error crosses REST,",
    "whose body is `{ code, message, advice, retryable }`.",
    "",
    "| code | retryable | up to | HTTP | what to do |",
    "|---|---|---|---|---|",
  ];
  for (const [code, kind] of Object.entries(errorTable) as [string, ErrorKind][]) {
    lines.push(
      `| \`${code}\` | ${kind.retryable ? "yes" : "no"} | ${faults[kind.fault]} | ${kind.status} | ${cell(kind.advice)} |`,
    );
  }
  return `${lines.join("\n")}\n`;
}

const roleTitles: readonly { readonly role: Option["role"]; readonly title: string }[] = [
  { role: "all", title: "All roles" },
  { role: "devZookeeper", title: "devZookeeper" },
  { role: "conductor", title: "Conductor" },
  { role: "supervisor", title: "Supervisor" },
  { role: "worker", title: "Workers" },
  { role: "client", title: "Clients" },
];

function optionsPage(): string {
  const lines = [
    "# Settings",
    "",
    "Generated from `src/config/options.ts`; `rama options` prints the same, `rama confValue <name>` the value that this release has.",
    "",
    "A *config* is fixed when a process starts. It stands in `rama.yaml` beside the executable; workers' configs may also be given to one module with",
    "`deploy --configOverrides <yaml>`, and clients' configs to `RamaClusterManager.open`. A *dynamic option* belongs to a module: it is given with",
    "`setLaunch…DynamicOption` in its code or with `--moduleOptions`, `--topologyOptions`, `--depotOptions`, `--pstateOptions` of `deploy`.",
    "An unknown name or a value of the wrong type is refused with `BAD_CONFIG`, never ignored. Some settings are there for features that are still to come;",
    "the README says which those are.",
    "",
    "# Configs",
    "",
  ];
  for (const { role, title } of roleTitles) {
    lines.push(`## ${title}`, "", "| name | takes | default | meaning |", "|---|---|---|---|");
    lines.push(...options.filter((o) => o.role === role && !o.dynamic).map(optionRow), "");
  }
  lines.push("# Dynamic options", "");
  for (const scope of ["module", "topology", "depot", "pstate"] as const) {
    lines.push(`## Of a ${scope === "pstate" ? "PState" : scope}`, "");
    lines.push("| name | takes | default | meaning |", "|---|---|---|---|");
    lines.push(...options.filter((o) => o.dynamic === scope).map(optionRow), "");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function optionRow(option: Option): string {
  const value = option.default === undefined ? "unset" : `\`${JSON.stringify(option.default)}\``;
  return `| \`${option.name}\` | ${cell(describeType(option.type))} | ${value} | ${cell(option.help)} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

if (import.meta.main) {
  const check = process.argv.includes("--check");
  let stale = 0;
  for (const [path, text] of Object.entries(generatedPages())) {
    const file = join(root, path);
    if (existsSync(file) && readFileSync(file, "utf8") === text) continue;
    stale++;
    if (!check) writeFileSync(file, text);
    console.log(`${path} ${check ? "is not up to date: run `npm run docs`" : "written"}`);
  }
  if (stale === 0) console.log("all generated pages are up to date");
  process.exit(check && stale > 0 ? 1 : 0);
}
