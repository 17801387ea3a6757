// language.md 14 and the rulings on clients and values that travel.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  AckLevel,
  type ClusterClient,
  Depot,
  type DepotClient,
  Ops,
  Path,
  PState,
  type PStateClient,
  type QueryClient,
  type RamaCustomSerialization,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

class Money {
  constructor(
    readonly currency: string,
    readonly cents: number,
  ) {}
}
class Celsius {
  constructor(readonly degrees: number) {}
}

const described = moduleOf("Clients", (setup, topologies) => {
  setup.declareDepot("*d", Depot.hashBy(Ops.FIRST));
  setup.declareDepot("*any", Depot.random()).global();
  const s = topologies.stream("s");
  s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(String, Number).subindexed()));
  s.pstate("$$any", Object).global();
  s.source("*d").out(["*k", "*f", "*n"]).localTransform("$$p", Path.key("*k", "*f").termVal("*n"));
  s.source("*any").out("*v").localTransform("$$any", Path.termVal("*v")).ackReturn("*v");
  topologies.query("echo", "*v").out("*v").originPartition();
  topologies.query("echoFar", "*v").out("*v").directPartition(3).shufflePartition().originPartition();
});

let ipc: InProcessCluster;
let module: LaunchedModule;
beforeAll(async () => {
  const celsius: RamaCustomSerialization<Celsius> = {
    targetType: () => Celsius,
    serialize: (value, out) => out.writeValue(value.degrees),
    deserialize: (input) => new Celsius(input.readValue() as number),
  };
  ipc = await InProcessCluster.create({ classes: [Money], serializations: { celsius } });
  module = await ipc.launchModule(described, { tasks: 4, threads: 4, workers: 4 });
});
afterAll(() => ipc.close());

test("clients are had at once, by module name, class or handle; what is unknown is told by the first call", async () => {
  const client: ClusterClient = ipc;
  const depot: DepotClient = client.clusterDepot("Clients", "*d");
  const pstate: PStateClient = client.clusterPState("Clients", "$$p");
  const query: QueryClient = client.clusterQuery("Clients", "echo");
  await depot.append(["k", "f", 1]);
  expect(await pstate.selectOne(Path.key("k", "f"))).toBe(1);
  expect(await query.invoke("x")).toBe("x");
  expect(await codeOf(ipc.clusterDepot("Nowhere", "*d").append(1))).toBe("MODULE_NOT_FOUND");
  expect(await codeOf(ipc.clusterPState("Clients", "$$none").select(Path.all()))).toBe("UNKNOWN_OBJECT");
  expect(await codeOf(ipc.clusterQuery("Clients", "none").invoke())).toBe("UNKNOWN_OBJECT");
});

test("select gives a list, selectOne exactly one value", async () => {
  for (const [f, n] of Object.entries({ a: 1, b: 2, c: 3 })) await module.depot("*d").append(["u", f, n]);
  const p = module.pstate("$$p");
  expect(await p.select(Path.key("u").mapVals())).toEqual([1, 2, 3]);
  expect(await p.select("u", Path.key("u").all())).toEqual([
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ]);
  expect(await p.select(Path.key("absent"))).toEqual([null]);
  expect(await p.select(Path.key("u").must("absent"))).toEqual([]);
  expect(await codeOf(p.selectOne(Path.key("u").mapVals()))).toBe("NOT_EXACTLY_ONE");
  expect(await codeOf(p.selectOne(Path.key("u").must("absent")))).toBe("NOT_EXACTLY_ONE");
  expect(await codeOf(p.select(Path.mapVals()))).toBe("KEY_REQUIRED");
  expect(await codeOf(p.selectOne(Path.key("u")))).toBe("STRUCTURE_NOT_A_VALUE");
});

test("functions in a client's path are refused, Ops are sent", async () => {
  const p = module.pstate("$$p");
  expect(await p.selectOne(Path.key("u").view(Ops.SIZE))).toBe(3);
  expect(await p.select(Path.key("u").mapVals().filterPred(Ops.IS_ODD))).toEqual([1, 3]);
  expect(
    await codeOf(
      p.select(
        Path.key("u")
          .mapVals()
          .filterPred((n: number) => n > 1),
      ),
    ),
  ).toBe("FUNCTION_IN_CLIENT_PATH");
  expect(await codeOf(p.select(Path.key("u").view((x: unknown) => x)))).toBe("FUNCTION_IN_CLIENT_PATH");
});

test("strings in client paths are data, even if they look like vars", async () => {
  await module.depot("*d").append(["*x", "$$y", 9]);
  expect(await module.pstate("$$p").selectOne(Path.key("*x", "$$y"))).toBe(9);
});

const values: [string, unknown, unknown?][] = [
  ["null", null],
  ["undefined, as null", undefined, null],
  ["a large integer", 2 ** 53],
  ["a fraction", -1.25],
  ["infinity", Number.POSITIVE_INFINITY],
  ["a bigint", 12n],
  ["a large bigint", 2n ** 80n],
  ["a string", "é\u{1f600}\u0000"],
  ["a date", new Date(123)],
  ["bytes", new Uint8Array([0, 255])],
  ["an Int32Array", new Int32Array([1, -1])],
  ["a map of maps", new Map<unknown, unknown>([[[1, "a"], new Map([["x", null]])]])],
  ["a set", new Set(["a", 1])],
  ["plain data with undefined", { a: undefined, b: [1, undefined] }, { b: [1, null] }],
  ["an instance of a known class", new Money("EUR", 5)],
  ["a value of a custom serialization", new Celsius(36.6)],
  ["a uuid", "01890a5d-ac96-774b-bcce-b302099a8057"],
];

test.each(values)(
  "%s keeps its kind through depots, ack returns, queries over workers",
  async (_name, value, expected = value) => {
    const wanted = (expected === undefined ? null : expected) as never;
    expect(await module.query("echo").invoke(value)).toEqual(wanted);
    const far = await module.query("echoFar").invoke(value);
    expect(far).toEqual(wanted);
    if (value instanceof Money) expect(far).toBeInstanceOf(Money);
    const acked = await module.depot("*any").append(value);
    expect(acked).toEqual(wanted === null ? {} : { s: wanted });
  },
);

class Stranger {
  readonly x = 1;
}

test.each([
  ["a function", () => 1],
  ["an instance of an unknown class", new Stranger()],
  ["an instance deep inside", { a: [new Stranger()] }],
  ["a symbol", Symbol("s")],
])("%s is NOT_SERIALIZABLE at the append and as an argument", async (_name, value) => {
  expect(await codeOf(module.depot("*any").append(value))).toBe("NOT_SERIALIZABLE");
  expect(await codeOf(module.query("echo").invoke(value))).toBe("NOT_SERIALIZABLE");
});

test("appendMany tells of each record", async () => {
  const result = await module.depot("*any").appendMany([1, null, "x"]);
  expect(result).toEqual({ appended: 3, ackReturns: [{ s: 1 }, {}, { s: "x" }], failures: [] });
});

test("append options: levels by name or constant", async () => {
  expect(await module.depot("*any").append(1, AckLevel.APPEND_ACK)).toEqual({});
  expect(await module.depot("*any").append(1, AckLevel.NONE)).toEqual({});
});
