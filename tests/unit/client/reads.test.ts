// The client's half of reads: which partition is asked, what is sent of a path, and what is refused before anything is sent.
import { describe, expect, test } from "bun:test";
import { taskOf } from "../../../src/base/hash.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { Path } from "../../../src/paths/path.ts";
import { codeOf, FakeCluster } from "../../fake-engine.ts";

async function started(settings: Record<string, unknown> = {}) {
  const cluster = new FakeCluster();
  cluster.data = { a: 1, b: [1, 2, 3], m: { x: 1, y: 2 }, "*var": "data" };
  await cluster.listen();
  return { cluster, ...cluster.client(settings) };
}

describe("select", () => {
  test("the first key chooses the partition, a partitioning key before the path wins", async () => {
    const { cluster, pstate } = await started();
    const map = pstate("$$map");
    expect(await map.selectOne(Path.key("a"))).toBe(1);
    expect(await map.select(Path.key("b").all())).toEqual([1, 2, 3]);
    expect(await map.selectOne("other", Path.key("task"))).toBe(taskOf("other", 4));
    expect(await map.selectOne(null, Path.key("task"))).toBe(taskOf(null, 4));
    expect(cluster.asked.map(({ task }) => task)).toEqual(["a", "b", "other", null].map((key) => taskOf(key, 4)));
  });

  test("paths of one shape are prepared once, whatever their arguments", async () => {
    const { cluster, pstate } = await started();
    const map = pstate("$$map");
    await Promise.all(["a", "b", "c"].map((key) => map.selectOne(Path.key(key))));
    await map.select("a", Path.filterPred(Ops.IS_NOT_NULL).mapVals().filterGreaterThan(0));
    expect(cluster.prepared.size).toBe(2);
    expect(cluster.asked.slice(0, 3).map(({ args }) => args)).toEqual([["a"], ["b"], ["c"]]);
  });

  test("strings of a client's path are data, also those that look like vars", async () => {
    const { pstate } = await started();
    expect(await pstate("$$map").selectOne(Path.key("*var"))).toBe("data");
  });

  test("more shapes than a connection keeps use its numbers again", async () => {
    const { pstate } = await started();
    const map = pstate("$$map");
    for (let n = 0; n < 1100; n++) {
      let path = Path.key("b");
      for (let bit = 0; bit < 11; bit++) path = (n >> bit) & 1 ? path.filterNotEqual(n) : path.filterEqual([1, 2, 3]);
      expect(await map.select(path)).toHaveLength(1);
    }
    expect(await map.selectOne(Path.key("a"))).toBe(1);
  });

  test("a global PState takes any path; a partitioner of the module's own is asked for", async () => {
    const { cluster, pstate } = await started();
    expect(await pstate("$$global").selectOne(Path.view(Ops.GET, "a"))).toBe(1);
    expect(await pstate("$$own").selectOne(7, Path.key("task"))).toBe(3);
    expect(cluster.asked.map(({ task }) => task)).toEqual([0, 3]);
    expect(await pstate("$$global").getObjectInfo()).toEqual({ module: "M", name: "$$global", numPartitions: 1 });
  });

  test("what is wrong is told by code", async () => {
    const { pstate } = await started();
    const map = pstate("$$map");
    expect(await codeOf(map.select(Path.all()))).toBe("KEY_REQUIRED");
    expect(await codeOf(map.select(Path.key("a").filterPred((n: number) => n > 1)))).toBe("FUNCTION_IN_CLIENT_PATH");
    expect(await codeOf(map.selectOne(Path.key("b").all()))).toBe("NOT_EXACTLY_ONE");
    expect(await codeOf(map.selectOne("a" as unknown as Path))).toBe("BAD_ARGUMENTS");
    expect(await codeOf(pstate("$$private").select(Path.key("a")))).toBe("PRIVATE_PSTATE");
    expect(await codeOf(pstate("$$nope").select(Path.key("a")))).toBe("UNKNOWN_OBJECT");
  });
});

describe("invoke", () => {
  test("starts at the task of the hashed input, or anywhere", async () => {
    const { cluster, query } = await started();
    expect(await query("byKey").invoke("x", "key")).toEqual(new Map([["args", ["x", "key"]]]));
    await query("any").invoke();
    expect(cluster.asked).toEqual([
      { what: "invoke 5", task: taskOf("key", 4), args: ["x", "key"] },
      { what: "invoke 6", task: undefined, args: [] },
    ]);
  });

  test("a wrong number of arguments is refused; errors and silence are told", async () => {
    const { cluster, query } = await started({ "foreign.query.operation.timeout.millis": 60 });
    expect(await codeOf(query("byKey").invoke(1))).toBe("WRONG_ARGUMENT_COUNT");
    expect(await codeOf(query("byKey").invoke("boom", 1))).toBe("USER_CODE_FAILED");
    expect(await codeOf(query("byKey").invoke("never", 1))).toBe("TIMEOUT");
    expect(cluster.asked).toHaveLength(2);
  });

  test("a query whose worker goes away while it runs is not started again", async () => {
    const { cluster, query } = await started();
    const running = codeOf(query("byKey").invoke("never", 1));
    while (cluster.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await cluster.restart();
    expect(await running).toBe("CONNECTION_LOST");
    expect(cluster.asked).toHaveLength(1);
  });
});
