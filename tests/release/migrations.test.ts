// Migrations on a real cluster, with the compiled executable: a depot and two PStates change under load, workers are killed in the middle, each value goes through its
// function once, moduleStatus tells how far it is, and the wrappers may go when it says so. Trimming beside it, and what an update deletes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { type Unpacked, unpackedRelease, until } from "./built-release.ts";

let unpacked: Unpacked;
let manager: RamaClusterManager;
const name = "Shop";

beforeAll(async () => {
  unpacked = unpackedRelease();
  await unpacked.cluster.startAll();
  const { conductor } = unpacked.cluster.ports;
  manager = await RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": conductor });
}, 120_000);

afterAll(async () => {
  await manager?.close();
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

interface Version {
  /** After `declareDepot("*orders", …)`. */
  readonly depot?: string;
  /** Schema of one user's orders. */
  readonly orders: string;
  /** Schema of one user's sum, and what adds to it. */
  readonly sums: string;
  readonly sumField?: string;
  readonly old?: boolean;
}

let files = 0;

function source({ depot = "", orders, sums, sumField, old = false }: Version): string {
  const path = join(unpacked.home, `shop-${files++}.ts`);
  writeFileSync(
    path,
    `import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
const whole = PState.mapSchema(Number, String);
const subindexed = PState.mapSchema(Number, String).subindexed();
const sum = PState.fixedKeysSchema({ cents: Number, times: Number });
export class ${name} extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*orders", Depot.hashBy("user"))${depot};
    const s = topologies.stream("orders");
    s.pstate("$$orders", PState.mapSchema(String, ${orders}));
    s.source("*orders").out({ user: "*user", id: "*id", text: "*text" })
      .localTransform("$$orders", Path.key("*user", "*id").termVal("*text"));
    const mb = topologies.microbatch("sums");
    mb.pstate("$$sums", PState.mapSchema(String, ${sums}));
    mb.source("*orders").out("*mb").explodeMicrobatch("*mb").out({ user: "*user" })
      .localTransform("$$sums", Path.key("*user"${sumField === undefined ? "" : `, "${sumField}"`}).nullToVal(0).term(Ops.INC));
    ${old ? 'setup.declareDepot("*old", Depot.random()); const o = topologies.stream("old"); o.pstate("$$old", PState.mapSchema(Number, Number)); o.source("*old").out("*n").compoundAgg("$$old", CompoundAgg.map("*n", Agg.count()));' : ""}
  }
}
`,
  );
  return path;
}

const deploy = (action: string, version: Version, ...more: string[]) =>
  unpacked.cluster.rama("deploy", "--action", action, "--jar", source(version), "--module", name, ...more);

const users = Array.from({ length: 40 }, (_, i) => `user-${i}`);
const slow = [
  "--topologyOptions",
  ["orders,topology.stream", "sums,topology.microbatch"]
    .flatMap((each) => [`${each}.migration.max.paths.per.second=4`, `${each}.migration.max.paths.per.batch=2`])
    .join(";"),
];
const fast = [slow[0]!, slow[1]!.replaceAll("second=4", "second=2000").replaceAll("batch=2", "batch=500")];

const before: Version = { orders: "whole", sums: "Number", old: true };
const during: Version = {
  depot: '.migration("loud", (o) => (o.text === "drop" ? Depot.TOMBSTONE : { ...o, text: o.text + "!" }))',
  orders:
    'PState.migrated(subindexed, "sub", (old) => new Map([...old].map(([id, t]) => [id, t + "?"]))).migrateToSubindexed()',
  sums: 'PState.migrated(sum, "sum", (old) => ({ cents: old, times: 1 }))',
  sumField: "cents",
};
const after: Version = { orders: "subindexed", sums: "sum", sumField: "cents" };

test("a depot and two PStates migrate under load and kills, each value once, until the wrappers may go", async () => {
  const { cluster } = unpacked;
  const size = ["--tasks", "8", "--threads", "4", "--workers", "2"];
  expect(await deploy("launch", before, ...size)).toMatchObject({ code: 0, err: "" });
  const depot = manager.clusterDepot(name, "*orders");
  const sent = new Map<string, number>(users.map((user) => [user, 0]));
  const order = async (user: string, text: string) => {
    const id = sent.get(user)!;
    await depot.append({ user, id, text });
    sent.set(user, id + 1);
  };
  for (let i = 0; i < 400; i++) await order(users[i % users.length]!, i % 10 === 9 ? "drop" : "old");
  await manager.clusterDepot(name, "*old").append(1);
  const sums = manager.clusterPState<{ cents: number; times?: number } | number>(name, "$$sums");
  await until("all sums", async () => (await sums.selectOne(Path.key(users[39]!))) === 10);

  const unnamed = await deploy("update", during, ...slow);
  expect(unnamed.err).toContain("DELETION_NOT_NAMED");
  expect(await deploy("update", during, "--objectsToDelete", "*old,$$old", ...slow)).toMatchObject({
    code: 0,
    err: "",
  });
  const orders = manager.clusterPState<string>(name, "$$orders");
  expect(await sums.selectOne(Path.key(users[7]!))).toEqual({ cents: 10, times: 1 });
  const shown = await cluster.rama("moduleStatus", name);
  expect(shown.out).toMatch(/\$\$orders: migration sub: \d of 8 partitions done/);
  const early = await deploy("update", after);
  expect(early.err).toMatch(/migration (sub|sum|loud).*still running/);

  for (let round = 0; round < 3; round++) {
    for (const user of users) await order(user, `new${round}`);
    const [pid] = cluster.workerPids();
    process.kill(pid!, "SIGKILL");
    await until(
      "the worker",
      async () => (await cluster.rama("moduleStatus", name, "--json")).out.split('"running"').length > 2,
    );
  }
  expect(await deploy("update", during, ...fast)).toMatchObject({ code: 0, err: "" });
  await until("the migrations", async () => {
    const { out } = await cluster.rama("moduleStatus", name);
    return out.split("complete: the wrapper may be left out").length === 4;
  });
  expect(await deploy("update", after)).toMatchObject({ code: 0, err: "" });
  for (const [i, user] of users.entries()) {
    const rows = (await orders.select(Path.key(user).all())) as unknown as [number, string][];
    const wanted = Array.from({ length: 13 }, (_, id): [number, string] => {
      if (id >= 10) return [id, `new${id - 10}!`];
      return [id, i % 10 === 9 ? "drop?" : "old?"];
    });
    expect(rows).toEqual(wanted);
  }
  await until("the sums", async () => ((await sums.selectOne(Path.key(users[39]!))) as { cents: number }).cents === 13);
  for (const user of users) expect(await sums.selectOne(Path.key(user))).toEqual({ cents: 13, times: 1 });
  const texts = new Map<string, number>();
  let offsets = 0;
  for (let partition = 0; partition < 8; partition++) {
    const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
    offsets += endOffset;
    for (const { text } of await depot.read(partition, startOffset, endOffset))
      texts.set(text, (texts.get(text) ?? 0) + 1);
  }
  expect(offsets).toBe(520);
  expect(Object.fromEntries(texts)).toEqual({ "old!": 360, "new0!": 40, "new1!": 40, "new2!": 40 });
}, 180_000);

test("the deleted objects are gone from the disk; depots are trimmed by options of a deployment", async () => {
  const { home } = unpacked;
  const data = join(home, "data");
  const dirs = (readdirSync(existsSync(data) ? data : home, { recursive: true }) as string[]).filter((path) =>
    /depots\/\d+$/.test(path),
  );
  expect(new Set(dirs.map((path) => path.split("/").at(-1)))).toEqual(new Set(["0"]));
  await expect(manager.clusterDepot(name, "*old").append(1)).rejects.toMatchObject({ code: "UNKNOWN_OBJECT" });
  const options = ["--moduleOptions", "depot.trim.interval.millis=200"];
  options.push("--depotOptions", "*orders,depot.max.entries.per.partition=20");
  expect(await deploy("update", after, ...options)).toMatchObject({ code: 0, err: "" });
  const depot = manager.clusterDepot(name, "*orders");
  await until("the depots to be trimmed", async () => {
    let kept = 0;
    for (let partition = 0; partition < 8; partition++) {
      const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
      kept = Math.max(kept, endOffset - startOffset);
    }
    return kept <= 25;
  });
}, 60_000);
