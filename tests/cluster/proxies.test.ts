// Proxies under disturbance: a worker that comes and goes, a cut, a copy that somebody damaged, limits, many at once. Guards that a proxy is never silently wrong.
import { expect, test } from "bun:test";
import { Depot, type Diff, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "../../src/index.ts";
import type { Env } from "../../src/base/env.ts";
import { systemEnv } from "../../src/base/env-system.ts";
import { ClassRegistry } from "../../src/base/values.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import { compileModule } from "../../src/dataflow/compile.ts";
import { defineModule } from "../../src/module/build.ts";
import { MemoryNetwork, MemoryTransport } from "../../src/net/transport-memory.ts";
import { applyDiff } from "../../src/paths/diff-apply.ts";
import { LaunchConfig } from "../../src/testing/launch-config.ts";
import { ModuleInstance } from "../../src/testing/module-instance.ts";
import { codeOf } from "../fake-engine.ts";

/** Records: { user, key, value } or, without value, a removal. */
class Boards extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*writes", Depot.hashBy("user"));
    setup.setLaunchPStateDynamicOption("$$boards", "pstate.reactivity.queue.limit", 3);
    setup.setLaunchModuleDynamicOption("pstate.proxy.limit", 3000);
    const s = topologies.stream("s");
    s.pstate("$$boards", PState.mapSchema(String, PState.mapSchema(String, Object)));
    s.source("*writes")
      .out({ user: "*user", key: "*key", value: "*value" })
      .localTransform("$$boards", Path.key("*user", "*key").termVal("*value"));
  }
}

/** An Env whose timers run so many times as fast. */
function fastEnv(times: number): Env {
  const env = systemEnv({ sink: () => {}, logLevel: "error" });
  return {
    ...env,
    monotonicMs: () => env.monotonicMs() * times,
    setTimer: (ms, fn) => env.setTimer(ms / times, fn),
    sleep: (ms, signal) => env.sleep(ms / times, signal),
  };
}

async function launched(launch = new LaunchConfig(4, 2, 1), env: Env = fastEnv(1)) {
  const network = new MemoryNetwork(env);
  const config = configOf({}, "test");
  const instance = new ModuleInstance({
    env,
    network,
    module: compileModule(defineModule(Boards), { classes: new ClassRegistry() }),
    instanceId: "m1",
    launch,
    config,
    classes: new ClassRegistry(),
    manualTicks: true,
    clusterRetriever: () => undefined,
    print: () => {},
  });
  await instance.open();
  const clients: ClientCore[] = [];
  const client = (host: string) => {
    const transport = new MemoryTransport(network, host);
    const core = new ClientCore({ env, transport, config, release: "0.1.0", fetchRoutes: async () => instance.routes });
    clients.push(core);
    return { boards: core.pstate("Boards", "$$boards"), writes: core.depot("Boards", "*writes"), core };
  };
  return {
    env,
    instance,
    network,
    client,
    async [Symbol.asyncDispose]() {
      for (const core of clients) await core.close();
      await instance.close();
    },
  };
}

async function settled(condition: () => boolean): Promise<void> {
  const deadline = Bun.nanoseconds() + 10e9;
  while (!condition() && Bun.nanoseconds() < deadline) await new Promise((resolve) => setImmediate(resolve));
  expect(condition()).toBe(true);
}

const map = (entries: Record<string, unknown>) => new Map(Object.entries(entries));

test("a worker that went and came back: a resync with what changed meanwhile, then diffs again", async () => {
  await using cluster = await launched();
  const { boards, writes } = cluster.client("client");
  await writes.append({ user: "ann", key: "a", value: 1 });
  const seen: [string, unknown][] = [];
  const proxy = await boards.proxy(Path.key("ann"), (now, diff) => void seen.push([diff.kind, now]));
  await cluster.instance.close();
  const during = writes.append({ user: "ann", key: "b", value: 2 });
  await cluster.instance.open();
  await during;
  await settled(() => proxy.get().size === 2);
  await writes.append({ user: "ann", key: "c", value: 3 });
  await settled(() => proxy.get().size === 3);
  const kinds = seen.map(([kind]) => kind);
  expect(kinds.slice(0, 2)).toEqual(["resync", "resync"]);
  expect(kinds.at(-1)).toBe("key");
  expect(proxy.getStatus()).toBe("ACTIVE");
});

test("a copy that was damaged is found by its checksum and fetched anew", async () => {
  await using cluster = await launched();
  const { boards, writes } = cluster.client("client");
  await writes.append({ user: "ann", key: "a", value: 1 });
  const seen: Diff[] = [];
  const proxy = await boards.proxy(Path.key("ann"), (_now, diff) => void seen.push(diff));
  proxy.get().set("damage", true);
  await writes.append({ user: "ann", key: "b", value: 2 });
  await settled(() => seen.length > 1);
  expect(seen.map(({ kind }) => kind)).toEqual(["resync", "resync"]);
  expect(proxy.get()).toEqual(map({ a: 1, b: 2 }));
});

test("a cut that outlasts the beats: the engine forgets the client, which finds out and resyncs", async () => {
  await using cluster = await launched(new LaunchConfig(2, 1, 1), fastEnv(100));
  const { boards } = cluster.client("client");
  const { writes } = cluster.client("writer");
  const kinds: string[] = [];
  const proxy = await boards.proxy(Path.key("ann"), (_now, diff) => void kinds.push(diff.kind));
  cluster.network.cut("client", "m1-w0");
  await cluster.env.sleep(100_000);
  await writes.append({ user: "ann", key: "a", value: 1 });
  cluster.network.heal("client", "m1-w0");
  await settled(() => proxy.get()?.size === 1);
  await writes.append({ user: "ann", key: "b", value: 2 });
  await settled(() => proxy.get()?.size === 2);
  expect(kinds.filter((kind) => kind === "resync").length).toBeGreaterThan(1);
  expect(kinds.at(-1)).toBe("key");
});

test("a subscriber whose connection is full gets what happened meanwhile as one diff", async () => {
  await using cluster = await launched(new LaunchConfig(2, 1, 1));
  const { boards } = cluster.client("client");
  const { writes } = cluster.client("writer");
  const kinds: string[] = [];
  const proxy = await boards.proxy(Path.key("ann"), (_now, diff) => void kinds.push(diff.kind));
  cluster.network.cut("client", "m1-w0");
  for (let i = 0; i < 20; i++) await writes.append({ user: "ann", key: `k${i}`, value: `${i}`.repeat(200_000) });
  cluster.network.heal("client", "m1-w0");
  await settled(() => proxy.get()?.size === 20);
  expect(proxy.get()).toEqual(await boards.selectOne(Path.key("ann")));
  expect(kinds.length).toBeLessThan(15);
  expect(kinds.at(-1)).toBe("keys");
});

test("more diffs than may wait for a callback become one resync", async () => {
  await using cluster = await launched();
  const { boards, writes } = cluster.client("client");
  const open = Promise.withResolvers<void>();
  const seen: [unknown, string, unknown][] = [];
  const proxy = await boards.proxy(Path.key("ann", "a"), async (now, diff, before) => {
    seen.push([before, diff.kind, now]);
    if (now === 1) await open.promise;
  });
  for (let i = 1; i <= 10; i++) {
    await writes.append({ user: "ann", key: "a", value: i });
    await settled(() => proxy.get() === i);
  }
  open.resolve();
  await settled(() => seen.at(-1)?.[2] === 10);
  expect(seen).toEqual([
    [null, "resync", null],
    [null, "newValue", 1],
    [1, "resync", 10],
  ]);
});

test("a thousand proxies of random keys follow random writes exactly, on two workers", async () => {
  await using cluster = await launched(new LaunchConfig(8, 4, 2));
  const { boards, writes } = cluster.client("client");
  const { writes: others } = cluster.client("writer");
  const user = (i: number) => `user${i % 50}`;
  const wrong: unknown[] = [];
  const proxies = await Promise.all(
    Array.from({ length: 1000 }, (_, i) =>
      boards.proxy<Map<string, unknown> | null>(Path.key(user(i)), (now, diff, before) => {
        if (diff.kind === "resync") return;
        const led = applyDiff(before ?? new Map(), diff);
        if (!Bun.deepEquals(led, now)) wrong.push([before, diff, now]);
      }),
    ),
  );
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  await Promise.all(
    Array.from({ length: 2000 }, () => {
      const value = [random(3), [random(2), random(2)], { n: random(2) }, new Map([["x", random(2)]])][random(4)];
      return (random(2) === 0 ? writes : others).append({ user: user(random(50)), key: `k${random(6)}`, value });
    }),
  );
  const last = await Promise.all(Array.from({ length: 50 }, (_, i) => boards.selectOne(Path.key(user(i)))));
  await settled(() => proxies.every((proxy, i) => Bun.deepEquals(proxy.get(), last[i % 50])));
  expect(wrong).toEqual([]);
  expect(new Set(proxies.map((proxy) => proxy.getStatus()))).toEqual(new Set(["ACTIVE"]));
});

test("more proxies than pstate.proxy.limit are refused", async () => {
  await using cluster = await launched(new LaunchConfig(2, 1, 1));
  const { boards } = cluster.client("client");
  const open = await Promise.all(Array.from({ length: 3000 }, (_, i) => boards.proxy(Path.key(`u${i}`))));
  expect(await codeOf(boards.proxy(Path.key("one more")))).toBe("OVERLOADED");
  await open[7]!.close();
  const again = await boards.proxy(Path.key("one more").view(Ops.SIZE));
  expect(again.get()).toBe(0);
});
