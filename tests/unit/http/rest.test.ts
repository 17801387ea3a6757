// REST as other programs see it: URLs, bodies, answers and errors, over a client that records what it is asked.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { restApp } from "../../../src/http/rest.ts";
import { Path } from "../../../src/paths/path.ts";

const asked: unknown[][] = [];
const app = restApp(
  {
    clusterDepot: (module: any, depot: string) =>
      ({
        append: async (...args: unknown[]) => {
          asked.push(["append", module, depot, ...args]);
          if (args[0] === "bad") throw new RamaError("OVERLOADED", "slow down");
          return { banking: new Map([["a", 17n]]) };
        },
      }) as any,
    clusterPState: (module: any, pstate: string) => {
      const run =
        (name: string, answer: unknown) =>
        async (...args: unknown[]) => {
          asked.push([name, module, pstate, ...args]);
          return answer;
        };
      return { select: run("select", [1, new Set([2])]), selectOne: run("selectOne", Number.NaN) } as any;
    },
    clusterQuery: (module: any, query: string) =>
      ({
        invoke: async (...args: unknown[]) => {
          asked.push(["invoke", module, query, ...args]);
          return { sum: 3 };
        },
      }) as any,
  },
  { bodyBytesMax: 1000 },
);

async function post(path: string, body: string): Promise<{ status: number; json: any }> {
  const response = await app(
    new Request(`http://node${path}`, { method: "POST", body, headers: { "content-type": "text/plain" } }),
  );
  return { status: response.status, json: await response.json() };
}

test("append takes data and level and answers with ack returns", async () => {
  asked.length = 0;
  const answer = await post("/rest/com.x%2FM/depot/*d/append", '{"data": {"n": "#__L9007199254740993"}}');
  expect(answer).toEqual({ status: 200, json: { banking: { a: 17 } } });
  await post("/rest/M/depot/*d/append", '{"data": null, "ackLevel": "none"}');
  expect(asked).toEqual([
    ["append", "com.x/M", "*d", { n: 9007199254740993n }, "ack"],
    ["append", "M", "*d", null, "none"],
  ]);
});

test("select and selectOne take JSON paths, with pkey as partitioning key", async () => {
  asked.length = 0;
  expect(await post("/rest/M/pstate/$$p/select", '["a", ["mapVals"], "#__fOps.IS_EVEN"]')).toEqual({
    status: 200,
    json: [1, [2]],
  });
  expect((await post("/rest/M/pstate/$$p/selectOne", '[["pkey", 7], ["key", "a", "b"]]')).json).toBe(null);
  const { Ops } = await import("../../../src/dataflow/ops.ts");
  expect((asked[0]![3] as Path).steps).toEqual(Path.key("a").mapVals().filterPred(Ops.IS_EVEN).steps);
  expect(asked[1]![3]).toBe(7);
  expect((asked[1]![4] as Path).steps).toEqual(Path.key("a", "b").steps);
});

test("invoke takes the list of arguments", async () => {
  asked.length = 0;
  expect(await post("/rest/M/query/q/invoke", '["x", 2]')).toEqual({ status: 200, json: { sum: 3 } });
  expect(asked).toEqual([["invoke", "M", "q", "x", 2]]);
});

test("errors carry code, message, advice and whether to try again, with the status of the code", async () => {
  expect(await post("/rest/M/depot/*d/append", '{"data": "bad"}')).toEqual({
    status: 503,
    json: { code: "OVERLOADED", message: "slow down", advice: expect.any(String), retryable: true },
  });
  expect((await post("/rest/M/depot/*d/append", "{")).status).toBe(400);
  expect((await post("/rest/M/depot/*d/append", '{"dada": 1}')).json.code).toBe("BAD_ARGUMENTS");
  expect((await post("/rest/M/depot/*d/append", '{"data": 1, "ackLevel": "loud"}')).json.code).toBe("BAD_ARGUMENTS");
  expect((await post("/rest/M/pstate/$$p/select", '[["nosuch"]]')).json.code).toBe("BAD_PATH");
  expect((await post("/rest/M/query/q/invoke", '"x"')).json.code).toBe("BAD_ARGUMENTS");
  expect((await post("/rest/M/nothing", "1")).status).toBe(404);
  expect(await post("/rest/M/depot/*d/append", `{"data": "${"x".repeat(2000)}"}`)).toMatchObject({
    status: 413,
    json: { code: "TOO_LARGE" },
  });
  expect((await app(new Request("http://node/rest/M/depot/*d/append"))).status).toBe(404);
});
