// language.md 8.11 and 9.7: what transforms of a stream topology look like to a proxy, and a proxy's life.
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  type Diff,
  eq,
  KeyDiff,
  KeysDiff,
  MultiDiff,
  NewValueDiff,
  Ops,
  Path,
  type ProxyStatus,
  PState,
  ResyncDiff,
  SequenceIndexChangesDiff,
  navigator,
} from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

type Schema = Parameters<typeof PState.mapSchema>[1];

const x = Path.key("x");
const numbers = PState.listSchema(Number);
const counts = PState.mapSchema(String, Number);
const set = PState.setSchema(String);
const fixed = PState.fixedKeysSchema({ n: Number, s: String, m: counts });
const map = (entries: Record<string, unknown>) => new Map(Object.entries(entries));

/** A module whose record number i does transform i. */
function stepsModule(schema: Schema, steps: readonly Path[]) {
  return moduleOf("Steps", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(String, schema)).global();
    const source = s.source("*d").out("*n").globalPartition();
    for (const [i, step] of steps.entries()) source.ifTrue(eq("*n", i), Block.localTransform("$$p", step));
  });
}

interface Call {
  readonly now: any;
  readonly diff: Diff;
  readonly before: any;
}

/** Does the transforms one after the other, under a proxy from `from` on, and gives its calls after the first. */
async function calls(schema: Schema, steps: readonly Path[], watched: Path, from = 0): Promise<Call[]> {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(stepsModule(schema, steps), { tasks: 1 });
  const depot = module.depot<number>("*d");
  for (let i = 0; i < from; i++) await depot.append(i);
  const seen: Call[] = [];
  const proxy = await module.pstate("$$p").proxy(watched, (now, diff, before) => {
    seen.push({ now, diff, before });
  });
  for (let i = from; i < steps.length; i++) {
    const count = seen.length;
    await depot.append(i);
    await settled(() => seen.length > count);
  }
  expect(proxy.get()).toEqual(await module.pstate("$$p").selectOne(watched));
  return seen.slice(1);
}

async function settled(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A diff as plain data: its kind and its fields. */
function plain(diff: Diff): unknown {
  const fields = Object.entries(diff).filter(([name]) => name !== "kind");
  return [diff.kind, ...fields.map(([, value]) => plainField(value))];
}

function plainField(value: unknown): unknown {
  if (value !== null && typeof value === "object" && "kind" in value) return plain(value as Diff);
  if (Array.isArray(value)) return value.map(plainField);
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [key, plainField(each)]));
  return value;
}

// transform, schema at "x", what was there, the transform of the row, the diff at "x"
const rows: [string, Schema, Path | null, Path, unknown][] = [
  ["key(k) then change", counts, x.termVal({ a: 1, b: 2 }), x.key("a").termVal(5), ["key", "a", ["newValue", 5]]],
  ["key(k) on an empty place", counts, null, x.key("a").termVal(5), ["key", "a", ["newValue", 5]]],
  [
    "key(k) deeper",
    PState.mapSchema(String, counts),
    x.key("a", "b").termVal(1),
    x.key("a", "c").termVal(2),
    ["key", "a", ["key", "c", ["newValue", 2]]],
  ],
  [
    "several keys via multiPath",
    counts,
    x.termVal({ a: 1, b: 2, c: 3 }),
    x.multiPath(Path.key("a").termVal(5), Path.key("d").termVal(6)),
    [
      "keys",
      new Map([
        ["a", ["newValue", 5]],
        ["d", ["newValue", 6]],
      ]),
    ],
  ],
  ["key(k).termVoid()", counts, x.termVal({ a: 1, b: 2 }), x.key("a").termVoid(), ["keyRemove", "a"]],
  [
    "several keys removed",
    counts,
    x.termVal({ a: 1, b: 2, c: 3 }),
    x.multiPath(Path.key("a").termVoid(), Path.key("b").termVoid()),
    ["keysRemove", ["a", "b"]],
  ],
  [
    "a key set and another removed",
    counts,
    x.termVal({ a: 1, b: 2, c: 3 }),
    x.multiPath(Path.key("a").termVoid(), Path.key("b").termVal(7)),
    [
      "multi",
      [
        ["keyRemove", "a"],
        ["key", "b", ["newValue", 7]],
      ],
    ],
  ],
  ["mapKey(k) then change", counts, x.termVal({ a: 1, b: 2 }), x.mapKey("a").termVal("z"), ["keyChange", "a", "z"]],
  [
    "a field of a plain object",
    fixed,
    x.termVal({ n: 1, s: "s" }),
    x.key("n").termVal(2),
    ["key", "n", ["newValue", 2]],
  ],
  ["the first field of a plain object", fixed, null, x.key("n").termVal(2), ["key", "n", ["newValue", 2]]],
  [
    "nth(i) then change",
    numbers,
    x.termVal([1, 2, 3]),
    x.nth(1).termVal(9),
    ["sequenceIndexChange", 1, ["newValue", 9]],
  ],
  [
    "first() then change",
    numbers,
    x.termVal([1, 2, 3]),
    x.first().termVal(9),
    ["sequenceIndexChange", 0, ["newValue", 9]],
  ],
  [
    "last() then change",
    numbers,
    x.termVal([1, 2, 3]),
    x.last().termVal(9),
    ["sequenceIndexChange", 2, ["newValue", 9]],
  ],
  ["nth(i) removed", numbers, x.termVal([1, 2, 3]), x.nth(1).termVoid(), ["sequenceIndexRemove", 1, 1, 3]],
  ["last() removed", numbers, x.termVal([1, 2, 3]), x.last().termVoid(), ["sequenceIndexRemove", 2, 1, 3]],
  ["afterElem()", numbers, x.termVal([1, 2]), x.afterElem().termVal(3), ["sequenceInsert", 2, 3, 2]],
  ["afterElem() on an empty place", numbers, null, x.afterElem().termVal(3), ["sequenceInsert", 0, 3, 0]],
  ["beforeElem()", numbers, x.termVal([1, 2]), x.beforeElem().termVal(3), ["sequenceInsert", 0, 3, 2]],
  ["beforeIndex(i)", numbers, x.termVal([1, 2]), x.beforeIndex(1).termVal(3), ["sequenceInsert", 1, 3, 2]],
  ["end() with several", numbers, x.termVal([1, 2]), x.end().termVal([3, 4]), ["sequenceInserts", 2, [3, 4], 2]],
  [
    "sublist() removed",
    numbers,
    x.termVal([1, 2, 3, 4]),
    x.sublist(1, 3).termVal([]),
    ["sequenceIndexRemove", 1, 2, 4],
  ],
  [
    "all() on a list",
    numbers,
    x.termVal([1, 2]),
    x.all().term(Ops.INC),
    [
      "sequenceIndexChanges",
      new Map([
        [0, ["newValue", 2]],
        [1, ["newValue", 3]],
      ]),
    ],
  ],
  [
    "all() on a list with removals",
    numbers,
    x.termVal([1, 2, 3, 4, 5]),
    x.all().filterPred(Ops.IS_EVEN).termVoid(),
    [
      "multi",
      [
        ["sequenceIndexRemove", 3, 1, 5],
        ["sequenceIndexRemove", 1, 1, 4],
      ],
    ],
  ],
  [
    "an element moved by index(i)",
    numbers,
    x.termVal([7, 8, 9]),
    x.index(0).termVal(2),
    ["sequenceReorder", [1, 2, 0]],
  ],
  [
    "mapVals() on a map",
    counts,
    x.termVal({ a: 1, b: 2 }),
    x.mapVals().term(Ops.INC),
    [
      "keys",
      new Map([
        ["a", ["newValue", 2]],
        ["b", ["newValue", 3]],
      ]),
    ],
  ],
  ["voidSetElem()", set, x.termVal(new Set(["a"])), x.voidSetElem().termVal("b"), ["setAdd", "b"]],
  ["voidSetElem() on an empty place", set, null, x.voidSetElem().termVal("b"), ["setAdd", "b"]],
  ["setElem(v) removed", set, x.termVal(new Set(["a", "b"])), x.setElem("a").termVoid(), ["setRemove", "a"]],
  ["termVal at the place", Number, x.termVal(1), x.termVal(2), ["newValue", 2]],
  ["term at the place", Number, x.termVal(1), x.term(Ops.INC), ["newValue", 2]],
  ["termVal of a whole map", counts, null, x.termVal({ a: 1, b: 2 }), ["newValue", map({ a: 1, b: 2 })]],
  [
    "another map with no key in common",
    counts,
    x.termVal({ a: 1, b: 2 }),
    x.termVal({ c: 1, d: 2 }),
    ["newValue", map({ c: 1, d: 2 })],
  ],
  ["the key of the place removed", counts, x.termVal({ a: 1 }), x.termVoid(), ["newValue", null]],
];

test.each(rows)("%s", async (_name, schema, before, change, expected) => {
  const steps = before === null ? [change] : [before, change];
  const [call] = await calls(schema, steps, x, steps.length - 1);
  expect(call).toBeDefined();
  expect(plain(call!.diff)).toEqual(expected);
});

test("a custom navigator or function in a proxy's path is refused unless the module exports it", async () => {
  await using ipc = await InProcessCluster.create();
  const inside = navigator({
    *select(value: unknown) {
      yield value;
    },
    transform: (value: unknown, next: (x: unknown) => unknown) => next(value),
  });
  const module = await ipc.launchModule(stepsModule(counts, [x.termVoid()]), { tasks: 1 });
  for (const path of [x.customNav(inside), x.view((value: unknown) => value)])
    expect(await codeOf(module.pstate("$$p").proxy(path))).toBe("FUNCTION_IN_CLIENT_PATH");
});

test("changes elsewhere are silent, and so are writes of what is there", async () => {
  const steps = [
    x.key("a").termVal(1),
    Path.key("y", "a").termVal(1),
    x.key("a").termVal(1),
    x.key("b").termVal(2),
    x.key("a").termVal(3),
  ];
  const seen = await calls(counts, steps, x.key("a"));
  expect(seen.map(({ now, before }) => [before, now])).toEqual([
    [null, 1],
    [1, 3],
  ]);
});

test("views, sizes and ranges of subindexed structures can be watched, the structure cannot", async () => {
  const schema = PState.mapSchema(Number, String).subindexed();
  const steps = [5, 1, 3].map((i) => x.key(i).termVal(`e${i}`)).concat(x.key(3).termVoid());
  const sizes = await calls(schema, steps, x.view(Ops.SIZE));
  expect(sizes.map(({ now }) => now)).toEqual([1, 2, 3, 2]);
  const ranges = await calls(schema, steps, x.sortedMapRangeFrom(1, { maxAmt: 2 }));
  expect(ranges.map(({ now }) => [...now.keys()])).toEqual([[5], [1, 5], [1, 3], [1, 5]]);
  const inner = await calls(schema, steps, x.key(3));
  expect(inner.map(({ now }) => now)).toEqual(["e3", null]);
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(stepsModule(schema, steps), { tasks: 1 });
  await module.depot("*d").append(0);
  const p = module.pstate("$$p");
  expect(await codeOf(p.proxy(x))).toBe("STRUCTURE_NOT_A_VALUE");
  expect(await codeOf(p.proxy(Path.stay()))).toBe("STRUCTURE_NOT_A_VALUE");
});

test("the path must navigate to exactly one value", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(stepsModule(numbers, [x.termVal([1, 2])]), { tasks: 1 });
  await module.depot("*d").append(0);
  const p = module.pstate("$$p");
  expect(await codeOf(p.proxy(x.all()))).toBe("NOT_EXACTLY_ONE");
  expect(await codeOf(p.proxy(Path.must("absent")))).toBe("NOT_EXACTLY_ONE");
  expect(await codeOf(p.proxy("no path" as never))).toBe("BAD_ARGUMENTS");
  expect(await codeOf(ipc.clusterPState("Steps", "$$none").proxy(x))).toBe("UNKNOWN_OBJECT");
});

test("a path that stops navigating to one value ends the proxy ungracefully", async () => {
  await using ipc = await InProcessCluster.create({ config: { "foreign.proxy.failure.window.threshold": 3 } });
  const module = await ipc.launchModule(stepsModule(numbers, [x.termVal([1]), x.termVal([1, 2])]), { tasks: 1 });
  await module.depot("*d").append(0);
  const seen: unknown[][] = [];
  const ended = Promise.withResolvers<void>();
  const proxy = await module.pstate("$$p").proxy(x.all(), (now, diff, before) => {
    seen.push([now, diff.kind, before]);
    if (diff.kind === "ungracefulTermination") ended.resolve();
  });
  await module.depot("*d").append(1);
  await ended.promise;
  expect(seen).toEqual([
    [1, "resync", null],
    [1, "ungracefulTermination", 1],
  ]);
  expect(proxy.getStatus()).toBe("TERMINATED_UNGRACEFULLY" satisfies ProxyStatus);
  expect(proxy.get()).toBe(1);
  await proxy.close();
  expect(proxy.getStatus()).toBe("TERMINATED_UNGRACEFULLY");
});

test("proxy resolves after its first call, which has a ResyncDiff and null before; close makes the last", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(stepsModule(Number, [x.termVal(5), x.termVal(6)]), { tasks: 1 });
  await module.depot("*d").append(0);
  const seen: unknown[][] = [];
  let returned = false;
  const proxy = await module.pstate<number>("$$p").proxy<number>(x, async (now, diff, before) => {
    await Promise.resolve();
    seen.push([now, diff.kind, before]);
    returned = true;
  });
  expect(returned).toBe(true);
  expect([seen, proxy.get(), proxy.getStatus()]).toEqual([[[5, "resync", null]], 5, "ACTIVE"]);
  await proxy.close();
  await proxy.close();
  await module.depot("*d").append(1);
  expect(seen.at(-1)).toEqual([5, "destroyed", 5]);
  expect([seen.length, proxy.get(), proxy.getStatus()]).toEqual([2, 5, "TERMINATED"]);
});

test("a proxy is closed in scoped syntax and with its client, and needs no callback", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(stepsModule(Number, [x.termVal(5)]), { tasks: 1 });
  const kinds: string[] = [];
  {
    await using proxy = await module.pstate("$$p").proxy("key", x, (_now, diff) => void kinds.push(diff.kind));
    expect(proxy.getStatus()).toBe("ACTIVE");
  }
  expect(kinds).toEqual(["resync", "destroyed"]);
  const silent = await module.pstate<number>("$$p").proxy(x);
  await module.depot("*d").append(0);
  await settled(() => silent.get() === 5);
  expect(silent.get()).toBe(5);
  await ipc.close();
  expect(silent.getStatus()).toBe("TERMINATED");
});

test("calls come in order and never overlap, whatever they throw", async () => {
  const steps = Array.from({ length: 20 }, (_, i) => x.termVal(i + 1));
  await using ipc = await InProcessCluster.create({ config: {} });
  const module = await ipc.launchModule(stepsModule(Number, steps), { tasks: 1 });
  let running = 0;
  const seen: [number | null, number | null][] = [];
  const done = Promise.withResolvers<void>();
  const { error } = console;
  console.error = () => {};
  try {
    await module.pstate<number>("$$p").proxy<number>(x, async (now, _diff, before) => {
      expect(++running).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push([before, now]);
      running--;
      if (now === 20) done.resolve();
      if (now !== null && now % 2 === 0) throw new Error("of the callback");
    });
    for (const [i] of steps.entries()) await module.depot("*d").append(i);
    await done.promise;
  } finally {
    console.error = error;
  }
  for (const [i, [before]] of seen.entries()) expect(before).toBe(i === 0 ? null : seen[i - 1]![1]);
});

test("a microbatch gives one round of diffs per commit", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Batches", (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      const mb = topologies.microbatch("mb");
      mb.pstate("$$counts", PState.mapSchema(String, counts));
      mb.source("*d")
        .out("*mb")
        .batchBlock(
          Block.explodeMicrobatch("*mb")
            .out("*w")
            .hashPartition("all")
            .compoundAgg("$$counts", CompoundAgg.map("all", CompoundAgg.map("*w", Agg.count()))),
        );
    }),
    { tasks: 4, threads: 2 },
  );
  await module.pause("mb");
  const seen: unknown[] = [];
  const proxy = await module.pstate("$$counts").proxy(Path.key("all"), (now) => void seen.push(now));
  for (const word of ["a", "b", "a"]) await module.depot("*d").append(word);
  await module.resume("mb");
  await module.waitForProcessed("mb", 3);
  await settled(() => seen.length > 1);
  expect(seen).toEqual([null, map({ a: 2, b: 1 })]);
  await proxy.close();
});

// ---- Diff.process

test("process calls what handles the diff, or unhandled once and nothing else", () => {
  const diff = new MultiDiff([
    new KeysDiff(new Map([["a", new NewValueDiff(1)]])),
    new KeyDiff("b", new NewValueDiff(2)),
    new ResyncDiff(0),
  ]);
  const log: unknown[] = [];
  diff.process({ key: (d) => log.push(d.key), unhandled: () => log.push("unhandled") });
  expect(log.splice(0)).toEqual(["unhandled"]);
  diff.process({
    key: (d) => log.push(d.key),
    resync: (d) => log.push(d.value),
    unhandled: () => log.push("unhandled"),
  });
  expect(log.splice(0)).toEqual(["a", "b", 0]);
  diff.process({ multi: () => log.push("multi"), unhandled: () => log.push("unhandled") });
  expect(log.splice(0)).toEqual(["multi"]);
  new SequenceIndexChangesDiff(new Map([[3, new NewValueDiff(1)]])).process({
    key: (d) => log.push(d.key),
    unhandled: () => {},
  });
  expect(log).toEqual([3]);
});

test("a diff is printed by its fields alone", () => {
  expect(Bun.inspect(new KeyDiff("a", new NewValueDiff(1)), { compact: true }).replace(/\s+/g, " ")).toBe(
    '{ key: "a", valDiff: { value: 1, kind: "newValue" }, kind: "key" }',
  );
});
