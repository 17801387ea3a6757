// Microbatches, queries and proxies of a replicated module while leaders are killed. Guards exactly-once over leader changes, and copies that stop following.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { RamaError } from "../../src/base/errors.ts";
import { compileModule } from "../../src/dataflow/compile.ts";
import { defineModule } from "../../src/module/build.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";
import { ReplicatedModule } from "../../src/testing/replicated-module.ts";
import { waitFor } from "../../src/testing/wait-for.ts";

const accounts = ["a", "b", "c", "d", "e"];

class Bank extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*transfers", Depot.random());
    const mb = topologies.microbatch("bank");
    mb.pstate("$$funds", PState.mapSchema(String, Number));
    mb.pstate("$$seen", PState.mapSchema(Number, Number));
    mb.source("*transfers")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ id: "*id", from: "*from", to: "*to", amt: "*amt" })
      .hashPartition("*id")
      .compoundAgg("$$seen", CompoundAgg.map("*id", Agg.count()))
      .hashPartition("*from")
      .localTransform("$$funds", Path.key("*from").nullToVal(0).term(Ops.MINUS, "*amt"))
      .hashPartition("*to")
      .localTransform("$$funds", Path.key("*to").nullToVal(0).term(Ops.PLUS, "*amt"));
    topologies
      .query("total")
      .out("*total")
      .allPartition()
      .localSelect("$$funds", Path.mapVals())
      .out("*amount")
      .originPartition()
      .agg(Agg.sum("*amount"))
      .out("*total");
  }
}

test("over leader changes every transfer counts once, the total stays, and a proxy goes on following", async () => {
  const failures: unknown[] = [];
  const world = new MemoryWorld({ onFailure: (name, error) => failures.push({ name, error }) });
  const definition = defineModule(new Bank());
  const replicated = await ReplicatedModule.launch({
    world,
    module: compileModule(definition),
    tasks: 4,
    threads: 4,
    workers: 2,
    replicationFactor: 2,
    hosts: ["n0", "n1", "n2", "n3"],
    settings: [{ scope: "module", object: "", name: "topology.microbatch.empty.sleep.time.millis", value: 50 }],
    onBroken: (host, error) => failures.push({ host, error }),
  });
  const core = replicated.client();
  const depot = core.depot(definition.name, "*transfers");
  const funds = core.pstate(definition.name, "$$funds");
  const seen = core.pstate(definition.name, "$$seen");
  const total = core.query<number | null>(definition.name, "total");
  const proxy = await funds.proxy(Path.key("a"));
  let next = 0;
  let stop = false;
  const maybe = new Set<number>();
  const acked = new Set<number>();
  const load = Array.from({ length: 4 }, async () => {
    while (!stop) {
      const id = next++;
      const transfer = { id, from: accounts[id % 5]!, to: accounts[(id * 3 + 1) % 5]!, amt: 1 + (id % 7) };
      try {
        await depot.append(transfer, "appendAck");
        acked.add(id);
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        if (error.code === "APPEND_OUTCOME_UNKNOWN") maybe.add(id);
        else if (error.code !== "IN_SYNC_TOO_SMALL") throw error;
      }
    }
  });
  const until = (what: string, condition: () => boolean | Promise<boolean>) =>
    waitFor(condition, {
      env: world.env,
      timeoutMs: 60_000,
      what,
      present: () =>
        JSON.stringify([failures, [0, 1, 2, 3].flatMap((g) => [0, 1, 2, 3].map((w) => replicated.statusOf(w, g)))]),
    });
  const allInSync = () =>
    [0, 1, 2, 3].every((group) => {
      const leader = replicated.leaderOf(group);
      return leader !== undefined && replicated.statusOf(leader, group)?.inSync.length === 2;
    });
  await until("all replicas in sync", allInSync);
  for (let round = 0; round < 4; round++) {
    const before = acked.size;
    await until("appends", () => acked.size > before + 50);
    const victim = replicated.leaderOf(round % 4)!;
    replicated.kill(victim, { powerCut: round % 2 === 0 });
    await until("appends after the kill", () => acked.size > before + 100);
    await replicated.start(victim);
    await until("all replicas in sync", allInSync);
  }
  stop = true;
  await Promise.all(load);
  const ids = [...acked];
  const countOf = (id: number) => seen.selectOne<number | null>(Path.key(id));
  await until("every transfer to be processed", async () => {
    for (const id of ids.slice(-20)) if ((await countOf(id)) === null) return false;
    return true;
  });
  for (const id of ids) expect([id, await countOf(id)]).toEqual([id, 1]);
  for (const id of maybe) expect([null, 1]).toContain(await countOf(id));
  expect(await total.invoke()).toBe(0);
  const a = await funds.selectOne<number>(Path.key("a"));
  await until("the proxy to have what is there", () => proxy.get() === a);
  await proxy.close();
  await core.close();
  await replicated.close();
  expect(failures).toEqual([]);
}, 120_000);
