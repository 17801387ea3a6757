// language.md 4, 13.4, 15: objects of other modules - PStates, queries, depots - used from topologies, with more and with fewer tasks than the other module has.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  Helpers,
  Ops,
  Path,
  PState,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const remoteTasks = 4;
const keys = Helpers.genHashingIndexKeys(remoteTasks) as string[];

const owner = moduleOf("Owner", (setup, topologies) => {
  setup.declareDepot("*events", Depot.hashBy("user"));
  setup.declareDepot("*inbox", Depot.random());
  setup.declareDepot("*closed", Depot.disallow());
  setup.declareTickDepot("*tick", 1000);
  const s = topologies.stream("owner");
  s.pstate("$$counts", PState.mapSchema(String, Number));
  s.pstate("$$lists", PState.mapSchema(String, PState.listSchema(Number)));
  s.pstate("$$total", PState.mapSchema(String, Number)).global();
  s.pstate("$$keyed", PState.mapSchema(Number, Number)).keyPartitioner((n: number, key: number) => key % n);
  s.pstate("$$secret", PState.mapSchema(String, Number)).makePrivate();
  s.pstate("$$inbox", PState.mapSchema(String, PState.listSchema(Number)));
  s.source("*events")
    .out({ user: "*user", n: "*n" })
    .compoundAgg("$$counts", CompoundAgg.map("*user", Agg.sum("*n")))
    .compoundAgg("$$lists", CompoundAgg.map("*user", Agg.list("*n")))
    .directPartition("*n")
    .compoundAgg("$$keyed", CompoundAgg.map("*n", Agg.sum("*n")))
    .globalPartition()
    .compoundAgg("$$total", CompoundAgg.map("all", Agg.sum("*n")));
  s.source("*inbox")
    .out("*text")
    .each(Ops.CURRENT_TASK_ID)
    .out("*task")
    .compoundAgg("$$inbox", CompoundAgg.map("*text", Agg.list("*task")));
  topologies
    .query("double", "*n")
    .out("*r")
    .each((n: number) => 2 * n, "*n")
    .out("*r")
    .originPartition();
  topologies
    .query("bad", "*n")
    .out("*r")
    .each(() => {
      throw new Error("bad luck");
    })
    .out("*r")
    .originPartition();
});

function user(setup: Setup, topologies: Topologies): void {
  for (const name of ["counts", "lists", "total", "keyed"]) setup.clusterPState(`$$${name}`, "Owner", `$$${name}`);
  setup.clusterQuery("*double", "Owner", "double");
  setup.clusterQuery("*bad", "Owner", "bad");
  setup.clusterDepot("*inbox", "Owner", "*inbox");
  setup.declareDepot("*copy", Depot.random());
  const query = (name: string, go: Block) =>
    topologies.query(name, "*k").out("*out").macro(go).originPartition().agg(Agg.sortedList("*v")).out("*out");
  query("count", Block.hashPartition("$$counts", "*k").localSelect("$$counts", Path.key("*k")).out("*v"));
  query("countBySelect", Block.select("$$counts", Path.key("*k")).out("*v"));
  query("keyed", Block.select("$$keyed", Path.key("*k")).out("*v"));
  query("list", Block.select("$$lists", Path.key("*k").all()).out("*v"));
  query("range", Block.select("$$lists", Path.key("*k").sublist(0, 2).all()).out("*v"));
  query("all", Block.allPartition("$$counts").localSelect("$$counts", Path.mapVals()).out("*v"));
  query("total", Block.hashPartition("$$total", "*k").localSelect("$$total", Path.key("all")).out("*v"));
  query("allOfGlobal", Block.allPartition("$$total").localSelect("$$total", Path.key("all")).out("*v"));
  query("direct", Block.directPartition("$$counts", "*k").localSelect("$$counts", Path.mapKeys()).out("*v"));
  query(
    "custom",
    Block.customPartition("$$counts", (n: number, k: number) => (k + 1) % n, "*k")
      .localSelect("$$counts", Path.mapKeys())
      .out("*v"),
  );
  query("where", Block.directPartition("$$counts", "*k").each(Ops.CURRENT_TASK_ID).out("*v"));
  query(
    "shuffle",
    Block.each(Ops.RANGE, 0, remoteTasks)
      .out("*i")
      .shufflePartition("$$counts")
      .localSelect("$$counts", Path.mapVals())
      .out("*v"),
  );
  query(
    "strayed",
    Block.directPartition("$$counts", 1).directPartition(0).localSelect("$$counts", Path.mapVals()).out("*v"),
  );
  query(
    "two",
    Block.hashPartition("$$counts", "*k")
      .hashPartition("$$lists", "*k")
      .localSelect("$$counts", Path.key("*k"))
      .out("*a")
      .localSelect("$$lists", Path.key("*k").view(Ops.SIZE))
      .out("*b")
      .each(Ops.PLUS, "*a", "*b")
      .out("*v"),
  );
  query("double", Block.invokeQuery("*double", "*k").out("*v"));
  query("bad", Block.invokeQuery("*bad", "*k").out("*v"));
  query("badCount", Block.invokeQuery("*double", 1, 2).out("*v"));
  const s = topologies.stream("user");
  s.pstate("$$seen", PState.mapSchema(String, Number));
  s.source("*copy")
    .out("*k")
    .select("$$counts", Path.key("*k"))
    .out("*n")
    .hashPartition("$$seen", "*k")
    .localTransform("$$seen", Path.key("*k").termVal("*n"))
    .invokeQuery("*double", "*n")
    .out("*doubled")
    .ackReturn("*doubled");
  const m = topologies.microbatch("micro");
  m.pstate("$$micro", PState.mapSchema(String, Number));
  m.source("*copy")
    .out("*mb")
    .explodeMicrobatch("*mb")
    .out("*k")
    .select("$$counts", Path.key("*k"))
    .out("*n")
    .hashPartition("*k")
    .compoundAgg("$$micro", CompoundAgg.map("*k", Agg.sum("*n")));
}

let ipc: InProcessCluster;
const shapes = [
  ["as many tasks", "Same", { tasks: 4, threads: 2, workers: 1 }],
  ["more tasks, two workers", "Many", { tasks: 8, threads: 4, workers: 2 }],
  ["fewer tasks", "Few", { tasks: 2, threads: 2, workers: 1 }],
  ["one task", "One", { tasks: 1, threads: 1, workers: 1 }],
] as const;

beforeAll(async () => {
  ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(owner, { tasks: remoteTasks, threads: 2, workers: 2 });
  for (const [i, key] of keys.entries()) {
    await module.depot("*events").append({ user: key, n: i });
    await module.depot("*events").append({ user: key, n: 0 });
  }
  for (const [, name, launch] of shapes) await ipc.launchModule(moduleOf(name, user), launch);
});
afterAll(() => ipc.close());

test.each(shapes)("a mirrored PState is read by partition, with %s", async (_what, name, launch) => {
  const ask = (query: string, k: unknown) => ipc.clusterQuery(name, query).invoke(k);
  for (const [i, key] of keys.entries()) {
    expect(await ask("count", key)).toEqual([i]);
    expect(await ask("countBySelect", key)).toEqual([i]);
    expect(await ask("list", key)).toEqual(i === 0 ? [0, 0] : [0, i]);
    expect(await ask("range", key)).toEqual(i === 0 ? [0, 0] : [0, i]);
    expect(await ask("two", key)).toEqual([i + 2]);
    expect(await ask("direct", i)).toEqual([key]);
    expect(await ask("custom", (i + remoteTasks - 1) % remoteTasks)).toEqual([key]);
    expect(await ask("keyed", i)).toEqual([i]);
    expect(await ask("total", key)).toEqual([6]);
    expect(await ask("where", i)).toEqual([i % launch.tasks]);
  }
  expect(await ask("all", 0)).toEqual([0, 1, 2, 3]);
  expect(await ask("allOfGlobal", 0)).toEqual([6]);
  expect(await ask("shuffle", 0)).toEqual([0, 1, 2, 3]);
});

test("a key that is not there is null, as in an own PState", async () => {
  expect(await ipc.clusterQuery("Same", "count").invoke("nobody")).toEqual([null]);
});

test("a partition outside, or one that was chosen before the event went elsewhere, fails the event", async () => {
  expect(await codeOf(ipc.clusterQuery("Same", "direct").invoke(4))).toBe("BAD_PARTITION");
  const strayed = await errorOf(ipc.clusterQuery("Many", "strayed").invoke(0));
  expect(strayed.code).toBe("BAD_PARTITION");
  expect(strayed.message).toContain("choose it again");
});

test.each(shapes)("a mirrored query is asked by its var, with %s", async (_what, name) => {
  expect(await ipc.clusterQuery(name, "double").invoke(21)).toEqual([42]);
  expect((await errorOf(ipc.clusterQuery(name, "bad").invoke(1))).message).toContain("bad luck");
  expect(await codeOf(ipc.clusterQuery(name, "badCount").invoke(1))).toBe("WRONG_ARGUMENT_COUNT");
});

test.each(shapes)(
  "stream and microbatch topologies read mirrors and ask mirrored queries, with %s",
  async (_what, name) => {
    const returned = await ipc.clusterDepot(name, "*copy").append(keys[3]);
    expect(returned).toEqual({ user: 6 });
    expect(await ipc.clusterPState(name, "$$seen").selectOne(Path.key(keys[3]))).toBe(3);
    await ipc.waitForProcessed(name, "micro", 1);
    expect(await ipc.clusterPState(name, "$$micro").selectOne(Path.key(keys[3]))).toBe(3);
  },
);

test("what fails in the other module is told with the line of the call", async () => {
  await using cluster = await InProcessCluster.create();
  const theirs = await cluster.launchModule(owner, { tasks: 4, threads: 1, workers: 1 });
  await theirs.depot("*events").append({ user: keys[0], n: 1 });
  const mine = await cluster.launchModule(
    moduleOf("Mine", (setup, topologies) => {
      setup.clusterPState("$$lists", "Owner", "$$lists");
      setup.declareDepot("*d", Depot.random());
      const code = Block.each(Ops.IDENTITY, "*k")
        .out("*key")
        .select("$$lists", Path.key("*key").nth(99)) // the line that is told
        .out("*v");
      topologies.query("q", "*k").out("*v").macro(code).originPartition();
      topologies.stream("s").source("*d", StreamSourceOptions.retryNone()).out("*k").macro(code);
    }),
    { tasks: 2, threads: 1, workers: 1 },
  );
  const source = (await Bun.file(import.meta.path).text()).split("\n");
  const line = source.findIndex((text) => text.endsWith("// the line that is told")) + 1;
  const asked = await errorOf(mine.query("q").invoke(keys[0]));
  expect(asked.code).toBe("INDEX_OUT_OF_RANGE");
  expect(asked.message).toContain(`q at mirrors.test.ts:${line}`);
  const appended = await errorOf(mine.depot("*d").append(keys[0]));
  expect(appended.message).toContain(`s at mirrors.test.ts:${line}: *d partition`);
});

// ---- appends

const writer = moduleOf("Writer", (setup, topologies) => {
  setup.clusterDepot("*theirs", "Owner", "*inbox");
  setup.clusterDepot("*events", "Owner", "*events");
  setup.declareDepot("*d", Depot.random());
  const s = topologies.stream("s");
  s.pstate("$$done", PState.mapSchema(String, Number));
  s.source("*d")
    .out("*text")
    .allPartition("*theirs")
    .depotPartitionAppend("*theirs", "*text", "ack")
    .globalPartition()
    .compoundAgg("$$done", CompoundAgg.map("*text", Agg.count()));
  const m = topologies.microbatch("m");
  m.source("*d")
    .out("*mb")
    .explodeMicrobatch("*mb")
    .out("*text")
    .each((text: string) => `micro ${text}`, "*text")
    .out("*text")
    .directPartition("*theirs", 3)
    .depotPartitionAppend("*theirs", "*text", "ack");
  topologies
    .query("put", "*text")
    .out("*ok")
    .directPartition("*theirs", 1)
    .depotPartitionAppend("*theirs", "*text", "ack")
    .each(Ops.IDENTITY, true)
    .out("*ok")
    .originPartition();
});

test("depotPartitionAppend goes to the chosen partition of another module's depot, from stream, microbatch and query", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(owner, { tasks: 4, threads: 2, workers: 2 });
  const inbox = (text: string) => module.pstate("$$inbox").selectOne(0, Path.key(text));
  const tasksOf = async (text: string) => {
    const found = await Promise.all(
      [0, 1, 2, 3].map((t) => module.pstate("$$inbox").select(keys[t], Path.key(text).all())),
    );
    return found.flat();
  };
  expect(await inbox("nothing")).toBe(null);
  const mine = await cluster.launchModule(writer, { tasks: 2, threads: 2, workers: 1 });
  await mine.depot("*d").append("a");
  expect(await tasksOf("a")).toEqual([0, 1, 2, 3]);
  expect(await mine.pstate("$$done").selectOne(keys[0], Path.key("a"))).toBe(4);
  await mine.waitForProcessed("m", 1);
  expect(await tasksOf("micro a")).toEqual([3]);
  expect(await mine.query("put").invoke("q")).toBe(true);
  expect(await tasksOf("q")).toEqual([1]);
});

// ---- what a build and a launch refuse

const build = (name: string, define: (setup: Setup, topologies: Topologies) => void) => {
  const launch = async () => {
    await using cluster = await InProcessCluster.create();
    await cluster.launchModule(owner, { tasks: 2, threads: 1, workers: 1 });
    await cluster.launchModule(moduleOf(name, define), { tasks: 2, threads: 1, workers: 1 });
  };
  return codeOf(launch());
};
const mirrored = (code: (block: Block) => Block) => (setup: Setup, topologies: Topologies) => {
  setup.clusterPState("$$p", "Owner", "$$counts");
  setup.clusterDepot("*inbox", "Owner", "*inbox");
  setup.clusterDepot("*closed", "Owner", "*closed");
  setup.clusterQuery("*q", "Owner", "double");
  setup.declareDepot("*d", Depot.random());
  code(topologies.stream("s").source("*d").out("*v"));
};

test.each([
  ["a read without a chosen partition", mirrored((b) => b.localSelect("$$p", Path.key("*v"))), "NOT_ALLOWED_HERE"],
  [
    "a read after a plain partitioner alone",
    mirrored((b) => b.hashPartition("*v").localSelect("$$p", Path.key("*v"))),
    "NOT_ALLOWED_HERE",
  ],
  ["an append without a chosen partition", mirrored((b) => b.depotPartitionAppend("*inbox", "*v")), "NOT_ALLOWED_HERE"],
  [
    "a write",
    mirrored((b) => b.hashPartition("$$p", "*v").localTransform("$$p", Path.key("*v").termVal(1))),
    "NOT_OWNER",
  ],
  [
    "allowYield",
    mirrored((b) => b.hashPartition("$$p", "*v").localSelect("$$p", Path.key("*v"), { allowYield: true })),
    "NOT_ALLOWED_HERE",
  ],
  ["select without a key", mirrored((b) => b.select("$$p", Path.mapVals())), "KEY_REQUIRED"],
  [
    "a function of this module in a path",
    mirrored((b) =>
      b.select(
        "$$p",
        Path.key("*v").filterPred((n: number) => n > 1),
      ),
    ),
    "FUNCTION_IN_CLIENT_PATH",
  ],
  ["a partitioner on a query", mirrored((b) => b.hashPartition("*q", "*v")), "NOT_ALLOWED_HERE"],
  [
    "an append to a depot that takes none",
    mirrored((b) => b.hashPartition("*closed", "*v").depotPartitionAppend("*closed", "*v")),
    "MISSING_DEPENDENCY",
  ],
  ["a module that is not there", (setup: Setup) => setup.clusterPState("$$p", "Nobody", "$$p"), "MISSING_DEPENDENCY"],
  [
    "a PState that is not there",
    (setup: Setup) => setup.clusterPState("$$p", "Owner", "$$nothing"),
    "MISSING_DEPENDENCY",
  ],
  ["a private PState", (setup: Setup) => setup.clusterPState("$$p", "Owner", "$$secret"), "MISSING_DEPENDENCY"],
  ["a depot that is not there", (setup: Setup) => setup.clusterDepot("*p", "Owner", "*nothing"), "MISSING_DEPENDENCY"],
  ["a query that is not there", (setup: Setup) => setup.clusterQuery("*p", "Owner", "nothing"), "MISSING_DEPENDENCY"],
])("refused: %s", async (_what, define, code) => {
  expect(await build("Refused", define)).toBe(code);
});

test("a module that others mirror is not destroyed, until they are", async () => {
  await using cluster = await InProcessCluster.create();
  const theirs = await cluster.launchModule(owner, { tasks: 4, threads: 1, workers: 1 });
  const mine = await cluster.launchModule(writer, { tasks: 2, threads: 1, workers: 1 });
  expect(await codeOf(theirs.destroy())).toBe("DEPENDED_ON");
  await mine.depot("*d").append("still there");
  await mine.destroy();
  await theirs.destroy();
  expect([...(await cluster.getDeployedModuleNames())]).toEqual([]);
});
