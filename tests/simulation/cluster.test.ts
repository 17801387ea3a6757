// A whole cluster in the simulated world: it runs, it forgets nothing that was acknowledged, and it is the same again from the same seed.
import { expect, test } from "bun:test";
import { Path } from "rama";
import { SimulatedCluster } from "../../src/simulation/cluster.ts";
import { LedgerModule } from "../../src/simulation/swarm/modules.ts";

async function live(seed: number): Promise<{ hash: string; count: number; failures: unknown[]; left: string[] }> {
  const cluster = new SimulatedCluster({ seed, nodes: 2 });
  cluster.start();
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 4, threads: 4, workers: 2 }));
  const client = await cluster.complete(cluster.client());
  const events = client.clusterDepot("Ledger", "*events");
  for (let id = 0; id < 20; id++) {
    if (id === 5) {
      cluster.powerCut("node-2");
      cluster.world.env.setTimer(700, () => cluster.powerOn("node-2"));
    }
    if (id === 8) cluster.workers[0]?.kill();
    await cluster.complete(events.append({ id, key: "k", to: `k${id}` }, "appendAck"));
  }
  const counts = client.clusterPState("Ledger", "$$counts");
  const count = await cluster.complete(counts.selectOne<number>(Path.key("k")));
  const left = await cluster.stop();
  return { hash: cluster.world.env.traceHash, count, failures: cluster.world.failures, left };
}

test("a simulated cluster loses nothing that it acknowledged over power cuts and killed workers, and ends in order", async () => {
  const { count, failures, left } = await live(3);
  expect(count).toBe(20);
  expect(failures).toEqual([]);
  expect(left).toEqual([]);
});

test("the same seed gives the same trace, another seed another one", async () => {
  const first = await live(4);
  const again = await live(4);
  expect(again.hash).toBe(first.hash);
  expect((await live(5)).hash).not.toBe(first.hash);
});

test("a wall clock that jumps by a day kills no worker, and keeps none that has died from being started again", async () => {
  const cluster = new SimulatedCluster({ seed: 9 });
  cluster.start();
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 2, threads: 2 }));
  await cluster.run(5_000);
  const [first] = cluster.workers;
  const host = cluster.world.host("node-1");
  host.clockOffsetMs += 86_400_000;
  await cluster.run(20_000);
  expect(cluster.workers).toEqual([first!]);
  host.clockOffsetMs -= 2 * 86_400_000;
  first!.kill();
  await cluster.run(5_000);
  expect(cluster.workers).toHaveLength(1);
  await cluster.stop();
});

test("a supervisor that was stopped together with its workers does not take its absence for their silence", async () => {
  const cluster = new SimulatedCluster({ seed: 10 });
  cluster.start();
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 2, threads: 2 }));
  await cluster.run(5_000);
  const [worker] = cluster.workers;
  const all = [worker!, cluster.daemon("supervisor", "node-1")!];
  for (const process of all) process.pause();
  await cluster.run(60_000);
  for (const process of all.reverse()) process.resume();
  await cluster.run(20_000);
  expect(cluster.workers).toEqual([worker!]);
  await cluster.stop();
});

test("a module is destroyed though a node is away; what that node has goes when it is back", async () => {
  const cluster = new SimulatedCluster({ seed: 11, nodes: 2 });
  cluster.start();
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 4, threads: 4, workers: 2 }));
  cluster.powerCut("node-2");
  await cluster.complete(cluster.destroy("Ledger"));
  // The name is free again.
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 2, threads: 1 }));
  await cluster.complete(cluster.destroy("Ledger"));
  cluster.powerOn("node-2");
  await cluster.run(20_000);
  expect(cluster.workers).toEqual([]);
  for (const node of cluster.nodes) {
    const { disk } = cluster.world.host(node);
    for (const dir of ["workers", "data"]) expect(disk.list(`/rama/local-rama-data/supervisor/${dir}`)).toEqual([]);
  }
  expect(cluster.world.failures).toEqual([]);
  await cluster.stop();
});
