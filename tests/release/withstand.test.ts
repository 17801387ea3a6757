// Bad input and bad circumstances at the executable: a clear error to the one who caused it, others unaffected, nothing lost.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { type Unpacked, root, unpackedRelease } from "./built-release.ts";

let unpacked: Unpacked;
let manager: RamaClusterManager;

const userModule = `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class TroubleModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const s = topologies.stream("work");
    s.pstate("$$seen", PState.mapSchema(String, Number));
    s.source("*events").out("*event")
      .each((event) => { if (event.kind === "throw") throw new Error("bad event " + event.key); return event.key; }, "*event").out("*key")
      .compoundAgg("$$seen", CompoundAgg.map("*key", Agg.count()));
  }
}`;

beforeAll(async () => {
  unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  writeFileSync(join(home, "trouble.ts"), userModule);
  const deployed = await cluster.rama(
    "deploy",
    "--action",
    "launch",
    "--jar",
    "trouble.ts",
    "--tasks",
    "2",
    "--threads",
    "2",
  );
  if (deployed.code !== 0) throw new Error(deployed.err);
  manager = await RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": cluster.ports.conductor });
}, 120_000);

afterAll(async () => {
  await manager?.close();
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

const depot = () => manager.clusterDepot("TroubleModule", "*events");
const seen = (key: string) => manager.clusterPState("TroubleModule", "$$seen").selectOne(Path.key(key));

test("user code that throws is told to the appender with topology, line and offset, and others go on", async () => {
  const error = await depot()
    .append({ key: "a", kind: "throw" })
    .then(
      () => undefined,
      (e: unknown) => e as { code: string; message: string; facts: Record<string, unknown> },
    );
  expect(error?.code).toBe("PROCESSING_FAILED");
  expect(error?.message).toMatch(/work at .*trouble\.ts:\d+.*\*events.*bad event a/s);
  await depot().append({ key: "b", kind: "fine" });
  expect(await seen("b")).toBe(1);
});

test("a record that the schema does not take is told to the appender", async () => {
  await expect(depot().append({ key: 7, kind: "fine" })).rejects.toMatchObject({ code: "PROCESSING_FAILED" });
});

test("a record over the limit is refused with the size and the setting, and the connection stays usable", async () => {
  await expect(depot().append({ key: "big", blob: new Uint8Array(17 * 1024 * 1024) })).rejects.toMatchObject({
    code: "TOO_LARGE",
  });
  await depot().append({ key: "c", kind: "fine" });
  expect(await seen("c")).toBe(1);
});

test("a path of nonsense is refused by name and not by a crash", async () => {
  const { cluster } = unpacked;
  for (const path of ['["a", ["nonsense"]]', '[["nth", -1]]', "{}", "nonsense"]) {
    const { code, err } = await cluster.rama("select", "TroubleModule", "$$seen", path);
    expect(code).toBeGreaterThan(0);
    expect(err).toMatch(/\((BAD_PATH|BAD_ARGUMENTS|KEY_REQUIRED|INDEX_OUT_OF_RANGE|PROCESSING_FAILED)\)/);
  }
});

test("random bytes at every port do no harm", async () => {
  const { ports, workerPids } = unpacked.cluster;
  const { engines, hello } = await workerPorts();
  const before = workerPids();
  for (const port of [ports.zookeeper, ports.conductor, ports.ui, ports.rest, hello, ...engines]) {
    for (let round = 0; round < 20; round++) await sendRandom(port);
  }
  expect(workerPids()).toEqual(before);
  await depot().append({ key: "after-noise", kind: "fine" });
  expect(await seen("after-noise")).toBe(1);
  const { code } = await unpacked.cluster.rama("moduleStatus", "TroubleModule");
  expect(code).toBe(0);
}, 60_000);

test("a second daemon on the same local.dir is refused and told who has it", async () => {
  const { cluster } = unpacked;
  for (const daemon of ["devZookeeper", "conductor", "supervisor"] as const) {
    const { code, err } = await cluster.rama(daemon);
    expect(code).toBe(1);
    expect(err).toContain("STORE_LOCKED");
    expect(err).toContain(String(cluster.pid(daemon)));
  }
}, 30_000);

test("a bundle that is none or of another release, a source that does not build and a missing file are told apart", async () => {
  const { cluster, home } = unpacked;
  writeFileSync(join(home, "none.js"), "export const x = 1;");
  writeFileSync(join(home, "broken.ts"), "export class M extends {");
  writeFileSync(join(home, "data.bin"), new Uint8Array([1, 2, 3]));
  const deploy = (jar: string) => cluster.rama("deploy", "--action", "launch", "--jar", jar, "--tasks", "2");
  expect((await deploy("none.js")).err).toContain("exports no class that extends RamaModule");
  expect((await deploy("broken.ts")).err).toMatch(/broken\.ts.*does not build/s);
  expect((await deploy("data.bin")).err).toContain("neither a bundle nor a .ts or .js source");
  expect((await deploy("missing.ts")).err).toContain("there is no file");

  const bundled = await cluster.rama("bundle", "trouble.ts", "--out", "made.js");
  expect(bundled).toMatchObject({ code: 0 });
  const made = readFileSync(join(home, "made.js"), "utf8");
  writeFileSync(join(home, "old.js"), made.replace(/(\/\/ rama-bundle )\d+\.\d+/, "$19.8"));
  const old = await deploy("old.js");
  expect(old.code).toBe(1);
  expect(old.err).toMatch(/old\.js was made with rama 9\.8.*bundle it again with this release.*WRONG_VERSION/s);
}, 30_000);

test("a mistake in a module names its line before anything is sent", async () => {
  const { cluster, home } = unpacked;
  writeFileSync(
    join(home, "mistake.ts"),
    userModule.replace('map("*key", Agg', 'map("*kee", Agg').replace("TroubleModule", "MistakeModule"),
  );
  const { code, err } = await cluster.rama("deploy", "--action", "launch", "--jar", "mistake.ts", "--tasks", "2");
  expect(code).toBe(1);
  expect(err).toMatch(/UNKNOWN_VAR/);
  expect(err).toMatch(/mistake\.ts:\d+/);
  expect(err).toContain("*kee");
});

test("deploy and explain name the line of a mistake in a function whose last act is the builder's call", async () => {
  const { cluster, home } = unpacked;
  const helper = `import { Block } from "rama";
const counted = () => {
  return Block.create()
    .each((x) => x, "*key").out("wrong");
};
`;
  writeFileSync(
    join(home, "helper.ts"),
    helper + userModule.replace(".compoundAgg(", ".macro(counted()).compoundAgg("),
  );
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "helper.ts", "--tasks", "2");
  expect(deployed).toMatchObject({ code: 1, err: expect.stringMatching(/helper\.ts:[34]: out binds vars/) });
  const explained = await cluster.rama("explain", "helper.ts");
  expect(explained).toMatchObject({ code: 1, err: expect.stringMatching(/helper\.ts:[34]: out binds vars/) });
});

test("an unknown module, a missing conductor and a misspelt setting say what to do", async () => {
  const { cluster, home } = unpacked;
  const unknown = await cluster.rama("moduleStatus", "NoSuchModule");
  expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining("TroubleModule")]);
  const other = join(home, "other");
  mkdirSync(other);
  const run = (yaml: string) => {
    writeFileSync(join(other, "rama.yaml"), yaml);
    return Bun.spawnSync([cluster.executable, "moduleStatus"], {
      cwd: other,
      env: { ...process.env, RAMA_HOME: other },
    });
  };
  const nobody = run("conductor.host: localhost\nconductor.port: 1\n");
  expect([nobody.exitCode, nobody.stderr.toString()]).toEqual([3, expect.stringContaining("rama conductor")]);
  const misspelt = run("conductor.hots: localhost\n");
  expect([misspelt.exitCode, misspelt.stderr.toString()]).toEqual([
    2,
    expect.stringContaining('did you mean "conductor.host"?'),
  ]);
});

test("a port in use and a read-only local.dir are told with what to do", async () => {
  const { cluster, home } = unpacked;
  const other = join(home, "elsewhere");
  mkdirSync(other);
  const start = (role: string, yaml: string) => {
    writeFileSync(join(other, "rama.yaml"), yaml);
    return Bun.spawnSync([cluster.executable, role], {
      cwd: other,
      env: { ...process.env, RAMA_HOME: other },
      timeout: 15_000,
    });
  };
  const taken = start("devZookeeper", `zookeeper.port: ${cluster.ports.zookeeper}\n`);
  expect([taken.exitCode, taken.stderr.toString()]).toEqual([1, expect.stringContaining("PORT_IN_USE")]);
  const sealed = join(other, "sealed");
  mkdirSync(sealed);
  writeFileSync(join(sealed, "file"), "");
  chmodSync(sealed, 0o500);
  const readOnly = start("devZookeeper", `zookeeper.port: 0\nlocal.dir: ${join(sealed, "file")}\n`);
  expect(readOnly.exitCode).toBe(1);
  expect(readOnly.stderr.toString()).toContain(sealed);
}, 30_000);

test("SIGTERM stops every role in order with exit code 0", async () => {
  await using own = unpackedRelease();
  await own.cluster.startAll();
  const module = join(root, "bench/modules/count.ts");
  expect((await own.cluster.rama("deploy", "--action", "launch", "--jar", module, "--tasks", "2")).err).toBe("");
  const [worker] = own.cluster.workerPids();
  expect(worker).toBeGreaterThan(0);
  expect(await own.cluster.stop("supervisor")).toBe(0);
  expect(own.cluster.workerPids()).toEqual([worker!]);
  expect(await own.cluster.stop("conductor")).toBe(0);
  expect(await own.cluster.stop("devZookeeper")).toBe(0);
}, 60_000);

async function workerPorts(): Promise<{ engines: number[]; hello: number }> {
  const { out } = await unpacked.cluster.rama("moduleStatus", "TroubleModule", "--json");
  const { workers } = JSON.parse(out) as { workers: { helloPort: number; groupPorts: Record<string, number> }[] };
  return { hello: workers[0]!.helloPort, engines: [...new Set(Object.values(workers[0]!.groupPorts))] };
}

/** Resolves once the bytes are out and the other side has closed, or a moment later. */
function sendRandom(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const bytes = crypto.getRandomValues(new Uint8Array(Math.ceil(Math.random() * 4000)));
    socket.on("error", () => resolve());
    socket.on("close", () => resolve());
    socket.on("connect", () => socket.end(bytes, () => setTimeout(() => socket.destroy(), 5)));
  });
}
