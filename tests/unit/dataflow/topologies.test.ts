// Compiled stream and query topologies: where code goes on, with which vars, what it reads and writes. Guards the contract with the task runtime.
import { expect, test } from "bun:test";
import { Agg } from "../../../src/aggregators/agg.ts";
import { CompoundAgg } from "../../../src/aggregators/compound.ts";
import { taskOf } from "../../../src/base/hash.ts";
import { encodeValue } from "../../../src/base/value-codec.ts";
import { Block } from "../../../src/dataflow/builder.ts";
import { LoopVars, SelectOptions } from "../../../src/dataflow/builder-parts.ts";
import { compileModule } from "../../../src/dataflow/compile.ts";
import { dec, eq, expr, gt, plus } from "../../../src/dataflow/expr.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { fields } from "../../../src/dataflow/patterns.ts";
import { Depot } from "../../../src/module/depot-partitioning.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import type { StreamTopology } from "../../../src/module/topologies.ts";
import { Path } from "../../../src/paths/path.ts";
import { definition, TestTasks, tasksOf } from "./stage-context.ts";

/** One stream topology over `*d` with the PStates `$$p` (map) and `$$g` (global). */
function stream(code: (source: Block) => unknown, more?: (topology: StreamTopology) => void): TestTasks {
  return tasksOf((setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.declareObject("*table", new Map([["a", 1]]));
    const topology = topologies.stream("s");
    topology.pstate("$$p", PState.mapSchema(String, Object));
    topology.pstate("$$g", Number).global().initialValue(0);
    more?.(topology);
    code(topology.source("*d"));
  });
}

test("partitioners name the task; hops carry exactly what is used after them", () => {
  const cases: [string, (block: Block) => Block, number[]][] = [
    ["hash", (b) => b.hashPartition("*k"), [taskOf("k", 4)]],
    ["hash of an object", (b) => b.hashPartition("$$p", "*k"), [taskOf("k", 4)]],
    ["global object", (b) => b.hashPartition("$$g", "*k"), [0]],
    ["all", (b) => b.allPartition(), [0, 1, 2, 3]],
    ["global", (b) => b.globalPartition(), [0]],
    ["direct", (b) => b.directPartition("*n"), [3]],
    ["shuffle", (b) => b.shufflePartition(), [0]],
    ["path", (b) => b.pathPartition("$$p", Path.key("*k")), [taskOf("k", 4)]],
    ["custom", (b) => b.customPartition((n: number, k: string) => (n + k.length) % n, "*k"), [1]],
  ];
  for (const [name, partition, wanted] of cases) {
    const found: unknown[] = [];
    const tasks = stream((source) =>
      partition(source.out({ k: "*k", n: "*n", other: "*other" }))
        .each(Ops.CURRENT_TASK_ID)
        .out("*task")
        .each((task: number, other: unknown) => void found.push([task, other]), "*task", "*other"),
    );
    tasks.record({ k: "k", n: 3, other: "o", unused: 1 }, { task: 2 });
    expect([name, found]).toEqual([name, wanted.map((task) => [task, "o"])]);
    expect(tasks.hops.map(([, , vars]) => vars)).toEqual(wanted.map(() => ["o"]));
  }
});

test("records are decoded as far as they are used", () => {
  const used = (code: (source: Block) => unknown) => {
    const source = stream(code).topology.sources[0]!;
    const bytes = encodeValue({ a: 1, b: { c: 2 }, d: [3] });
    return [source.ignoresRecord, source.decode(bytes, 0, bytes.length)];
  };
  const note = (..._values: unknown[]) => {};
  expect(used((s) => s.each(note))).toEqual([true, []]);
  expect(used((s) => s.out("*r").each(note))).toEqual([true, []]);
  expect(used((s) => s.out("*r").each(note, "*r"))).toEqual([false, [{ a: 1, b: { c: 2 }, d: [3] }]]);
  expect(used((s) => s.out({ b: { c: "*c" }, a: "*a" }).each(note, "*c"))).toEqual([false, [{ c: 2 }, null]]);
  expect(used((s) => s.out("*r").hashPartition("*r").bind("*r", fields("*a")).each(note, "*a"))).toEqual([
    false,
    [{ a: 1, b: { c: 2 }, d: [3] }],
  ]);
  expect(
    used((s) => s.out("*r").bind("*r", fields("*a")).each(Ops.GET, "*r", "d").out("*d").each(note, "*a", "*d")),
  ).toEqual([false, [1, [3]]]);
});

test("a destructured record gives the code its fields", () => {
  const found: unknown[] = [];
  const tasks = stream((source) =>
    source
      .out("*r")
      .bind("*r", { b: { c: "*c" } })
      .globalPartition()
      .each(Ops.GET, "*r", "a")
      .out("*a")
      .each((a: unknown, c: unknown) => void found.push([a, c]), "*a", "*c"),
  );
  tasks.record({ a: 1, b: { c: 2 } });
  tasks.record(null);
  expect(found).toEqual([
    [1, 2],
    [null, null],
  ]);
  expect(tasks.hops.map(([, , vars]) => vars)).toEqual([
    [1, 2],
    [null, null],
  ]);
});

test("state is read and written on the current task, and select goes to the key's task first", () => {
  const found: unknown[] = [];
  const note = (...args: unknown[]) => void found.push(args);
  const tasks = stream((source) =>
    source
      .out("*k")
      .hashPartition("*k")
      .localTransform("$$p", Path.key("*k", expr(Ops.TO_STRING, "*k", "!")).termVal(1))
      .localSelect("$$p", Path.key("*k").mapKeys())
      .out("*inner")
      .globalPartition()
      .localSelect("$$p", Path.key("*k"))
      .out("*wrong")
      .select("$$p", Path.key("*k"))
      .out("*right")
      .select("$$g", Path.stay())
      .out("*sum")
      .each(note, "*inner", "*wrong", "*right", "*sum"),
  );
  tasks.set("$$g", 0, 7);
  const key = Array.from({ length: 20 }, (_, i) => `k${i}`).find((each) => taskOf(each, 4) !== 0)!;
  tasks.record(key);
  expect(found).toEqual([[`${key}!`, null, new Map([[`${key}!`, 1]]), 7]]);
});

test("aggregators write through paths", () => {
  const tasks = stream((source) =>
    source
      .out({ k: "*k", n: "*n" })
      .compoundAgg("$$p", CompoundAgg.map("*k", CompoundAgg.fields({ count: Agg.count(), sum: Agg.sum("*n") })))
      .globalPartition()
      .agg("$$g", Agg.sum("*n")),
  );
  tasks.set("$$g", 0, 0);
  tasks.record({ k: "a", n: 2 }, { task: 1 });
  tasks.record({ k: "a", n: 3 }, { task: 1 });
  expect(tasks.partitions("$$p")[1]).toEqual(new Map([["a", { count: 2, sum: 5 }]]));
  expect(tasks.partitions("$$g")[0]).toBe(5);
});

test("task globals, context ops, ack returns and printing", () => {
  const tasks = stream((source) =>
    source.out("*k").each(Ops.GET, "*table", "*k").out("*v").ackReturn(plus("*v", 1)).each(Ops.PRINTLN, "value", "*v"),
  );
  tasks.record("a");
  expect(tasks.returns).toEqual([2]);
  expect(tasks.printed).toEqual(["value 1"]);
});

test("promises, yields and depot appends go on later with the vars they need", async () => {
  const found: unknown[] = [];
  const tasks = stream((source) =>
    source
      .out("*n")
      .eachAsync(async (n: number) => n + 1, "*n")
      .out("*m")
      .yieldIfOvertime()
      .depotPartitionAppend("*d", "*m")
      .each((n: number, m: number) => void found.push([n, m]), "*n", "*m")
      .depotPartitionAppend("*d", "last", "none"),
  );
  for (const overtime of [false, true]) {
    tasks.isOvertime = overtime;
    tasks.record(1);
    await tasks.settle();
  }
  expect(found).toEqual([
    [1, 2],
    [1, 2],
  ]);
  expect(tasks.appended.slice(0, 2)).toEqual([
    [0, 2, "appendAck"],
    [0, "last", "none"],
  ]);
});

test("a select that may yield brings its rows one by one", () => {
  const found: unknown[] = [];
  const tasks = stream((source) =>
    source
      .out("*x")
      .localSelect("$$p", Path.mapKeys(), SelectOptions.allowYield())
      .out("*k")
      .each((x: number, k: string) => void found.push([x, k]), "*x", "*k"),
  );
  tasks.set(
    "$$p",
    0,
    new Map([
      ["a", 1],
      ["b", 2],
    ]),
  );
  tasks.record(9);
  expect(found).toEqual([
    [9, "a"],
    [9, "b"],
  ]);
});

test("scans of indexed state suspend; reads of one place do not", () => {
  const suspends = (path: Path) =>
    stream((s) => s.out("*x").localSelect("$$p", path).out("*v").ackReturn("*v")).topology.stages[0]!.suspends;
  expect(suspends(Path.key("*x"))).toBe(false);
  expect(suspends(Path.mapVals())).toBe(true);
});

test("a loop goes over partitioners, and what follows it runs where it was emitted", () => {
  const found: unknown[] = [];
  const tasks = stream((source) =>
    source
      .out("*n")
      .loopWithVars(
        LoopVars.var("*i", "*n"),
        Block.directPartition("*i").ifTrue(gt("*i", 0), Block.continueLoop(dec("*i")), Block.emitLoop("*i")),
      )
      .out("*end")
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .each((...args: unknown[]) => void found.push(args), "*n", "*end", "*task"),
  );
  tasks.record(3);
  expect(found).toEqual([[3, 0, 0]]);
  expect(tasks.hops.map(([, task]) => task)).toEqual([3, 2, 1, 0]);
});

test("a branch with a partitioner and one without meet in the same code", () => {
  const found: unknown[] = [];
  const tasks = stream((source) =>
    source
      .out("*n")
      .ifTrue(
        eq("*n", 1),
        Block.directPartition(2).each(Ops.IDENTITY, "moved").out("*how"),
        Block.each(Ops.IDENTITY, "stayed").out("*how"),
      )
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .each((...args: unknown[]) => void found.push(args), "*n", "*how", "*task"),
  );
  tasks.record(1);
  tasks.record(5);
  expect(found).toEqual([
    [1, "moved", 2],
    [5, "stayed", 0],
  ]);
});

test("x.at names the builder line of the code that throws", () => {
  const tasks = stream((source) =>
    source
      .out("*n")
      .each((n: number) => n, "*n")
      .out("*m")
      .each((): number => {
        throw new Error("boom");
      }),
  );
  expect(() => tasks.record(1)).toThrow("boom");
  expect(tasks.topology.lines[tasks.at]!.what).toBe("each((…) => …)");
  expect(tasks.topology.lines[tasks.at]!.line).toMatch(/^topologies\.test\.ts:\d+$/);
});

function queries(): TestTasks {
  const module = compileModule(
    definition((setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const topology = topologies.stream("s");
      topology.pstate("$$p", PState.mapSchema(String, Number));
      topologies
        .query("value", "*k")
        .out("*v")
        .hashPartition("*k")
        .localSelect("$$p", Path.key("*k"))
        .out("*v")
        .originPartition();
      topologies
        .query("two", "*a", "*b")
        .temporary("$$tmp")
        .out("*r")
        .invokeQuery("value", "*a")
        .out("*x")
        .localTransform("$$two$$", Path.termVal("*x"))
        .invokeQuery("value", "*b")
        .out("*y")
        .localSelect("$$tmp", Path.stay())
        .out("*t")
        .originPartition()
        .each(Ops.TUPLE, "*x", "*y", "*t")
        .out("*r");
    }),
  );
  return new TestTasks(module, module.topologies[1]!);
}

test("a query answers from the partitions and tells clients where to start", () => {
  const value = queries();
  value.set("$$p", taskOf("a", 4), new Map([["a", 7]]));
  expect(value.query(["a"], 1)).toEqual([7]);
  expect(value.topology.query).toEqual({ stage: 0, start: { kind: "hashInput", input: 0 } });
  const two = new TestTasks(value.module, value.module.topologies[2]!);
  two.set("$$p", taskOf("a", 4), new Map([["a", 7]]));
  expect(two.query(["a", "b"], 3)).toEqual([[7, null, 7]]);
  expect(two.topology.query!.start).toEqual({ kind: "any" });
});
