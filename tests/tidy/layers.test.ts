// The layer table of docs/architecture.md: a folder imports only from lines above it, or from folders to its left on its own line.
import { expect, test } from "bun:test";
import { type SourceFile, sourceFiles } from "./source-files.ts";

const layers: readonly (readonly string[])[] = [
  ["base"],
  ["config", "storage", "net", "metastore", "zookeeper"],
  ["paths", "aggregators", "dataflow", "module", "protocol"],
  ["depot", "pstate", "replication"],
  ["client", "task"],
  ["topology"],
  ["cluster", "backup"],
  ["http", "cli"],
  ["roles"],
  ["testing", "simulation"],
  ["doors"],
  ["library", "monitoring"],
  ["main"],
];
/** "|" in the table: they may not import each other. */
const apart = [["depot", "pstate"]];
const doors = new Set(["index.ts", "client.ts", "helpers.ts", "test.ts", "world.ts"]);
const mains = new Set(["main.ts", "start.ts", "doors.ts", "engine-main.ts"]);
/** Type-only imports upward that the contracts of layer 1 and 2 need of each other. */
const typeOnlyAllowed: readonly (readonly [from: string, to: string])[] = [
  ["dataflow", "module"],
  ["net", "metastore"],
];

function folderOf(path: string): string {
  const [, first] = path.split("/");
  if (doors.has(first!)) return "doors";
  if (mains.has(first!)) return "main";
  return first!;
}

function place(folder: string): [number, number] {
  const line = layers.findIndex((names) => names.includes(folder));
  return [line, layers[line]?.indexOf(folder) ?? -1];
}

function mayImport(from: string, to: string): boolean {
  if (from === to || from === "main") return true;
  if (from === "doors" && to === "library") return true;
  if (apart.some((pair) => pair.includes(from) && pair.includes(to))) return false;
  const [fromLine, fromColumn] = place(from);
  const [toLine, toColumn] = place(to);
  return toLine < fromLine || (toLine === fromLine && toColumn < fromColumn);
}

const files: readonly SourceFile[] = sourceFiles("src").filter((file) => !file.path.startsWith("src/ui-static/"));

test("every folder of src stands in the layer table", () => {
  const unknown = files.map((file) => folderOf(file.path)).filter((folder) => place(folder)[0] < 0);
  expect([...new Set(unknown)]).toEqual([]);
});

test("no folder imports from a layer above its own", () => {
  const wrong = files.flatMap((file) =>
    file.imports
      .filter((target) => target.startsWith("src/") && !target.startsWith("src/ui-static/"))
      .filter((target) => !mayImport(folderOf(file.path), folderOf(target)))
      .filter(
        (target) => !typeOnlyAllowed.some(([from, to]) => folderOf(file.path) === from && folderOf(target) === to),
      )
      .map((target) => `${file.path} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("the client library reaches neither engine, LevelDB nor ZooKeeper", () => {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const target of byPath.get(path)?.imports ?? []) visit(target);
  };
  visit("src/client.ts");
  const heavy = [...seen].filter(
    (path) =>
      /^src\/(task|topology|depot|pstate|replication|zookeeper|roles)\//.test(path) ||
      /classic-level|node-zookeeper-client/.test(path),
  );
  expect(heavy).toEqual([]);
});
