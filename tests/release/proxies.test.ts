// Proxies in a real cluster: over a module update and over killed worker processes they stay active, and every one ends at the value that is stored, without a step back.
// Guards subscribing anew, the resync with what changed meanwhile, and callbacks in order.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, type ProxyState, RamaClusterManager } from "../../src/client.ts";
import { unpackedRelease, until } from "./built-release.ts";

const userModule = `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class WatchedModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const s = topologies.stream("counts");
    s.pstate("$$counts", PState.mapSchema(String, Number));
    s.source("*events").out({ key: "*key" }).compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
  }
}`;

const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`);

test("proxies follow their values over an update and over killed workers", async () => {
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  writeFileSync(join(home, "watched.ts"), userModule);
  const launch = ["--action", "launch", "--jar", "watched.ts", "--tasks", "4", "--threads", "4", "--workers", "2"];
  expect(await cluster.rama("deploy", ...launch)).toMatchObject({ code: 0, err: "" });
  const manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const events = manager.clusterDepot("WatchedModule", "*events");
  const counts = manager.clusterPState<number>("WatchedModule", "$$counts");
  const proxies: ProxyState<number>[] = [];
  const seen = new Map<string, number[]>(keys.map((key) => [key, []]));
  const kinds = new Set<string>();
  for (const key of keys) {
    const proxy = await counts.proxy<number>(Path.key(key), (value, diff) => {
      seen.get(key)!.push(value ?? 0);
      kinds.add(diff.kind);
    });
    proxies.push(proxy);
  }

  let stop = false;
  const appended = new Map<string, number>(keys.map((key) => [key, 0]));
  const appending = (async () => {
    for (let i = 0; !stop; i++) {
      const key = keys[i % keys.length]!;
      try {
        await events.append({ key }, "appendAck");
        appended.set(key, appended.get(key)! + 1);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== "APPEND_OUTCOME_UNKNOWN" && code !== "TIMEOUT") throw error;
      }
      await Bun.sleep(2);
    }
  })();
  const follow = async (what: string) => {
    const at = proxies.map((proxy) => proxy.get() ?? 0);
    await until(`new values of all proxies ${what}`, () => proxies.every((proxy, i) => (proxy.get() ?? 0) > at[i]!));
  };
  await follow("after the launch");
  expect(await cluster.rama("deploy", "--action", "update", "--jar", "watched.ts")).toMatchObject({ code: 0, err: "" });
  await follow("after the update");
  for (let round = 0; round < 3; round++) {
    await until("two workers", () => cluster.workerPids().length === 2);
    const pids = cluster.workerPids();
    for (const pid of round === 2 ? pids : [pids[round]!]) process.kill(pid, "SIGKILL");
    await until("others in their place", () => cluster.workerPids().every((pid) => !pids.includes(pid) || round < 2));
    await follow(`after kill ${round}`);
  }
  stop = true;
  await appending;

  for (const [i, key] of keys.entries()) {
    await until("the last value", async () => proxies[i]!.get() === (await counts.selectOne<number>(Path.key(key))));
    expect(proxies[i]!.getStatus()).toBe("ACTIVE");
    expect(proxies[i]!.get()!).toBeGreaterThanOrEqual(appended.get(key)!);
    const values = seen.get(key)!;
    for (let at = 1; at < values.length; at++) expect(values[at]!).toBeGreaterThanOrEqual(values[at - 1]!);
    expect(values.at(-1)).toBe(proxies[i]!.get());
  }
  expect(kinds.has("resync")).toBe(true);
  expect(kinds.has("ungracefulTermination")).toBe(false);
  for (const proxy of proxies) await proxy.close();
  await manager.close();
}, 240_000);
