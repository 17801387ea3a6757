// REST as any HTTP client sees it: appends, reads and invokes with encoded values at a supervisor, redirects from where the module is not, errors that say what to do.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Unpacked, unpackedRelease } from "./built-release.ts";

const restModule = `
import { Agg, CompoundAgg, Depot, PState, Path, RamaModule } from "rama";
export class RestModule extends RamaModule {
  getModuleName() { return "com.acme/Rest"; }
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const s = topologies.stream("store");
    s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Object, Object, { subindexed: true })));
    s.source("*events").out("*event").bind("*event", { key: "*key", field: "*field", value: "*value" })
      .localTransform("$$p", Path.key("*key", "*field").termVal("*value"))
      .ackReturn("*field");
    const q = topologies.query("fieldOf", "*key", "*field").out("*value");
    q.hashPartition("*key").localSelect("$$p", Path.key("*key", "*field")).out("*value").originPartition();
  }
}`;

let unpacked: Unpacked;
let base: string;

beforeAll(async () => {
  unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  writeFileSync(join(home, "rest.ts"), restModule);
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "rest.ts", "--tasks", "4");
  if (deployed.code !== 0) throw new Error(deployed.err);
  base = `http://localhost:${cluster.ports.rest}/rest/com.acme%2FRest`;
}, 120_000);

afterAll(() => unpacked?.[Symbol.asyncDispose](), 30_000);

async function post(path: string, body: unknown): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`${base}/${path}`, { method: "POST", body: JSON.stringify(body) });
  return { status: response.status, answer: await response.json() };
}

const append = (data: unknown, more: object = {}) => post("depot/*events/append", { data, ...more });
const select = (path: unknown) => post("pstate/$$p/select", path);
const ok = (answer: unknown) => ({ status: 200, answer });

test("appends answer with ack returns, at the level that is asked for", async () => {
  expect(await append({ key: "a", field: "x", value: 1 })).toEqual(ok({ store: "x" }));
  expect(await append({ key: "a", field: "y", value: 2 }, { ackLevel: "appendAck" })).toEqual(ok({}));
  expect(await append({ key: "a", field: "z", value: 3 }, { ackLevel: "none" })).toEqual(ok({}));
});

test("encoded values arrive as what they stand for", async () => {
  await append({ key: "enc", field: "#__L123456789012", value: "#__F1.5" });
  await append({ key: "enc", field: "#__B19", value: ["#__S5190", "#__CQ"] });
  expect(await select(["enc", ["key", "#__L123456789012"]])).toEqual(ok([1.5]));
  expect(await select(["enc", ["key", "#__B19"]])).toEqual(ok([[5190, "Q"]]));
  const bad = await append({ key: "enc", field: "#__B1900", value: 1 });
  expect(bad.status).toBe(400);
});

test("paths of navigators reach into maps, lists and ranges", async () => {
  for (const [field, value] of [
    ["1", 10],
    ["2", 20],
    ["3", 30],
  ] as const)
    await append({ key: "nav", field, value });
  await append({ key: "list", field: "l", value: [1, 2, 3, 4] });
  expect(await select(["nav", ["mapVals"]])).toEqual(ok([10, 20, 30]));
  expect(await select(["nav", ["mapKeys"]])).toEqual(ok(["1", "2", "3"]));
  expect(await select(["nav", ["must", "2"]])).toEqual(ok([20]));
  expect(await select(["nav", ["must", "7"]])).toEqual(ok([]));
  expect(await select(["nav", ["sortedMapRange", "2", "4"]])).toEqual(ok([{ "2": 20, "3": 30 }]));
  expect(await select(["nav", ["sortedMapRangeFrom", "1", 2]])).toEqual(ok([{ "1": 10, "2": 20 }]));
  expect(await select(["nav", ["sorted-map-range-to", "3", { "inclusive?": true, "max-amt": 2 }]])).toEqual(
    ok([{ "2": 20, "3": 30 }]),
  );
  expect(await select(["nav", ["submap", "1", "3"], ["MAP-VALS"]])).toEqual(ok([10, 30]));
  expect(await select(["list", "l", ["all"], ["filterGreaterThan", 2]])).toEqual(ok([3, 4]));
  expect(await select(["list", "l", ["srange", 1, 3]])).toEqual(ok([[2, 3]]));
  expect(await select(["list", "l", ["multiPath", [["first"]], [["last"]]]])).toEqual(ok([1, 4]));
  expect(await select(["list", "l", ["subselect", ["all"], "#__fOps.IS_EVEN"]])).toEqual(ok([[2, 4]]));
  expect(await select(["list", "l", ["view", "#__fOps.SIZE"]])).toEqual(ok([4]));
  expect(await select([["pkey", "nav"], "nav", ["stay"], "2"])).toEqual(ok([20]));
  expect(await select(["nowhere", ["nullToVal", 7]])).toEqual(ok([7]));
});

test("selectOne answers with the value, and refuses none or several", async () => {
  expect(await post("pstate/$$p/selectOne", ["nav", "2"])).toEqual(ok(20));
  const several = await post("pstate/$$p/selectOne", ["nav", ["mapVals"]]);
  expect(several).toMatchObject({ status: 400, answer: { code: "NOT_EXACTLY_ONE", retryable: false } });
});

test("query topologies are invoked with a list of arguments", async () => {
  expect(await post("query/fieldOf/invoke", ["nav", "2"])).toEqual(ok(20));
  expect(await post("query/fieldOf/invoke", { key: 1 })).toMatchObject({ status: 400 });
  expect(await post("query/nothing/invoke", [])).toMatchObject({ status: 404, answer: { code: "UNKNOWN_OBJECT" } });
});

test("every error has code, message, advice and whether to try again", async () => {
  const error = { code: expect.any(String), message: expect.any(String), advice: expect.any(String), retryable: false };
  for (const [path, body] of [
    ["depot/*nothing/append", { data: 1 }],
    ["depot/*events/append", { dat: 1 }],
    ["depot/*events/append", { data: { key: "a" }, ackLevel: "soon" }],
    ["pstate/$$p/select", ["nav", ["nonsense"]]],
    ["pstate/$$nothing/select", ["nav"]],
  ] as const) {
    const { status, answer } = await post(path, body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(answer).toEqual(error);
  }
  const text = await fetch(`${base}/depot/*events/append`, { method: "POST", body: "{nonsense" });
  expect([text.status, await text.json()]).toEqual([400, error]);
});

test("the conductor redirects to the supervisors that have the module, and fetch follows", async () => {
  const { ports } = unpacked.cluster;
  const url = `http://localhost:${ports.ui}/rest/com.acme%2FRest/pstate/$$p/selectOne`;
  const init = { method: "POST", headers: { "Content-Type": "text/plain" }, body: JSON.stringify(["nav", "2"]) };
  const first = await fetch(url, { ...init, redirect: "manual" });
  expect(first.status).toBe(308);
  expect(first.headers.get("location")).toBe(
    `http://localhost:${ports.rest}/rest/com.acme%2FRest/pstate/$$p/selectOne`,
  );
  expect(JSON.parse(first.headers.get("supervisor-locations")!)).toEqual([`localhost:${ports.rest}`]);
  const followed = await fetch(url, init);
  expect([followed.status, await followed.json()]).toEqual([200, 20]);
  const missing = await fetch(`http://localhost:${ports.ui}/rest/Nope/pstate/$$p/select`, init);
  expect([missing.status, await missing.json()]).toMatchObject([404, { code: "MODULE_NOT_FOUND" }]);
});
