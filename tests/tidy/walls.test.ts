// Packages stay behind their walls, the clock and the terminal behind their doors, files within their size.
import { expect, test } from "bun:test";
import { errorTable } from "../../src/base/errors.ts";
import { type SourceFile, sourceFiles } from "./source-files.ts";

const files = sourceFiles("src").filter((file) => !file.path.startsWith("src/ui-static/"));

const walls: Readonly<Record<string, RegExp>> = {
  yaml: /^src\/config\/rama-yaml\.ts$/,
  "cbor-x": /^src\/base\/codec\.ts$/,
  "classic-level": /^src\/storage\/kv-level\.ts$/,
  "node-zookeeper-client": /^src\/metastore\//,
  hono: /^src\/http\//,
};

test("each package is imported only behind its wall", () => {
  const wrong = files.flatMap((file) =>
    file.imports
      .filter((name) => walls[name] && !walls[name].test(file.path))
      .map((name) => `${file.path} imports ${name}`),
  );
  expect(wrong).toEqual([]);
});

test("clock, timers and randomness come from Env alone", () => {
  const forbidden = /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|setImmediate)\s*\(/;
  const wrong = files
    .filter((file) => file.path !== "src/base/env-system.ts")
    .flatMap((file) =>
      file.text
        .split("\n")
        .flatMap((line, i) =>
          forbidden.test(line.replace(/\/\/.*|^\s*\*.*/, "")) ? [`${file.path}:${i + 1}: ${line.trim()}`] : [],
        ),
    );
  expect(wrong).toEqual([]);
});

test("only the roles and the named files touch Bun and node I/O", () => {
  const allowed =
    /^src\/(roles|cli\/print|main|start|engine-main|doors)|^src\/(base\/env-system|storage\/disk-bun|storage\/kv-level|net\/transport-tcp|net\/processes-bun|client\/config-file|library\/directory-depot)\.ts$/;
  const io = new Set([
    "node:fs",
    "node:fs/promises",
    "node:net",
    "node:http",
    "node:child_process",
    "node:os",
    "node:dns/promises",
  ]);
  const wrong = files
    .filter((file) => !allowed.test(file.path))
    .flatMap((file) => file.imports.filter((name) => io.has(name)).map((name) => `${file.path} imports ${name}`));
  expect(wrong).toEqual([]);
});

/** Files that are over the limit already, with what they may not grow past; each is to be split at the seam that is named. */
const tooLong: Readonly<Record<string, { readonly limit: number; readonly seam: string }>> = {
  "src/dataflow/flow-builder.ts": {
    limit: 780,
    seam: "control flow (split, loop, meet) apart from state access and movement",
  },
  "src/paths/path.ts": {
    limit: 680,
    seam: "every navigator twice, static and chained: the static ones could be made from the others",
  },
};

test("no file of src grows past 500 lines, and those that are longer do not grow", () => {
  const wrong = files.filter((file) => file.lines > (tooLong[file.path]?.limit ?? 500));
  expect(wrong.map((file) => `${file.path}: ${file.lines}`)).toEqual([]);
});

test("nothing in src or tests is left over from a debugging session", () => {
  const leftovers = [
    ...sourceFiles("tests")
      .filter((file) => !file.path.startsWith("tests/tidy/"))
      .flatMap((file) => linesWith(file, /\b(test|describe|it)\.only\(/)),
    ...files.flatMap((file) => linesWith(file, /\bdebugger;|^\s*console\.(log|error)\(/)),
  ];
  expect(leftovers.filter((line) => !line.startsWith("src/roles/workbench/project-template.ts"))).toEqual([]);
});

function linesWith(file: SourceFile, pattern: RegExp): string[] {
  return file.text
    .split("\n")
    .flatMap((line, i) => (pattern.test(line) ? [`${file.path}:${i + 1}: ${line.trim()}`] : []));
}

test("every file of src is imported by another one, or is where the program begins", () => {
  const entries = new Set([
    "src/main.ts",
    "src/engine-main.ts",
    "src/index.ts",
    "src/client.ts",
    "src/helpers.ts",
    "src/test.ts",
  ]);
  const used = new Set([...files, ...sourceFiles("tests"), ...sourceFiles("scripts")].flatMap((file) => file.imports));
  expect(files.map((file) => file.path).filter((path) => !entries.has(path) && !used.has(path))).toEqual([]);
});

test("every error code is raised somewhere", () => {
  const text = files.map((file) => (file.path === "src/base/errors.ts" ? "" : file.text)).join("\n");
  const unused = Object.keys(errorTable).filter((code) => !text.includes(code));
  expect(unused).toEqual([]);
});
