// lib/rama as a package for others: installed into an empty folder it appends and reads under plain Node, and a plain TypeScript checks modules and clients against its
// declarations, without Bun's types.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, type Unpacked, unpackedRelease } from "./built-release.ts";

let unpacked: Unpacked;
let folder: string;

function run(...command: string[]): { code: number; out: string; err: string } {
  const done = Bun.spawnSync(command, { cwd: folder, timeout: 60_000 });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

const node = Bun.which("node") ?? "node";

beforeAll(async () => {
  unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  const deployed = await cluster.rama(
    "deploy",
    "--action",
    "launch",
    "--jar",
    "examples/word-count.ts",
    "--tasks",
    "4",
  );
  if (deployed.code !== 0) throw new Error(deployed.err);
  folder = mkdtempSync(join(tmpdir(), "rama-node-"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "program", private: true, type: "module" }));
  const packed = run("npm", "pack", "--silent", join(home, "lib/rama"));
  const installed = run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${packed.out.trim()}`);
  if (installed.code !== 0) throw new Error(`${packed.err}${installed.err}`);
}, 120_000);

afterAll(async () => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

test("a program under plain Node appends, reads and ends by itself", () => {
  const program = `
    import { Path, RamaClusterManager } from "rama";
    import * as client from "rama/client";
    const cluster = await RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": ${unpacked.cluster.ports.conductor} });
    const sentences = cluster.clusterDepot("WordCountModule", "*sentences");
    await sentences.append("to be or not to be");
    const counts = cluster.clusterPState("WordCountModule", "$$wordCounts");
    console.log(await counts.selectOne(Path.key("be")), client.RamaClusterManager === RamaClusterManager);
    await counts.selectOne(Path.key("be", "x", ["y"])).catch((error) => console.log(error instanceof client.RamaError, error.constructor.name));
    const missing = await cluster.clusterDepot("Nope", "*x").append(1).catch((error) => error.code);
    console.log(missing);
    await cluster.close();`;
  writeFileSync(join(folder, "program.js"), program);
  const { code, out, err } = run(node, "program.js");
  expect(err).toBe("");
  expect(out).toBe("2 true\ntrue RamaError\nMODULE_NOT_FOUND\n");
  expect(code).toBe(0);
});

test("nothing of the machine that built the package is in it, and no engine", async () => {
  const { out } = run(
    "grep",
    "-rlE",
    `${root}|classic-level|node-zookeeper-client`,
    "node_modules/rama/js",
    "--include=*.js",
  );
  expect(out).toBe("");
});

test("a plain TypeScript accepts a module, its test and a client, with strict and without skipLibCheck", () => {
  const source = join(folder, "src");
  mkdirSync(source);
  writeFileSync(
    join(source, "module.ts"),
    `import { Agg, CompoundAgg, Depot, PState, RamaModule, type Setup, type Topologies } from "rama";
export class CountModule extends RamaModule {
  override define(setup: Setup, topologies: Topologies): void {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    const s = topologies.stream("counts");
    s.pstate("$$counts", PState.mapSchema(String, Number));
    s.source("*events").out("*event").bind("*event", { userId: "*userId" })
      .each((id: string) => id.trim(), "*userId").out("*id")
      .compoundAgg("$$counts", CompoundAgg.map("*id", Agg.count()));
  }
}`,
  );
  writeFileSync(
    join(source, "client.ts"),
    `import { type DepotClient, Path, RamaClusterManager, RamaError } from "rama/client";
await using manager = await RamaClusterManager.open({ "conductor.host": "localhost" });
const depot: DepotClient<{ userId: string }> = manager.clusterDepot<{ userId: string }>("CountModule", "*events");
try {
  await depot.append({ userId: "a" });
} catch (error) {
  if (error instanceof RamaError && error.code === "TIMEOUT") throw error;
}
const count: number | null = await manager.clusterPState("CountModule", "$$counts").selectOne<number>(Path.key("a"));
export { count };`,
  );
  writeFileSync(
    join(source, "module.test.ts"),
    `import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { CountModule } from "./module.ts";
await using cluster = await InProcessCluster.create();
const launched = await cluster.launchModule(CountModule, { tasks: 4, threads: 2 });
await launched.depot("*events").append({ userId: "a" });
export const count = await launched.pstate("$$counts").selectOne<number>(Path.key("a"));`,
  );
  for (const [module, resolution] of [
    ["Preserve", "bundler"],
    ["NodeNext", "NodeNext"],
  ] as const) {
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          target: "ES2022",
          lib: ["ES2022", "DOM"],
          module,
          moduleResolution: resolution,
          strict: true,
          skipLibCheck: false,
          exactOptionalPropertyTypes: true,
          allowImportingTsExtensions: true,
          noEmit: true,
          types: [],
        },
        include: ["src"],
      }),
    );
    const { code, out } = run(node, join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
    expect(out).toBe("");
    expect(code).toBe(0);
  }
}, 60_000);
