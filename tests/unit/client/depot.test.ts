// The client's half of appends: batching, order, tokens over reconnects, and the three ways in which an append can end.
import { describe, expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { taskOf } from "../../../src/base/hash.ts";
import { Appender } from "../../../src/client/appender.ts";
import { MemoryTransport } from "../../../src/net/transport-memory.ts";
import { GOODBYE } from "../../../src/protocol/table.ts";
import { codeOf, FakeCluster } from "../../fake-engine.ts";

async function started(settings: Record<string, unknown> = {}) {
  const cluster = new FakeCluster();
  await cluster.listen();
  return { cluster, ...cluster.client(settings) };
}

describe("batching and order", () => {
  test("appends of one turn to one partition leave in one frame, in call order", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("first");
    await Promise.all(["a", "b", "c"].map((record) => global.append(record)));
    expect(cluster.appends.map(({ records }) => records)).toEqual([["first"], ["a", "b", "c"]]);
    expect(cluster.appends.map(({ seq }) => seq)).toEqual([0, 1]);
  });

  test("records appended before the routes are known keep their order", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await Promise.all([1, 2, 3].map((record) => global.append(record)));
    expect(cluster.values(2)).toEqual([1, 2, 3]);
  });

  test("a field scheme goes by the hash of the field, a missing field like null, Maps by key", async () => {
    const { cluster, depot } = await started();
    const byUser = depot("*byUser");
    const records = [{ user: "ann" }, { user: 7 }, { other: 1 }, new Map([["user", "ann"]])];
    for (const record of records) await byUser.append(record);
    expect(cluster.appends.map(({ task }) => task)).toEqual(["ann", 7, null, "ann"].map((key) => taskOf(key, 4)));
  });

  test("an op scheme is evaluated by the client", async () => {
    const { cluster, depot } = await started();
    await depot("*byOp").append(["k", 1]);
    expect(cluster.appends[0]!.task).toBe(taskOf("k", 4));
  });

  test("a scheme of the module's own is asked for, and call order stays", async () => {
    const { cluster, depot } = await started();
    const own = depot("*own");
    await Promise.all([1, 2, 3, 4].map((n) => own.append({ own: 5, n })));
    expect(cluster.values(3)).toEqual([1, 2, 3, 4].map((n) => ({ own: 5, n })));
    expect(cluster.appends.every(({ task }) => task === taskOf(5, 4))).toBe(true);
  });

  test("a record that the module's scheme cannot take takes no others with it", async () => {
    const { cluster, depot } = await started();
    const own = depot("*own");
    const ends = await Promise.all([{ own: 1 }, { bad: 1 }, { own: 2 }].map((record) => codeOf(own.append(record))));
    expect(ends).toEqual(["resolved", "USER_CODE_FAILED", "resolved"]);
    expect(cluster.values(3)).toHaveLength(2);
  });
});

describe("how an append ends", () => {
  test("a refusal of what had been sent before and was not answered is no refusal: it may be stored", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("first");
    let sent = 0;
    cluster.onAppend = (_append, _records, reply) => {
      if (++sent === 1) void cluster.restart();
      else reply(new RamaError("DISK_FULL", "the disk is nearly full"), -1, null, null);
      return true;
    };
    expect(await codeOf(global.append("in doubt"))).toBe("APPEND_OUTCOME_UNKNOWN");
    expect(await codeOf(global.append("sent once"))).toBe("DISK_FULL");
  });

  test("a program that has got the engine's old port is no engine: the append finds the engine when it is back", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("first");
    cluster.stop();
    const stranger = new MemoryTransport(cluster.network, "server");
    let asked = 0;
    const listener = await stranger.listen({ host: "server", port: 7 }, (connection) => ({
      onFrame: () => {
        connection.send(Uint8Array.of(asked % 2 === 0 ? GOODBYE : 99, 1, 2, 3));
        if (++asked === 4) void listener.close().then(() => cluster.restart());
      },
      onClose: () => {},
    }));
    await global.append("second");
    expect(asked).toBe(4);
    expect(cluster.values(2)).toEqual(["first", "second"]);
  });

  test("ack level none resolves before the engine has answered", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("first");
    cluster.onAppend = () => true;
    expect(await global.append("x", "none")).toEqual({});
  });

  test("ack returns and failures belong to their records", async () => {
    const { cluster, depot } = await started();
    cluster.onAppend = (_append, records, reply) => {
      const failures = new Map([[1, new RamaError("PROCESSING_FAILED", "boom", { stored: true }, new Error("why"))]]);
      reply(
        null,
        0,
        records.map((record) => (record === "c" ? null : { t: record })),
        failures,
      );
      return true;
    };
    const global = depot("*global");
    const ends = await Promise.allSettled(["a", "b", "c"].map((record) => global.append(record)));
    expect(ends[0]).toEqual({ status: "fulfilled", value: { t: "a" } });
    expect(ends[2]).toEqual({ status: "fulfilled", value: {} });
    const failed = ends[1] as PromiseRejectedResult;
    expect(failed.reason).toMatchObject({ code: "PROCESSING_FAILED", facts: { stored: true } });
    expect((failed.reason.cause as Error).message).toBe("why");
  });

  test("what cannot be encoded or is too long is refused alone, before it is sent", async () => {
    const { cluster, depot } = await started({ "limit.record.bytes": 2000 });
    const global = depot("*global");
    await global.append("first");
    const ends = await Promise.all([
      codeOf(global.append(() => 1)),
      codeOf(global.append("x".repeat(3000))),
      codeOf(global.append("y".repeat(1500))),
      codeOf(global.append("good")),
    ]);
    expect(ends.slice(0, 2)).toEqual(["NOT_SERIALIZABLE", "TOO_LARGE"]);
    expect(ends[2]).toBe("TOO_LARGE"); // by the engine, whose limit is smaller
    await global.append("after");
    expect(cluster.values(2)).toContain("after");
  });

  test("unknown modules and depots, and depots that take no appends, are told by the first append", async () => {
    const { depot, context } = await started();
    expect(await codeOf(depot("*nope").append(1))).toBe("UNKNOWN_OBJECT");
    expect(await codeOf(depot("*disallow").append(1))).toBe("NOT_APPENDABLE");
    expect(await codeOf(context.routing.get("Other"))).toBe("MODULE_NOT_FOUND");
    expect(await codeOf(depot("*global").append(1, "loud" as "ack"))).toBe("BAD_ARGUMENTS");
  });

  test("an engine that never answers leaves the outcome unknown", async () => {
    const { cluster, depot } = await started({ "foreign.depot.operation.timeout.millis": 60 });
    cluster.onAppend = () => true;
    expect(await codeOf(depot("*global").append(1))).toBe("APPEND_OUTCOME_UNKNOWN");
  });

  test("a cluster that cannot be reached stores nothing and says so", async () => {
    const cluster = new FakeCluster();
    const { depot } = cluster.client({ "foreign.depot.operation.timeout.millis": 60 });
    const error = await depot("*global")
      .append(1)
      .then(undefined, (reason: RamaError) => reason);
    expect(error).toMatchObject({ code: "TIMEOUT", facts: { stored: false } });
  });

  test("an error of the engine reaches every record of its batch", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append(0);
    cluster.onAppend = (_append, _records, reply) => {
      reply(new RamaError("OVERLOADED", "too much"), -1, null, null);
      return true;
    };
    expect(await Promise.all([1, 2].map((n) => codeOf(global.append(n))))).toEqual(["OVERLOADED", "OVERLOADED"]);
  });

  test("appendMany tells failures by index and keeps the rest", async () => {
    const { cluster, depot } = await started();
    const result = await depot("*global").appendMany(["a", () => 1, "c"]);
    expect(result).toMatchObject({ appended: 2, ackReturns: null, failures: [{ index: 1 }] });
    expect(cluster.values(2)).toEqual(["a", "c"]);
    expect(await depot("*global").appendMany([])).toEqual({ appended: 0, ackReturns: null, failures: [] });
  });
});

test("a refused record leaves nothing behind that closing would wait for", async () => {
  const { context } = await started();
  const appender = new Appender(context, "M", "*global");
  await context.routing.get("M");
  const refused: string[] = [];
  const waiter = { appended: () => {}, notAppended: (_tag: number, error: RamaError) => refused.push(error.code) };
  appender.add(() => 1, "ack", waiter, 0);
  expect(refused).toEqual(["NOT_SERIALIZABLE"]);
  expect(appender.idle).toBe(true);
});

describe("trouble on the way", () => {
  test("after a restart everything unanswered is sent again with its token and lands once, in order", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append(0);
    let swallowed = 0;
    cluster.onAppend = () => {
      swallowed++;
      return true;
    };
    const rest: Promise<unknown>[] = [];
    for (let n = 1; n <= 5; n++) {
      rest.push(global.append(n));
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (swallowed < 5) await new Promise((resolve) => setImmediate(resolve));
    cluster.onAppend = () => false;
    await cluster.restart();
    await Promise.all(rest);
    expect(cluster.values(2)).toEqual([0, 1, 2, 3, 4, 5]);
    const seqs = cluster.appends.map(({ seq }) => seq);
    expect(seqs.slice(-5)).toEqual([1, 2, 3, 4, 5]);
  });

  test("a moved module is found again with fresh routes", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("a");
    cluster.routes = { ...cluster.routes, moduleInstanceId: "m2", version: 2 };
    await cluster.restart();
    await global.append("b");
    expect(cluster.values(2)).toEqual(["a", "b"]);
    expect(cluster.fetches).toBeGreaterThan(1);
  });

  test("reads of partitions go on over a restart", async () => {
    const { cluster, depot } = await started();
    const global = depot("*global");
    await global.append("a");
    expect(await global.getPartitionInfo(0)).toEqual({ startOffset: 0, endOffset: 1 });
    await cluster.restart();
    expect(await global.getPartitionInfo(0)).toEqual({ startOffset: 0, endOffset: 1 });
    expect(await codeOf(global.getPartitionInfo(1))).toBe("BAD_PARTITION");
    expect(await codeOf(global.read(0, 5, 3))).toBe("OFFSET_OUT_OF_RANGE");
    expect(await depot("*byUser").getObjectInfo()).toEqual({ module: "M", name: "*byUser", numPartitions: 4 });
  });
});

describe("more than the client may queue", () => {
  const outcomes = async (appends: readonly Promise<unknown>[]): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const end of await Promise.all(appends.map(codeOf))) counts[end] = (counts[end] ?? 0) + 1;
    return counts;
  };

  test("is OVERLOADED at once before the routes are known, and what was taken is appended", async () => {
    const { cluster, depot } = await started({ "foreign.depot.queued.bytes": 20_000 });
    const global = depot("*global");
    const ends = await outcomes(Array.from({ length: 1_000 }, (_, n) => global.append(n)));
    expect(Object.keys(ends).sort()).toEqual(["OVERLOADED", "resolved"]);
    expect(ends["resolved"]).toBeGreaterThan(100);
    expect(cluster.values(2)).toHaveLength(ends["resolved"]!);
    await global.append("later");
    expect(cluster.values(2).at(-1)).toBe("later");
  });

  test("is OVERLOADED once the pipe to the engine is full, says that nothing was appended, and keeps the order", async () => {
    const { cluster, depot } = await started({ "foreign.depot.queued.bytes": 1_000_000 });
    const global = depot("*global");
    await global.append("first");
    const text = "x".repeat(500);
    const appends = Array.from({ length: 20_000 }, (_, n) => global.append({ n, text }));
    const error = await Promise.all(appends).catch((e: RamaError) => e);
    expect(error).toMatchObject({ code: "OVERLOADED", facts: { stored: false } });
    const ends = await outcomes(appends);
    expect(Object.keys(ends).sort()).toEqual(["OVERLOADED", "resolved"]);
    const stored = cluster
      .values(2)
      .slice(1)
      .map((record) => (record as { n: number }).n);
    expect(stored).toHaveLength(ends["resolved"]!);
    expect(stored).toEqual([...stored].sort((a, b) => a - b));
  });
});
