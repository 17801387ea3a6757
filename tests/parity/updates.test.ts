// language.md 16: which changes of a module an update takes, each by the public door of a running module with data; a refusal leaves it running as it was.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  Ops,
  Path,
  PState,
  type RamaModule,
  type RamaError,
  type Setup,
  type Topologies,
} from "rama";
import { InProcessCluster, UpdateOptions } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

type Define = (setup: Setup, topologies: Topologies) => void;
type Part = "depot" | "global" | "tick" | "counts" | "total" | "other" | "query" | "mirrored";

const fields = PState.fixedKeysSchema({ n: Number, text: String });

/** What the running version consists of, each to be replaced by name. */
const parts: Record<Part, Define> = {
  depot: (setup) => void setup.declareDepot("*events", Depot.hashBy("key")),
  global: (setup) => void setup.declareDepot("*global", Depot.random()).global(),
  tick: (setup) => setup.declareTickDepot("*tick", 60_000),
  counts: (_, topologies) => {
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts.pstate("$$fields", PState.mapSchema(String, fields));
    counts.source("*events").out({ key: "*key" }).compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
  },
  total: (_, topologies) => {
    const total = topologies.microbatch("total");
    total.pstate("$$total", Number).global().initialValue(0);
    total.source("*events").out("*mb").explodeMicrobatch("*mb").globalPartition().agg("$$total", Agg.count());
  },
  other: (_, topologies) => {
    const other = topologies.stream("other");
    other.pstate("$$moving", PState.mapSchema(String, Number));
    other.source("*global");
  },
  query: (_, topologies) =>
    void topologies.query("q", "*key").out("*n").each(Ops.IDENTITY, 1).out("*n").originPartition(),
  mirrored: (_, topologies) => {
    const seen = topologies.stream("seen");
    seen.pstate("$$seen", PState.mapSchema(String, Number));
    seen.source("*events").out({ key: "*key" }).localTransform("$$seen", Path.key("*key").termVal(1));
  },
};

/** The running version, with these parts instead. */
function version(changed: Partial<Record<Part, Define>> = {}, more: Define = () => {}): RamaModule {
  return moduleOf("M", (setup, topologies) => {
    for (const define of Object.values({ ...parts, ...changed })) define(setup, topologies);
    more(setup, topologies);
  });
}

const without: Define = () => {};
const counting =
  (declare: (counts: ReturnType<Topologies["stream"]>) => void): Define =>
  (_, topologies) => {
    const counts = topologies.stream("counts");
    declare(counts);
    counts.source("*events").out({ key: "*key" });
  };

type Change = [what: string, version: () => RamaModule, says: RegExp, objectsToDelete?: string[]];

const refused: Record<string, Change[]> = {
  INCOMPATIBLE_UPDATE: [
    [
      "a depot becomes a tick depot",
      () =>
        version({ depot: without, total: without, counts: without, mirrored: without }, (setup, topologies) => {
          setup.declareTickDepot("*events", 1000);
          counting((c) => {
            c.pstate("$$counts", PState.mapSchema(String, Number));
            c.pstate("$$fields", PState.mapSchema(String, fields));
          });
          topologies.stream("x").source("*events");
        }),
      /\*events of M may not become a tick depot/,
    ],
    [
      "a tick depot becomes a depot",
      () => version({ tick: (setup) => void setup.declareDepot("*tick", Depot.random()) }),
      /\*tick of M may not become a tick depot, or cease to be one/,
    ],
    [
      "a global depot is global no more",
      () => version({ global: (setup) => void setup.declareDepot("*global", Depot.random()) }),
      /\*global of M may not become global, or cease to be/,
    ],
    [
      "a depot becomes global",
      () => version({ depot: (setup) => void setup.declareDepot("*events", Depot.hashBy("key")).global() }),
      /\*events of M may not become global/,
    ],
    [
      "a PState is global no more",
      () =>
        version({
          total: (_, topologies) => {
            const total = topologies.microbatch("total");
            total.pstate("$$total", Number).initialValue(0);
            total.source("*events").out("*mb").explodeMicrobatch("*mb").agg("$$total", Agg.count());
          },
        }),
      /\$\$total of M may not become global, or cease to be/,
    ],
    [
      "a PState moves to another topology",
      () =>
        version({ other: without }, (_, topologies) => {
          const new_ = topologies.stream("new");
          new_.pstate("$$moving", PState.mapSchema(String, Number));
          new_.source("*global");
        }),
      /\$\$moving of M moves from topology other to new; a PState stays with its topology/,
    ],
    [
      "a stream topology becomes a microbatch topology",
      () =>
        version({
          other: (_, topologies) => {
            const other = topologies.microbatch("other");
            other.pstate("$$moving", PState.mapSchema(String, Number));
            other.source("*global").out("*mb").explodeMicrobatch("*mb");
          },
        }),
      /other of M is a stream topology and would become a microbatch one; give the new one another name/,
    ],
    [
      "values have another type",
      () =>
        version({
          counts: counting((c) => {
            c.pstate("$$counts", PState.mapSchema(String, String));
            c.pstate("$$fields", PState.mapSchema(String, fields));
          }),
        }),
      /\$\$counts of M .*Number.*String.*migrated/s,
    ],
    [
      "keys have another type",
      () =>
        version({
          counts: counting((c) => {
            c.pstate("$$counts", PState.mapSchema(Number, Number));
            c.pstate("$$fields", PState.mapSchema(String, fields));
          }),
        }),
      /\$\$counts of M /,
    ],
    [
      "a fixed key is gone",
      () =>
        version({
          counts: counting((c) => {
            c.pstate("$$counts", PState.mapSchema(String, Number));
            c.pstate("$$fields", PState.mapSchema(String, PState.fixedKeysSchema({ n: Number })));
          }),
        }),
      /\$\$fields of M .*text/s,
    ],
    [
      "a value becomes subindexed without a migration",
      () =>
        version({
          counts: counting((c) => {
            c.pstate("$$counts", PState.mapSchema(String, PState.mapSchema(String, Number).subindexed()));
            c.pstate("$$fields", PState.mapSchema(String, fields));
          }),
        }),
      /\$\$counts of M /,
    ],
  ],
  DELETION_NOT_NAMED: [
    [
      "a depot goes unnamed",
      () =>
        version({ global: without, other: without }, (setup, topologies) => {
          setup.declareDepot("*new", Depot.random());
          const other = topologies.stream("other");
          other.pstate("$$moving", PState.mapSchema(String, Number));
          other.source("*new");
        }),
      /\*global would be deleted with all data and is not named/,
    ],
    ["a PState goes unnamed", () => version({ other: without }), /\$\$moving would be deleted with all data/],
    [
      "more is named than goes",
      () => version({ other: without }),
      /\$\$counts is named and is not removed/,
      ["$$moving", "$$counts"],
    ],
    ["a name that nothing has", () => version(), /\$\$nothing is named and is not removed/, ["$$nothing"]],
    [
      "a topology, which has no data of its own, is named",
      () => version(),
      /other is named and is not removed/,
      ["other"],
    ],
  ],
  DEPENDED_ON: [
    [
      "a PState that another module mirrors goes",
      () => version({ mirrored: without }),
      /pstate \$\$seen of M is used by Theirs/,
      ["$$seen"],
    ],
    [
      "a PState that another module mirrors becomes private",
      () =>
        version({
          mirrored: (_, topologies) => {
            const seen = topologies.stream("seen");
            seen.pstate("$$seen", PState.mapSchema(String, Number)).makePrivate();
            seen.source("*events");
          },
        }),
      /pstate \$\$seen of M is used by Theirs/,
    ],
    ["a query that another module mirrors goes", () => version({ query: without }), /query q of M is used by Theirs/],
  ],
  MISSING_DEPENDENCY: [
    [
      "a mirror of a module that is not there",
      () => version({}, (setup) => setup.clusterDepot("*x", "Nobody", "*x")),
      /Nobody, which is not deployed/,
    ],
    [
      "a mirror of an object that the other module does not have",
      () => version({}, (setup) => setup.clusterPState("$$x", "Theirs", "$$nothing")),
      /Theirs/,
    ],
  ],
};

const theirs = moduleOf("Theirs", (setup, topologies) => {
  setup.clusterPState("$$seen", "M", "$$seen");
  setup.clusterQuery("*q", "M", "q");
  topologies.query("r").out("*r").invokeQuery("*q", "a").out("*r").originPartition();
});

async function running(ipc: InProcessCluster) {
  const m = await ipc.launchModule(version(), { tasks: 4, threads: 2, workers: 1 });
  await ipc.launchModule(theirs, { tasks: 2 });
  await m.depot("*events").append({ key: "a" });
  return m;
}

test.each(Object.entries(refused))(
  "an update that is refused as %s says why, and the old version runs on",
  async (code, changes) => {
    await using ipc = await InProcessCluster.create();
    const m = await running(ipc);
    let count = 1;
    for (const [what, next, says, named] of changes) {
      const options = named === undefined ? undefined : UpdateOptions.objectsToDelete(...named);
      const { code: given, message } = await errorOf(m.update(next(), options));
      expect({ what, code: given, message }).toEqual({
        what,
        code: code as RamaError["code"],
        message: expect.stringMatching(says),
      });
      await m.depot("*events").append({ key: "a" });
      expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(++count);
    }
  },
  60_000,
);

type Accepted = [what: string, version: () => RamaModule, objectsToDelete?: string[]];

const accepted: Accepted[] = [
  ["the module as it is, which is a restart", () => version()],
  [
    "an added depot, PState, topology, query, task global",
    () =>
      version({}, (setup, topologies) => {
        setup.declareDepot("*more", Depot.random());
        setup.declareObject("*one", 1);
        const more = topologies.microbatch("more");
        more.pstate("$$more", PState.mapSchema(String, Number));
        more.source("*more").out("*mb").explodeMicrobatch("*mb");
        topologies.query("one").out("*r").each(Ops.IDENTITY, "*one").out("*r").originPartition();
      }),
  ],
  [
    "a further source of a topology",
    () =>
      version({
        other: (_, topologies) => {
          const other = topologies.stream("other");
          other.pstate("$$moving", PState.mapSchema(String, Number));
          other.source("*global");
          other.source("*tick");
        },
      }),
  ],
  [
    "a further fixed key, and a wider class",
    () =>
      version({
        counts: (_, topologies) => {
          const counts = topologies.stream("counts");
          counts.pstate("$$counts", PState.mapSchema(String, Object));
          counts.pstate(
            "$$fields",
            PState.mapSchema(String, PState.fixedKeysSchema({ n: Number, text: String, at: Date })),
          );
          counts.source("*events").out({ key: "*key" }).compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
        },
      }),
  ],
  [
    "another partitioning scheme of a depot",
    () => version({ depot: (setup) => void setup.declareDepot("*events", Depot.random()) }),
  ],
  [
    "a depot that takes no appends of clients any more",
    () => version({ global: (setup) => void setup.declareDepot("*global", Depot.disallow()).global() }),
  ],
  ["a tick depot with another period", () => version({ tick: (setup) => setup.declareTickDepot("*tick", 30_000) })],
  [
    "a query with other inputs",
    () =>
      version({
        query: (_, topologies) =>
          void topologies
            .query("q", "*key")
            .out("*n")
            .hashPartition("*key")
            .localSelect("$$counts", Path.key("*key"))
            .out("*n")
            .originPartition(),
      }),
  ],
  ["a topology without PStates goes, with its tick depot unnamed", () => version({ tick: without }), ["*tick"]],
  ["an object that is named goes", () => version({ other: without }), ["$$moving"]],
];

test.each(accepted.map(([what, next, named = []]) => ({ what, next, named })))(
  "an update is accepted, with the data: $what",
  async ({ next, named }) => {
    await using ipc = await InProcessCluster.create();
    const m = await running(ipc);
    await m.waitForProcessed("total", 1);
    await m.update(next(), named.length === 0 ? undefined : UpdateOptions.objectsToDelete(...named));
    await m.depot("*events").append({ key: "a" });
    await m.waitForProcessed("total", 2);
    expect(await m.pstate("$$total").selectOne(Path.stay())).toBe(2);
    const places = await Promise.all([0, 1, 2, 3].map((p) => m.depot("*events").getPartitionInfo(p)));
    expect(places.reduce((sum, { endOffset }) => sum + endOffset, 0)).toBe(2);
    expect(await ipc.clusterQuery("Theirs", "r").invoke()).toBeGreaterThan(0);
  },
  30_000,
);
