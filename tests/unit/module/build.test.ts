// Declarations of modules: what they freeze to, and what is refused. Guards the definition that everything else reads.
import { expect, test } from "bun:test";
import { Agg } from "../../../src/aggregators/agg.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { hashValue } from "../../../src/base/hash.ts";
import { opNamed, Ops } from "../../../src/dataflow/ops.ts";
import { defineModule } from "../../../src/module/build.ts";
import type { ModuleDefinition } from "../../../src/module/definition.ts";
import { choosePartition, Depot } from "../../../src/module/depot-partitioning.ts";
import { RamaModule } from "../../../src/module/module.ts";
import { PState, SubindexOptions } from "../../../src/module/pstate-schema.ts";
import type { Setup } from "../../../src/module/setup.ts";
import { MicrobatchSourceOptions, OffsetAgo, StreamSourceOptions } from "../../../src/module/source-options.ts";
import type { Topologies } from "../../../src/module/topologies.ts";

function build(define: (setup: Setup, topologies: Topologies) => void): ModuleDefinition {
  class Built extends RamaModule {
    override define(setup: Setup, topologies: Topologies): void {
      define(setup, topologies);
    }
  }
  return defineModule(Built);
}

function refusal(define: (setup: Setup, topologies: Topologies) => void): RamaError {
  try {
    build(define);
  } catch (error) {
    if (error instanceof RamaError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("a definition holds what was declared, by index, frozen", () => {
  const partitioner = (n: number, key: number) => key % n;
  const definition = build((setup, topologies) => {
    setup.declareDepot("*a", Depot.hashBy("userId"));
    setup.declareDepot("*b", Depot.disallow()).global();
    setup.declareTickDepot("*tick", 500);
    setup.declareObject("*limits", { max: 3 });
    setup.clusterPState("$$theirs", "Other", "$$p");
    setup.setLaunchDepotDynamicOption("*a", "depot.max.fetch", 10);
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(Number, Number)).keyPartitioner(partitioner).makePrivate();
    s.pstate("$$sum", Number).global().initialValue(0);
    s.source("*a", StreamSourceOptions.retryAllAfter().startFromOffsetAgo(2, OffsetAgo.HOURS)).out("*r");
    s.source("*a", { sourceId: "again", retryAllAfter: true });
    const mb = topologies.microbatch("mb");
    mb.source("*tick", MicrobatchSourceOptions.startFromBeginning());
    topologies.query("q", "*x").out("*y").originPartition();
  });
  expect(definition.name).toBe("Built");
  expect(definition.depots).toEqual([
    { index: 0, name: "*a", partitioning: { kind: "hashField", field: "userId" }, global: false },
    { index: 1, name: "*b", partitioning: { kind: "disallow" }, global: true },
    { index: 2, name: "*tick", partitioning: { kind: "disallow" }, global: true, tickMs: 500 },
  ]);
  expect(
    definition.pstates.map(({ name, topology, global, initialValue }) => [name, topology, global, initialValue]),
  ).toEqual([
    ["$$p", 0, false, undefined],
    ["$$sum", 0, true, 0],
  ]);
  expect(definition.pstates[0]).toMatchObject({ private: true, keyPartitioner: partitioner });
  expect(
    definition.topologies[0]!.sources.map(({ depot, sourceId, startFrom, retry }) => ({
      depot,
      sourceId,
      startFrom,
      retry,
    })),
  ).toEqual([
    {
      depot: { kind: "own", index: 0 },
      sourceId: "",
      startFrom: { kind: "ago", amount: 7_200_000, unit: "MILLIS" },
      retry: "allAfter",
    },
    { depot: { kind: "own", index: 0 }, sourceId: "again", startFrom: { kind: "end" }, retry: "allAfter" },
  ]);
  expect(definition.topologies[1]!.sources[0]!.startFrom).toEqual({ kind: "beginning" });
  expect(definition.topologies[2]).toMatchObject({ kind: "query", inputs: ["*x"], output: "*y" });
  expect(definition.mirrors).toEqual([{ index: 0, name: "$$theirs", kind: "pstate", module: "Other", object: "$$p" }]);
  expect(definition.launchOptions).toEqual([{ scope: "depot", object: "*a", name: "depot.max.fetch", value: 10 }]);
  expect(Object.isFrozen(definition) && Object.isFrozen(definition.depots[0])).toBe(true);
});

test("schemas nest as plain frozen nodes", () => {
  const posts = PState.mapSchema(Number, PState.fixedKeysSchema({ text: String, tags: PState.setSchema(String) }));
  const { schema } = build((_, topologies) => {
    const inner = posts.subindexed(SubindexOptions.withoutSizeTracking());
    topologies.stream("s").pstate("$$posts", PState.mapSchema(String, inner));
  }).pstates[0]!;
  expect(schema).toEqual({
    kind: "map",
    key: String,
    value: {
      kind: "map",
      key: Number,
      value: {
        kind: "fixed",
        fields: new Map<string, any>([
          ["text", { kind: "leaf", type: String }],
          ["tags", { kind: "set", element: { kind: "leaf", type: String }.type }],
        ]),
      },
      subindexed: { sizeTracking: false },
    },
  });
});

test("ackReturnAgg takes an aggregator by reference", () => {
  const definition = build((setup, topologies) => {
    setup.declareDepot("*a", Depot.random());
    topologies.stream("s").source("*a", StreamSourceOptions.ackReturnAgg(Agg.sum));
  });
  const { initVal, accumulate } = definition.topologies[0]!.sources[0]!.ackReturnAgg as any;
  expect([1, 2, 3].reduce((state, value) => accumulate(state, value), initVal())).toBe(6);
});

const refused: readonly [string, (setup: Setup, topologies: Topologies) => void, string, RegExp][] = [
  [
    "a depot twice",
    (s) => {
      s.declareDepot("*a", Depot.random());
      s.declareDepot("*a", Depot.random());
    },
    "DUPLICATE_NAME",
    /\*a is declared already, at build\.test\.ts:\d+/,
  ],
  [
    "a topology twice",
    (_, t) => {
      t.stream("x");
      t.query("x");
    },
    "DUPLICATE_NAME",
    /topology x is declared already/,
  ],
  [
    "a PState twice",
    (_, t) => {
      t.stream("x").pstate("$$p", Number);
      t.stream("y").pstate("$$p", Number);
    },
    "DUPLICATE_NAME",
    /\$\$p/,
  ],
  [
    "a second source without a sourceId",
    (s, t) => {
      s.declareDepot("*a", Depot.random());
      const x = t.stream("x");
      x.source("*a");
      x.source("*a");
    },
    "DUPLICATE_NAME",
    /give one of the sources a sourceId/,
  ],
  [
    "an unknown depot",
    (s, t) => {
      s.declareDepot("*orders", Depot.random());
      t.stream("x").source("*order");
    },
    "UNKNOWN_OBJECT",
    /did you mean \*orders/,
  ],
  [
    "a misspelt var",
    (s) => {
      s.declareDepot("orders" as never, Depot.random());
    },
    "BAD_MODULE",
    /a depot is named "\*name"/,
  ],
  [
    "an initial value of a map",
    (_, t) => {
      t.stream("x").pstate("$$p", PState.mapSchema(String, Number)).initialValue({});
    },
    "BAD_SCHEMA",
    /only one with a class/,
  ],
  [
    "a set at the top",
    (_, t) => {
      t.stream("x").pstate("$$p", PState.setSchema(String));
    },
    "BAD_SCHEMA",
    /not a set/,
  ],
  [
    "subindexed at the top",
    (_, t) => {
      t.stream("x").pstate("$$p", PState.mapSchema(String, Number).subindexed());
    },
    "BAD_SCHEMA",
    /leave out subindexed/,
  ],
  [
    "a schema as element of a set",
    (_, t) => {
      t.stream("x").pstate("$$p", PState.mapSchema(String, PState.setSchema(PState.setSchema(String) as never)));
    },
    "BAD_SCHEMA",
    /has a class/,
  ],
  [
    "a period of 0",
    (s) => {
      s.declareTickDepot("*t", 0);
    },
    "BAD_MODULE",
    /above 0/,
  ],
  [
    "a query without output",
    (_, t) => {
      t.query("q");
    },
    "BAD_MODULE",
    /has no output/,
  ],
  [
    "an option of an unknown topology",
    (s, t) => {
      t.stream("count");
      s.setLaunchTopologyDynamicOption("cuont", "topology.stream.timeout.seconds", 1);
    },
    "UNKNOWN_OBJECT",
    /did you mean count/,
  ],
  [
    "an instance with prepareForTask",
    (s) => {
      s.declareObject("*o", { prepareForTask() {} });
    },
    "BAD_MODULE",
    /each task needs its own/,
  ],
  [
    "stream options on a microbatch",
    (s, t) => {
      s.declareDepot("*a", Depot.random());
      t.microbatch("m").source("*a", StreamSourceOptions.retryNone() as never);
    },
    "BAD_MODULE",
    /takes MicrobatchSourceOptions/,
  ],
  [
    "a bad aggregator of ack returns",
    (s, t) => {
      s.declareDepot("*a", Depot.random());
      t.stream("m").source("*a", StreamSourceOptions.ackReturnAgg(3));
    },
    "BAD_MODULE",
    /ackReturnAgg takes/,
  ],
];

for (const [what, define, code, message] of refused) {
  test(`refused with its line: ${what}`, () => {
    const error = refusal(define);
    expect(error.code as string).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^build\.test\.ts:\d+: /);
  });
}

test("what define throws is told with the module's name", () => {
  const error = refusal(() => {
    throw new TypeError("oops");
  });
  expect(error.code).toBe("BAD_MODULE");
  expect(error.message).toBe("define of Built threw: oops");
  expect((error.cause as Error).message).toBe("oops");
});

test("a record's partition follows the scheme", () => {
  const choose = (partitioning: ReturnType<typeof Depot.random>, record: unknown, global = false) =>
    choosePartition({ name: "*d", partitioning, global }, record, 8, () => 0.99, opNamed);
  const task = (value: unknown) => hashValue(value) & 7;
  expect(choose(Depot.random(), 1)).toBe(7);
  expect(choose(Depot.hashBy("id"), { id: "x" })).toBe(task("x"));
  expect(choose(Depot.hashBy("id"), new Map([["id", "x"]]))).toBe(task("x"));
  expect(choose(Depot.hashBy("id"), "no fields")).toBe(task(null));
  expect(choose(Depot.hashBy(Ops.FIRST), ["x", 2])).toBe(task("x"));
  expect(
    choose(
      Depot.hashBy((r: any) => r.id),
      { id: "x" },
    ),
  ).toBe(task("x"));
  expect(
    choose(
      Depot.custom((r: number, n) => r % n),
      11,
    ),
  ).toBe(3);
  expect(choose(Depot.random(), 1, true)).toBe(0);
  expect(() =>
    choose(
      Depot.custom(() => 8),
      1,
    ),
  ).toThrow(expect.objectContaining({ code: "BAD_PARTITION" }));
  expect(() => choose(Depot.disallow(), 1)).toThrow(expect.objectContaining({ code: "NOT_APPENDABLE" }));
});
