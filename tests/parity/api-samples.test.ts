// Every sample of the page on the TypeScript surface, as it stands there (those of microbatches and proxies apart).
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  emitStream,
  expr,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  SortedRangeFromOptions,
  SortedRangeOptions,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster, LaunchConfig } from "rama/test";
import { rows } from "./observed.ts";

export class WordCountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*sentences", Depot.random());
    const counts = topologies.stream("wordCount");
    counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
    counts
      .source("*sentences")
      .out("*sentence")
      .each((s: string) => s.split(" "), "*sentence")
      .out("*words")
      .each(Ops.EXPLODE, "*words")
      .out("*word")
      .hashPartition("*word")
      .compoundAgg("$$wordCounts", CompoundAgg.map("*word", Agg.count()));
  }
}

test("word count, by the class's name and by the class", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(WordCountModule, new LaunchConfig(4, 2).numWorkers(2));
  const sentences = ipc.clusterDepot("WordCountModule", "*sentences");
  await sentences.append("to be or not to be");
  const counts = ipc.clusterPState(WordCountModule, "$$wordCounts");
  expect(await counts.selectOne(Path.key("be"))).toBe(2);
  expect(await ipc.getDeployedModuleNames()).toEqual(new Set(["WordCountModule"]));
});

class Named extends RamaModule {
  override getModuleName() {
    return "com.mycompany.MyModule";
  }
  define() {}
}

test("a module's name is what getModuleName returns", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(new Named(), { tasks: 1 });
  expect(module.name).toBe("com.mycompany.MyModule");
});

test("multi-emit operation, two streams", async () => {
  const block = Block.each(Ops.EXPLODE, [1, 2, 3])
    .out("*n")
    .each(function* (n: number) {
      if (n % 2) yield emitStream("odd", n);
      else yield n;
    }, "*n")
    .outStream("odd", "oddAnchor", "*o")
    .out("*e");
  expect(await rows(block, "*e")).toEqual([2]);
  expect(await rows(block.hook("oddAnchor"), "*o")).toEqual([1, 3]);
});

test("nested expressions, conditions", async () => {
  const block = (amount: number) =>
    Block.each(Ops.IDENTITY, amount)
      .out("*amt")
      .ifTrue(
        expr(Ops.GREATER_THAN, "*amt", 0),
        Block.each(Ops.PRINTLN, "*amt"),
        Block.each(Ops.IDENTITY, 0).out("*zero"),
      );
  expect(await rows(block(-1), "*amt")).toEqual([-1]);
});

class PostsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*posts", Depot.hashBy("user"));
    setup.declareDepot("*deposits", Depot.hashBy("userId"));
    const s = topologies.stream("posts");
    s.pstate(
      "$$posts",
      PState.mapSchema(
        String,
        PState.mapSchema(Number, PState.fixedKeysSchema({ text: String, at: Number })).subindexed(),
      ),
    );
    s.pstate("$$count", Number).global().initialValue(0);
    s.pstate("$$funds", PState.mapSchema(String, Number));
    s.source("*posts")
      .out("*post", { user: "*user", id: "*id", text: "*text" })
      .localTransform("$$posts", Path.key("*user", "*id").termFields({ text: "*text", at: "*id" }))
      .globalPartition()
      .agg("$$count", Agg.count());
    s.source("*deposits", StreamSourceOptions.retryAllAfter().startFromBeginning())
      .out({ userId: "*user", cents: "*amt" })
      .localTransform("$$funds", Path.key("*user").nullToVal(0).term(Ops.PLUS, "*amt"))
      .localSelect("$$funds", Path.key("*user"))
      .out("*total")
      .ackReturn("*total");
    topologies
      .query("page", "*user", "*from")
      .out("*page")
      .hashPartition("*user")
      .localSelect(
        "$$posts",
        Path.key("*user").sortedMapRangeFrom("*from", SortedRangeFromOptions.maxAmt(20).excludeStart()),
      )
      .out("*page")
      .originPartition();
    topologies
      .query("total", "*userId")
      .out("*sum")
      .hashPartition("*userId")
      .localSelect("$$funds", Path.key("*userId"))
      .out("*sum")
      .originPartition();
  }
}

test("paths in dataflow and on clients are the same; schemas; query topologies; options chain", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(PostsModule, { tasks: 4, threads: 2, workers: 2 });
  const posts = module.depot("*posts");
  for (let id = 1; id <= 30; id++) await posts.append({ user: "ann", id, text: `t${id}` });
  const page: Map<number, unknown> = await module.query("page").invoke("ann", 5);
  expect([...page.keys()]).toEqual(Array.from({ length: 20 }, (_, i) => i + 6));
  expect(page.get(6)).toEqual({ text: "t6", at: 6 });
  const range = Path.key("ann").sortedMapRange(1, 4, SortedRangeOptions.excludeStart().includeEnd());
  expect([...(await module.pstate("$$posts").selectOne<Map<number, unknown>>(range)).keys()]).toEqual([2, 3, 4]);
  expect(await module.pstate("$$count").selectOne<number>(Path.stay())).toBe(30);
  expect(await module.depot("*deposits").append({ userId: "ann", cents: 5 })).toEqual({ posts: 5 });
  expect(await module.depot("*deposits").append({ userId: "ann", cents: 6 })).toEqual({ posts: 11 });
  expect(await module.query("total").invoke("ann")).toBe(11);
});

test("static starters of paths and options", () => {
  expect(Path.select(Path.key("a").all(), { a: [1, 2] })).toEqual([1, 2]);
  expect(StreamSourceOptions.retryAllAfter()).toBeDefined();
  expect(SortedRangeOptions.excludeStart().includeEnd()).toBeDefined();
});
