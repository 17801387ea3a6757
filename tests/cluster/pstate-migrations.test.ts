// Migrations of PStates in a running module: at once for every reader, in the background on disk, over restarts, for stream and microbatch topologies.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  MigrationOptions,
  Ops,
  Path,
  PState,
  RamaModule,
  type SchemaArg,
  type Setup,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";

const size = { tasks: 4, threads: 2, workers: 2 };

type Define = (setup: Setup, topologies: Topologies) => void;

function version(define: Define): RamaModule {
  class Migrating extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      define(setup, topologies);
    }
  }
  return new Migrating();
}

/** user → posts by number; `schema` of the posts of one user, written by a stream topology. */
const posts = (schema: SchemaArg, slow = false): RamaModule =>
  version((setup, topologies) => {
    setup.declareDepot("*posts", Depot.hashBy("user"));
    const s = topologies.stream("posts");
    s.pstate("$$posts", PState.mapSchema(String, schema));
    for (const per of slow ? ["batch", "second"] : [])
      setup.setLaunchTopologyDynamicOption("posts", `topology.stream.migration.max.paths.per.${per}`, 1);
    s.source("*posts")
      .out({ user: "*user", id: "*id", text: "*text" })
      .localTransform("$$posts", Path.key("*user", "*id").termVal("*text"));
  });

const whole = PState.mapSchema(Number, String);
const subindexed = PState.mapSchema(Number, String).subindexed();
const loud = (old: Map<number, string>) => new Map([...old].map(([id, text]) => [id, `${text}!`]));

test("a collection becomes subindexed: sizes, ranges and writes at once, and the wrapper goes when all is done", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(posts(whole), size);
  const depot = m.depot("*posts");
  for (let id = 0; id < 300; id++) await depot.append({ user: `u${id % 10}`, id, text: "hi" });
  const read = m.pstate("$$posts");
  const wrapped = PState.migrated(subindexed, "sub", loud);
  await expect(m.update(posts(wrapped))).rejects.toThrow("has to say migrateToSubindexed");
  await m.update(posts(wrapped.migrateToSubindexed(), true));
  expect(await read.selectOne(Path.key("u3").view(Ops.SIZE))).toBe(30);
  expect(await read.select(Path.key("u3").sortedMapRangeFrom(100, 2))).toEqual([
    new Map([
      [103, "hi!"],
      [113, "hi!"],
    ]),
  ]);
  await depot.append({ user: "u3", id: 1000, text: "new" });
  expect(await read.selectOne(Path.key("u3").view(Ops.SIZE))).toBe(31);
  expect(await read.selectOne(Path.key("u3", 1000))).toBe("new");
  await expect(m.update(posts(subindexed))).rejects.toThrow("still running");
  await m.update(posts(wrapped.migrateToSubindexed()));
  await ipc.waitForMigrations(m.name);
  await m.update(posts(subindexed));
  for (let user = 0; user < 10; user++) {
    const rows = (await read.select(Path.key(`u${user}`).all())) as [number, string][];
    expect(rows.length).toBe(user === 3 ? 31 : 30);
    expect(new Set(rows.map(([, text]) => text))).toEqual(new Set(user === 3 ? ["hi!", "new"] : ["hi!"]));
  }
}, 30_000);

/** Counts by a microbatch topology, as numbers or as records. */
const counts = (schema: SchemaArg, field: string | undefined): RamaModule =>
  version((setup, topologies) => {
    setup.declareDepot("*keys", Depot.hashBy(Ops.IDENTITY));
    const mb = topologies.microbatch("counts");
    mb.pstate("$$counts", PState.mapSchema(String, schema));
    const rows = mb.source("*keys").out("*mb").explodeMicrobatch("*mb").out("*key");
    if (field === undefined) rows.compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
    else rows.localTransform("$$counts", Path.key("*key", field).nullToVal(0).term(Ops.INC));
  });

test("a microbatch topology counts on, each record once, while its values become records", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counts(Number, undefined), size);
  const depot = m.depot("*keys");
  for (let i = 0; i < 200; i++) await depot.append(`k${i % 20}`);
  await m.waitForProcessed("counts", 200);
  const record = PState.fixedKeysSchema({ n: Number, since: String });
  const migrated = PState.migrated(record, "record", (old: number) => ({ n: old, since: "before" }));
  await m.update(counts(migrated, "n"));
  const read = m.pstate("$$counts");
  expect(await read.selectOne(Path.key("k5"))).toEqual({ n: 10, since: "before" });
  for (let i = 0; i < 200; i++) {
    await depot.append(`k${i % 25}`);
    if (i % 50 === 0) await m.update(counts(migrated, "n"));
  }
  await m.waitForProcessed("counts", 400);
  await ipc.waitForMigrations(m.name);
  await m.update(counts(record, "n"));
  for (let k = 0; k < 25; k++) {
    const wanted = k < 20 ? { n: 18, since: "before" } : { n: 8 };
    expect(await read.selectOne(Path.key(`k${k}`))).toEqual(wanted);
  }
}, 30_000);

test("fixed keys are added and removed, each named; options may be chained or given", async () => {
  await using ipc = await InProcessCluster.create();
  const users = (schema: SchemaArg, ...fields: string[]) =>
    version((setup, topologies) => {
      setup.declareDepot("*users", Depot.hashBy("id"));
      const s = topologies.stream("users");
      s.pstate("$$users", PState.mapSchema(String, schema));
      const code = s.source("*users").out({ id: "*id", value: "*value" });
      for (const field of fields) code.localTransform("$$users", Path.key("*id", field).termVal("*value"));
    });
  const before = PState.fixedKeysSchema({ first: String, last: String });
  const m = await ipc.launchModule(users(before, "first", "last"), size);
  await m.depot("*users").append({ id: "a", value: "Ann" });
  const after = PState.fixedKeysSchema({ last: String, name: String });
  const join = (old: { first: string; last: string }) => ({ ...old, name: `${old.first} ${old.last}` });
  await expect(m.update(users(PState.migrated(after, "name", join), "name"))).rejects.toThrow(
    'has to say addFixedKeys("name"), removeFixedKeys("first")',
  );
  const chained = PState.migrated(after, "name", join).addFixedKeys("name").removeFixedKeys("first");
  await m.update(users(chained, "name"));
  expect(await m.pstate("$$users").selectOne(Path.key("a"))).toEqual({ last: "Ann", name: "Ann Ann" });
  const given = MigrationOptions.addFixedKeys("name").removeFixedKeys("first");
  await m.update(users(PState.migrated(after, "name", join, given), "name"));
  await ipc.waitForMigrations(m.name);
  await m.update(users(after, "name"));
  expect(await m.pstate("$$users").selectOne(Path.key("a"))).toEqual({ last: "Ann", name: "Ann Ann" });
});

test("a migration may be there at launch; one that stands in the wrong place is refused with its line", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(posts(PState.migrated(whole, "none", (old) => old)), size);
  await m.depot("*posts").append({ user: "a", id: 1, text: "x" });
  await ipc.waitForMigrations(m.name);
  expect(await m.pstate("$$posts").selectOne(Path.key("a", 1))).toBe("x");
  const inside = PState.mapSchema(
    Number,
    PState.migrated(String, "in", (old) => old),
  );
  await expect(m.update(posts(inside))).rejects.toMatchObject({ code: "BAD_SCHEMA" });
  await expect(m.update(posts(inside))).rejects.toThrow("inside a value that is stored whole");
});
