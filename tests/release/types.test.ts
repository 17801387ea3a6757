// What the declarations of lib/rama say to authors: a plain TypeScript, as a user's project has it, accepts a good module and refuses bad ones with messages that name
// the mistake. Each bad line stands in a module that is good but for it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, type Unpacked, unpackedRelease } from "./built-release.ts";

let unpacked: Unpacked;
let folder: string;
const node = Bun.which("node") ?? "node";

function run(...command: string[]): { code: number; out: string; err: string } {
  const done = Bun.spawnSync(command, { cwd: folder, timeout: 60_000 });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

beforeAll(() => {
  unpacked = unpackedRelease();
  folder = mkdtempSync(join(tmpdir(), "rama-types-"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "types", private: true, type: "module" }));
  const packed = run("npm", "pack", "--silent", join(unpacked.home, "lib/rama"));
  const installed = run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${packed.out.trim()}`);
  if (installed.code !== 0) throw new Error(`${packed.err}${installed.err}`);
  mkdirSync(join(folder, "src"));
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2022",
        lib: ["ES2022"],
        module: "Preserve",
        moduleResolution: "bundler",
        strict: true,
        skipLibCheck: true,
        noEmit: true,
        types: [],
      },
      include: ["src"],
    }),
  );
}, 120_000);

afterAll(async () => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

const module = (body: string) => `
import {
  Agg, Block, CompoundAgg, Depot, emit, emitStream, expr, type Op, Ops, Path, PState, RamaModule, StreamSourceOptions,
  MicrobatchSourceOptions, SubSource, gt, type Setup, type Topologies,
} from "rama";
export class M extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*d", Depot.hashBy("user"));
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(String, Number));
    const mb = topologies.microbatch("mb");
    mb.pstate("$$q", PState.mapSchema(String, Number));
    const b = s.source("*d").out("*x");
    ${body}
  }
}
export const used = [Agg, Block, CompoundAgg, emit, emitStream, expr, Ops, Path, StreamSourceOptions, MicrobatchSourceOptions, SubSource, gt];
export type Used = Op;
`;

/** What stands in a bad line, and a part of what the compiler says of it. */
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: as the compiler writes them
const bad: readonly (readonly [what: string, body: string, message: string])[] = [
  ["a var without its star", `b.each(Ops.INC, "*x").out("y");`, `'"y"' is not assignable`],
  ["a depot without its star", `setup.declareDepot("d2", Depot.random());`, "`*${string}`"],
  ["a PState with one dollar", `s.pstate("$p2", Number);`, "`$$${string}`"],
  ["a PState named like a var", `b.localTransform("*p", Path.termVal(1));`, "`$$${string}`"],
  ["a source without its star", `s.source("d");`, "`*${string}`"],
  ["a misspelt Op", `b.each(Ops.EXPLOD, "*x").out("*y");`, "Did you mean 'EXPLODE'?"],
  ["a misspelt method", `b.hashPartiton("*x");`, "Did you mean 'hashPartition'?"],
  ["too many arguments of an Op", `b.each(Ops.INC, "*x", 2).out("*y");`, "Expected 2 arguments, but got 3"],
  ["too few arguments of an Op", `b.each(Ops.GET, "*x").out("*y");`, "Expected 3 arguments, but got 2"],
  ["too few arguments in an expression", `b.keepTrue(expr(Ops.CONTAINS, "*x"));`, "Expected 3 arguments, but got 2"],
  ["a comparison with nothing", `b.keepTrue(gt());`, "Expected at least 1 arguments, but got 0"],
  [
    "too many arguments of a function",
    `b.each((a: string) => a.length, "*x", "*x").out("*y");`,
    "Expected 2 arguments, but got 3",
  ],
  [
    "too few arguments of a function",
    `b.each((a: string, n: number) => a.length + n, "*x").out("*y");`,
    "Expected 3 arguments, but got 2",
  ],
  ["a plain function in eachAsync", `b.eachAsync((a: string) => a.length, "*x").out("*y");`, "Promise<unknown>"],
  [
    "a schema in a set",
    `s.pstate("$$s", PState.mapSchema(String, PState.setSchema(PState.listSchema(Number))));`,
    "not assignable",
  ],
  ["fixed keys subindexed", `PState.fixedKeysSchema({ a: Number }).subindexed();`, "'subindexed' does not exist"],
  ["options of the other kind", `mb.source("*d", StreamSourceOptions.retryNone());`, "not assignable"],
  ["a retry mode for a microbatch", `MicrobatchSourceOptions.retryNone();`, "'retryNone' does not exist"],
  ["an option that is none", `s.source("*d", { retryAlways: true });`, "'retryAlways' does not exist"],
  ["an ack level that is none", `b.depotPartitionAppend("*d", "*x", "acked");`, `'"acked"' is not assignable`],
  ["an aggregator where a template belongs", `b.compoundAgg("$$p", Agg.count());`, "'CompoundAgg'"],
  ["a block where a condition's branch belongs", `b.ifTrue("*x", "*y");`, "'Block'"],
  ["a module without define", `class N extends RamaModule {} new N();`, "define"],
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: as the compiler writes them

const good = `
    b.each((text: string) => text.split(" "), "*x").out("*words")
      .each(Ops.EXPLODE, "*words").out("*word")
      .each(Ops.TO_STRING, "*word", "!", 1).out("*loud")
      .each(function* (w: string) { if (w === "") yield emitStream("empty", w); else yield emit(w, w.length); }, "*loud")
      .outStream("empty", "none", "*e").out("*w", "*n")
      .keepTrue(gt("*n", expr((a: number, b = 1) => a + b, 2)))
      .each(Math.max, "*n", 1, 2, 3).out("*m")
      .each((...all: unknown[]) => all.length, "*n", "*m").out("*k")
      .each((nothing) => nothing, "*k").out("*same")
      .eachAsync(async (n: number) => n + 1, "*m").out("*later")
      .hashPartition("$$p", "*w")
      .localSelect("$$p", Path.key("*w").nullToVal(0), { allowYield: true }).out("*before")
      .compoundAgg("$$p", CompoundAgg.map("*w", Agg.sum("*n")))
      .ackReturn("*later");
    const anyOp: Op = Ops.INC;
    mb.source("*d", MicrobatchSourceOptions.startFromBeginning()).out("*mb")
      .explodeMicrobatch("*mb").out({ user: "*user" })
      .each(anyOp, 1).out("*two")
      .compoundAgg("$$q", CompoundAgg.map("*user", Agg.count()));
    s.source("*d", { sourceId: "second", retryAllAfter: true }).out("*r").subSource("*r", SubSource.create(Map), SubSource.create({ type: "x" }));
`;

test("a good module compiles, each bad line is refused at its place with a message that names the mistake", () => {
  writeFileSync(join(folder, "src/good.ts"), module(good));
  for (const [i, [, body]] of bad.entries()) writeFileSync(join(folder, `src/bad${i}.ts`), module(body));
  const { out } = run(node, join(root, "node_modules/typescript/bin/tsc"), "-p", ".", "--pretty", "false");
  const told = new Map<string, string[]>();
  let last: string[] = [];
  for (const line of out.split("\n")) {
    const file = /^src\/(\w+)\.ts\((\d+),/.exec(line);
    if (file !== null) {
      last = told.get(file[1]!) ?? [];
      told.set(file[1]!, last);
    }
    if (line !== "") last.push(line);
  }
  expect(told.get("good") ?? []).toEqual([]);
  const line =
    module("")
      .split("\n")
      .findIndex((each) => each.includes("const b = ")) + 2;
  bad.forEach(([what, , message], i) => {
    const said = (told.get(`bad${i}`) ?? []).join("\n");
    expect([what, said]).toEqual([what, expect.stringContaining(message)]);
    expect([what, said]).toEqual([what, expect.stringMatching(new RegExp(`^src/bad${i}\\.ts\\(${line},`))]);
  });
}, 90_000);
