// docs/parity.md: every claim of the module language with the tests that prove it, those without a test first. The claims are data: tests/parity/claims/*.md, one
// file per section, one line per claim:
//   - what is claimed ⇐ file "test or row" "another"; folder/file "test"
// A file without a folder is one of tests/parity. What stands in quotes is the name of a test, or of a row of a table, as it stands in that file; `named` finds
// it in the text, so nothing has to run. A test whose name is the claim itself proves it without being listed. `docs.ts` writes the page, `tests/tidy` checks it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const claimsDir = join(root, "tests/parity/claims");

export interface Reference {
  /** Below tests/, without `.test.ts`. */
  readonly file: string;
  readonly test: string;
}
export interface Claim {
  readonly text: string;
  readonly tests: readonly Reference[];
}
export interface Section {
  readonly title: string;
  readonly parts: readonly { readonly title: string | undefined; readonly claims: readonly Claim[] }[];
}

export function sections(): Section[] {
  return readdirSync(claimsDir)
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => parseSection(name, readFileSync(join(claimsDir, name), "utf8")));
}

/** What the claims name and no test file holds, as `section: file "test"`. */
export function missingReferences(): string[] {
  return sections().flatMap(({ title, parts }) =>
    parts.flatMap(({ claims }) =>
      claims.flatMap(({ tests }) =>
        tests.filter((each) => !exists(each)).map(({ file, test }) => `${title}: ${file} "${test}"`),
      ),
    ),
  );
}

function parseSection(name: string, text: string): Section {
  const lines = text.split("\n");
  const title = lines[0]!.replace(/^# /, "");
  const parts: { title: string | undefined; claims: Claim[] }[] = [{ title: undefined, claims: [] }];
  for (const line of lines.slice(1)) {
    if (line.startsWith("## ")) parts.push({ title: line.slice(3), claims: [] });
    else if (line.startsWith("- ")) parts.at(-1)!.claims.push(parseClaim(name, line.slice(2)));
  }
  return { title, parts: parts.filter(({ claims }) => claims.length > 0) };
}

function parseClaim(section: string, line: string): Claim {
  const [text, proof] = line.split(" ⇐ ") as [string, string | undefined];
  const listed = (proof ?? "").split(/\s*;\s*(?=[a-z/-]+ ")/).flatMap((group) => parseGroup(section, group.trim()));
  return { text, tests: [...listed, ...namedAlike(text)] };
}

function parseGroup(section: string, group: string): Reference[] {
  if (group === "") return [];
  const [, file, names] = /^([a-z0-9/-]+) (".*")$/.exec(group) ?? [];
  if (file === undefined) throw new Error(`${section}: a proof reads file "test" "test", not ${group}`);
  const path = file.includes("/") ? file : `parity/${file}`;
  return [...names!.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => ({ file: path, test: match[1]! }));
}

const texts = new Map<string, string>();
function textOf(file: string): string {
  let text = texts.get(file);
  if (text === undefined) {
    const path = join(root, "tests", `${file}.test.ts`);
    text = existsSync(path) ? readFileSync(path, "utf8") : "";
    texts.set(file, text);
  }
  return text;
}

function exists({ file, test }: Reference): boolean {
  const text = textOf(file);
  return text.includes(`"${test}"`) || text.includes(`\`${test}\``);
}

function namedAlike(claim: string): Reference[] {
  return readdirSync(join(root, "tests/parity"))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => ({ file: `parity/${basename(name, ".test.ts")}`, test: claim }))
    .filter(exists);
}

export function parityPage(): string {
  const all = sections();
  const open = (section: Section) =>
    section.parts.flatMap((part) => part.claims).filter(({ tests }) => tests.length === 0);
  const lines = [
    "# The language, claim by claim",
    "",
    "Generated from `tests/parity/claims/` (one file per section of the language, one line per claim) by `npm run docs`. Each claim stands with the tests that prove",
    "it. *(decided)* marks what the original leaves open and what is decided here; the claim says how.",
    "",
    "## Without a test",
    "",
  ];
  const bare = all.filter((section) => open(section).length > 0);
  if (bare.length === 0) lines.push("None.", "");
  for (const section of bare)
    lines.push(`**${section.title}**`, "", ...open(section).map(({ text }) => `- ${text}`), "");
  for (const { title, parts } of all) {
    lines.push(`## ${title}`, "");
    for (const part of parts) {
      if (part.title !== undefined) lines.push(`### ${part.title}`, "");
      lines.push("| claim | proved by |", "|---|---|", ...part.claims.map(row), "");
    }
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function row({ text, tests }: Claim): string {
  const files = new Map<string, string[]>();
  for (const { file, test } of tests) files.set(file, [...(files.get(file) ?? []), test]);
  const proof = [...files].map(
    ([file, names]) => `[${file.replace("parity/", "")}](../tests/${file}.test.ts): ${names.map(cell).join("; ")}`,
  );
  return `| ${cell(text)} | ${proof.length === 0 ? "**nothing yet**" : proof.join("<br>")} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("*", "\\*").replaceAll("\\*(decided", "*(decided");
}
