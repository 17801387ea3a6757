// Module updates with the compiled executable, under load: nothing acknowledged is lost or counted twice, calls in between wait, a refused or failing update leaves the old
// version running, and one that was begun ends whatever is killed in the middle of it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { root, type Unpacked, unpackedRelease, until } from "./built-release.ts";
import { Load } from "./load.ts";

const tasks = 4;
let unpacked: Unpacked;
let manager: RamaClusterManager;

beforeAll(async () => {
  unpacked = unpackedRelease();
  await unpacked.cluster.startAll();
  const conductor = { "conductor.host": "localhost", "conductor.port": unpacked.cluster.ports.conductor };
  manager = await RamaClusterManager.open(conductor);
}, 120_000);

afterAll(async () => {
  await manager?.close();
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

/** A source file of a version of the counting module, named `name`. */
function source(name: string, change: (text: string) => string = (text) => text): string {
  const text = readFileSync(join(root, "bench/modules/count.ts"), "utf8").replaceAll("CountModule", name);
  const path = join(unpacked.home, `${name}-${Math.random().toString(36).slice(2)}.ts`);
  writeFileSync(path, change(text));
  return path;
}

const deploy = (action: string, jar: string, ...more: string[]) =>
  unpacked.cluster.rama("deploy", "--action", action, "--jar", jar, ...more);

async function launch(name: string, workers: number): Promise<Load> {
  const parallelism = ["--tasks", String(tasks), "--threads", "2", "--workers", String(workers)];
  expect(await deploy("launch", source(name), ...parallelism)).toMatchObject({ code: 0, err: "" });
  const load = new Load(manager, { module: name, tasks, users: 7, ordered: true });
  await load.progress(200);
  return load;
}

/** The longest append and the longest read while `during` runs, from callers that do one thing after another. */
async function stalls(module: string, during: () => Promise<unknown>): Promise<{ appendMs: number; readMs: number }> {
  let stopped = false;
  const longest = async (call: (i: number) => Promise<unknown>): Promise<number> => {
    let most = 0;
    for (let i = 0; !stopped; i++) {
      const before = performance.now();
      await call(i);
      most = Math.max(most, performance.now() - before);
    }
    return most;
  };
  const depot = manager.clusterDepot(module, "*events");
  const counts = manager.clusterPState(module, "$$counts");
  const lanes = [
    longest((i) => depot.append({ userId: `user-${i % 7}`, url: "pulse", ts: i })),
    longest((i) => counts.selectOne(Path.key(`user-${i % 7}`))),
  ];
  await during();
  await Bun.sleep(300);
  stopped = true;
  const [appendMs, readMs] = await Promise.all(lanes);
  return { appendMs: Math.round(appendMs!), readMs: Math.round(readMs!) };
}

const status = async (module: string) => {
  const { out } = await unpacked.cluster.rama("moduleStatus", module, "--json");
  return JSON.parse(out) as { module: { state: string; instances: { id: string }[]; error?: string } };
};

test.each([
  ["one worker", "OneWorkerModule", 1],
  ["two workers", "TwoWorkersModule", 2],
])(
  "updates of a module with %s keep every record and count, and stall clients for less than a second",
  async (_, name, workers) => {
    const load = await launch(name, workers);
    const newer = source(name, (text) => text.replace("Agg.count()", "Agg.count() /* newer */"));
    for (let round = 0; round < 3; round++) {
      const before = (await status(name)).module.instances[0]!.id;
      const { appendMs, readMs } = await stalls(name, async () => {
        expect(await deploy("update", newer)).toMatchObject({ code: 0, err: "" });
      });
      console.log(`${name}: longest append ${appendMs} ms, longest read ${readMs} ms`);
      expect(Math.max(appendMs, readMs)).toBeLessThan(3_000);
      const { instances, state } = (await status(name)).module;
      expect(state).toBe("[:running]");
      expect(instances.map(({ id }) => id)).not.toContain(before);
      await load.progress(100);
    }
    await load.end();
    expect(load.unknown).toBe(0);
    await load.check();
  },
  120_000,
);

test("what does not fit, and what cannot start, leaves the old version running without a stall", async () => {
  const name = "RefusedModule";
  const load = await launch(name, 1);
  const { instances } = (await status(name)).module;
  const refusals: [string, RegExp, (text: string) => string][] = [
    [
      "narrow",
      /\$\$counts of RefusedModule changes its values.*INCOMPATIBLE_UPDATE/,
      (text) => text.replace("mapSchema(String, Number)", "mapSchema(String, Boolean)"),
    ],
    [
      "rename",
      /\$\$counts would be deleted.*DELETION_NOT_NAMED/,
      (text) => text.replaceAll("$$counts", () => "$$others"),
    ],
  ];
  for (const [, message, change] of refusals) {
    const { code, err } = await deploy("update", source(name, change));
    expect(code).toBe(1);
    expect(err).toMatch(message);
  }
  // Fine where it is deployed from, and not on the node.
  const broken = source(name, (text) => `if (!Bun.isMainThread) throw new Error("not on this node");\n${text}`);
  const { code, err } = await deploy("update", broken);
  expect(code).toBe(1);
  expect(err).toContain("not on this node");
  // A service that the new version needs is not there. Where task globals are prepared, the old one still serves.
  const failing = source(name, (text) =>
    text.replace(
      "setup.declareDepot(",
      'setup.declareObject("*service", () => ({ prepareForTask() { throw new Error("no such service"); } }));\n    setup.declareDepot(',
    ),
  );
  const unprepared = await deploy("update", failing);
  expect(unprepared.code).toBe(1);
  expect(unprepared.err).toMatch(/\*service on task \d: no such service/);
  expect((await status(name)).module.error).toMatch(/no such service/);
  const after = (await status(name)).module;
  expect(after).toMatchObject({ state: "[:running]", instances });
  await load.progress(100);
  await load.end();
  expect(load.unknown).toBe(0);
  await load.check();
}, 120_000);

test("an update ends, forward or back, whatever is killed in the middle of it", async () => {
  const name = "KilledModule";
  const { cluster } = unpacked;
  const load = await launch(name, 2);
  const victims = [() => cluster.kill("conductor"), async () => killWorkers(), () => cluster.kill("supervisor")];
  for (const kill of victims) {
    for (const wanted of ["[:updating-next-assigned]", "[:updating-handover]"]) {
      const updated = deploy("update", source(name));
      await reach(name, wanted);
      await kill();
      for (const daemon of ["conductor", "supervisor"] as const)
        if (cluster.pid(daemon) === undefined) await cluster.start(daemon);
      await updated;
      await until("[:running]", async () => (await stateOf(name)) === "[:running]", 60_000);
      await load.progress(100);
    }
  }
  await load.end();
  await load.check();
}, 240_000);

const order = ["[:running]", "[:updating-next-assigned]", "[:updating-prepare-handover]", "[:updating-handover]"];

/** Looks as often as it can: the states before and of the hand-over last some milliseconds. */
async function reach(module: string, wanted: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (order.indexOf(await stateOf(module)) < order.indexOf(wanted))
    if (performance.now() > deadline) throw new Error(`${wanted} was not reached`);
}

/** As the Cluster UI is told: much faster than a command. "" while the conductor is down. */
async function stateOf(module: string): Promise<string> {
  try {
    const url = `http://localhost:${unpacked.cluster.ports.ui}/api/modules/${module}`;
    // A conductor that is killed or starts may leave a question unanswered: it is asked again.
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    return ((await answer.json()) as { module: { state: string } }).module.state;
  } catch {
    return "";
  }
}

function killWorkers(): void {
  for (const pid of unpacked.cluster.workerPids()) process.kill(pid, "SIGKILL");
}
