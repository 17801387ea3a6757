// What a leader does besides appends and reads goes with its groups when they are handed over: ticks, task globals, proxies, trimming of depots, migrations. Guards duties that
// nobody has after a hand-over, or two have.
import { expect, test } from "bun:test";
import { Depot, Ops, Path, PState, RamaModule, type SchemaArg, type Setup, type Topologies } from "rama";
import { taskOf } from "../../src/base/hash.ts";
import type { OptionSetting } from "../../src/protocol/cluster-records.ts";
import { compileModule } from "../../src/dataflow/compile.ts";
import { defineModule } from "../../src/module/build.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";
import { ReplicatedModule } from "../../src/testing/replicated-module.ts";
import { waitFor } from "../../src/testing/wait-for.ts";

type Define = (setup: Setup, topologies: Topologies) => void;

function compiled(define: Define) {
  class Led extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      define(setup, topologies);
    }
  }
  return compileModule(defineModule(new Led()));
}

const name = "Led";
const workers = [0, 1, 2];

async function launched(define: Define, settings: readonly OptionSetting[] = []) {
  const failures: unknown[] = [];
  const world = new MemoryWorld({ onFailure: (what, error) => failures.push({ what, error }) });
  const replicated = await ReplicatedModule.launch({
    world,
    module: compiled(define),
    tasks: 2,
    threads: 2,
    workers: 1,
    replicationFactor: 3,
    hosts: ["n0", "n1", "n2"],
    settings,
    manualTicks: false,
    onBroken: (host, error) => failures.push({ host, error }),
  });
  const { env } = world;
  const until = (what: string, condition: () => boolean | Promise<boolean>) =>
    waitFor(condition, { env, timeoutMs: 50_000, what, present: () => JSON.stringify(failures) });
  const inSync = () =>
    [0, 1].every((group) => {
      const leader = replicated.leaderOf(group);
      return leader !== undefined && replicated.statusOf(leader, group)?.inSync.length === 3;
    });
  /** To the next worker. */
  const handOver = async (group: number): Promise<number> => {
    await until("all in sync", inSync);
    const to = (replicated.leaderOf(group)! + 1) % workers.length;
    await replicated.resign(group, to);
    await until("the successor to lead", () => replicated.leaderOf(group) === to);
    return to;
  };
  await until("all in sync", inSync);
  const core = replicated.client();
  return {
    replicated,
    core,
    until,
    inSync,
    handOver,
    async [Symbol.asyncDispose]() {
      await core.close();
      await replicated.close();
      expect(failures).toEqual([]);
    },
  };
}

test("ticks go on at the new leader alone, task globals gain leadership there, and a proxy goes on following", async () => {
  const objects: { task: number; leads: number; closed: boolean }[] = [];
  await using cluster = await launched((setup, topologies) => {
    setup.declareObject("*own", (task: number) => {
      const object = { task, leads: 0, closed: false };
      objects.push(object);
      return {
        gainedLeadership: () => void object.leads++,
        close: () => {
          object.closed = true;
        },
      };
    });
    setup.declareTickDepot("*tick", 20);
    const s = topologies.stream("ticks");
    s.pstate("$$ticks", PState.mapSchema(String, Number));
    s.source("*tick").localTransform("$$ticks", Path.key("n").nullToVal(0).term(Ops.INC));
  });
  const { core, until, handOver } = cluster;
  const ticks = core.pstate(name, "$$ticks");
  // Ticks are task 0's.
  const zero = Array.from({ length: 20 }, (_, i) => i).find((key) => taskOf(key, 2) === 0);
  const count = async () => (await ticks.selectOne<number | null>(zero, Path.key("n"))) ?? 0;
  const leads = () => objects.filter(({ task, leads: times, closed }) => task === 0 && times > 0 && !closed);
  const proxy = await ticks.proxy<number>(zero, Path.key("n"));
  for (let round = 0; round < 3; round++) {
    const before = await count();
    await until("ticks", async () => (await count()) > before + 3);
    expect(leads().map((object) => object.leads)).toEqual([1]);
    await handOver(0);
    expect(leads().map((object) => object.leads)).toEqual([1]);
    // What was visible stays, and there is one who ticks.
    expect(await count()).toBeGreaterThanOrEqual(before + 3);
  }
  const last = await count();
  await until("ticks and the proxy to go on", async () => (await count()) > last + 3 && proxy.get() > last + 3);
  await proxy.close();
}, 60_000);

test("a depot is trimmed by each of its leaders, and what has been trimmed never comes back", async () => {
  const settings: OptionSetting[] = [
    { scope: "depot", object: "*d", name: "depot.max.entries.per.partition", value: 20 },
    { scope: "module", object: "", name: "depot.trim.interval.millis", value: 50 },
  ];
  await using cluster = await launched((setup) => {
    setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
  }, settings);
  const { core, until, handOver } = cluster;
  const depot = core.depot(name, "*d");
  let start = -1;
  let end = 0;
  for (let round = 0; round < 4; round++) {
    await Promise.all(Array.from({ length: 100 }, () => depot.append("k", "appendAck")));
    end += 100;
    const task = (await depot.getPartitionInfo(0)).endOffset > 0 ? 0 : 1;
    const before = start;
    await until("trimming", async () => {
      const info = await depot.getPartitionInfo(task);
      expect(Number(info.endOffset)).toBe(end);
      expect(Number(info.startOffset)).toBeGreaterThanOrEqual(start);
      start = Number(info.startOffset);
      return start > before + 50;
    });
    await handOver(task);
    const info = await depot.getPartitionInfo(task);
    expect([Number(info.startOffset) >= start, Number(info.endOffset)]).toEqual([true, end]);
    expect((await depot.read(task, info.startOffset, info.endOffset)).length).toBe(end - Number(info.startOffset));
  }
}, 60_000);

const posts =
  (schema: SchemaArg): Define =>
  (setup, topologies) => {
    setup.declareDepot("*posts", Depot.hashBy("user"));
    const s = topologies.stream("posts");
    s.pstate("$$posts", PState.mapSchema(String, schema));
    for (const per of ["batch", "second"])
      setup.setLaunchTopologyDynamicOption("posts", `topology.stream.migration.max.paths.per.${per}`, 4);
    s.source("*posts")
      .out({ user: "*user", id: "*id", text: "*text" })
      .localTransform("$$posts", Path.key("*user", "*id").termVal("*text"));
  };

test("a migration of a PState goes on with the next leader, and every replica ends with the same", async () => {
  await using cluster = await launched(posts(PState.mapSchema(Number, String)));
  const { replicated, core, until, inSync, handOver } = cluster;
  const depot = core.depot(name, "*posts");
  const append = (user: number, id: number, text: string) => depot.append({ user: `u${user}`, id, text });
  await Promise.all(Array.from({ length: 60 }, (_, i) => append(i % 20, i, "hi")));
  for (const worker of workers) replicated.kill(worker);
  const loud = (old: Map<number, string>) => new Map([...old].map(([id, text]) => [id, `${text}!`]));
  const subindexed = PState.mapSchema(Number, String).subindexed();
  replicated.replace(compiled(posts(PState.migrated(subindexed, "sub", loud).migrateToSubindexed())));
  await Promise.all(workers.map((worker) => replicated.start(worker)));
  await until("all in sync with the new version", inSync);
  const rows = async (user: number) =>
    (await core.pstate(name, "$$posts").select(Path.key(`u${user}`).all())) as [number, string][];
  for (let round = 0; round < 4; round++) {
    await handOver(round % 2);
    await append(round, 100 + round, "new");
    for (let user = 0; user < 20; user++) {
      const texts = (await rows(user)).map(([id, text]) => (id < 100 ? text === "hi!" : text === "new"));
      expect([user, texts.length, texts.every(Boolean)]).toEqual([user, user <= round ? 4 : 3, true]);
    }
  }
  await until("the migration to end", () =>
    [0, 1].every((group) => {
      const engine = replicated.engineOf(replicated.leaderOf(group) ?? 0, group);
      const migrations = engine?.status().migrations ?? [];
      return migrations.length > 0 && migrations.every((each) => each.done);
    }),
  );
}, 120_000);
