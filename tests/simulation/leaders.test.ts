// Who leads, in a whole simulated cluster: leaders that have gathered are spread again, a node can be kept free of them, and none of this is lost with the conductor.
// Guards against leaders that stay where a failure has left them, and operations that hang or leave a module in a state that is none.
import { expect, test } from "bun:test";
import { Path } from "rama";
import type { RamaError } from "../../src/base/errors.ts";
import {
  ALLOW_LEADERS,
  CLUSTER_STATUS,
  type ClusterStatusAnswer,
  DISALLOW_LEADERS,
  type LeadersAnswer,
  MODULE_STATUS,
  type ModuleStatusAnswer,
} from "../../src/protocol/conductor.ts";
import { SimulatedCluster } from "../../src/simulation/cluster.ts";
import { LedgerModule } from "../../src/simulation/swarm/modules.ts";

async function replicated(seed: number) {
  const cluster = new SimulatedCluster({ seed, nodes: 3 });
  cluster.start();
  await cluster.complete(cluster.launch(LedgerModule, { tasks: 8, threads: 6, replicationFactor: 3 }));
  const client = await cluster.complete(cluster.client());
  const events = client.clusterDepot("Ledger", "*events");
  const status = () => cluster.complete(cluster.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "Ledger" }));
  /** Leaders by supervisor. */
  const leaders = async () => {
    const { module, groups } = await status();
    const placement = module.instances[0]!.placement;
    const counts = new Map(placement.map(({ supervisorId }) => [supervisorId, 0]));
    for (const group of groups) {
      if (group?.leader === null || group === null) continue;
      const { supervisorId } = placement.find(({ workerIndex }) => workerIndex === group.leader)!;
      counts.set(supervisorId, counts.get(supervisorId)! + 1);
    }
    return counts;
  };
  const inSync = async () =>
    (await status()).groups.every((group) => group?.inSync.length === 3 && group.leader !== null);
  const until = async (what: string, condition: () => Promise<boolean>) => {
    for (let i = 0; i < 600; i++) {
      if (await condition()) return;
      await cluster.run(200);
    }
    throw new Error(`it did not come to this: ${what}; ${JSON.stringify([...(await leaders())])}`);
  };
  await until("all in sync", inSync);
  const supervisorOf = async (node: string) => (await status()).workers.find(({ host }) => host === node)!.supervisorId;
  return { cluster, events, status, leaders, inSync, until, supervisorOf };
}

const even = (counts: ReadonlyMap<string, number>) => [...counts.values()].every((count) => count === 2);

test("leaders that have gathered while a node was away are spread again by the conductor, and no append fails by that", async () => {
  const { cluster, events, leaders, status, until } = await replicated(31);
  expect(even(await leaders())).toBe(true);
  cluster.powerCut("node-3");
  await until("the others lead all", async () => [...(await leaders()).values()].includes(0));
  cluster.powerOn("node-3");
  const appends: Promise<unknown>[] = [];
  let id = 0;
  await until("leaders to be spread", async () => {
    for (let i = 0; i < 5; i++, id++) appends.push(events.append({ id, key: "k", to: `k${id}` }, "ack"));
    return even(await leaders());
  });
  await cluster.complete(Promise.all(appends));
  await until("the module to be at rest", async () => (await status()).module.state === "[:running]");
  const entry = (await status()).log.findLast(({ operation }) => operation === "leadership balancing");
  expect(entry?.text).toBe("2 task groups handed over");
  await cluster.stop();
}, 60_000);

test("a node on which leaders are disallowed has none, elects none, and gets them back when they are allowed", async () => {
  const { cluster, leaders, inSync, until } = await replicated(32);
  const [first, second, third] = [...(await leaders()).keys()] as [string, string, string];
  const answer = await cluster.complete(cluster.call<LeadersAnswer>(DISALLOW_LEADERS, { supervisorId: first }, 60_000));
  expect(answer).toEqual({ moved: 2, stay: [] });
  const { leaderless } = await cluster.complete(cluster.call<ClusterStatusAnswer>(CLUSTER_STATUS, {}));
  expect(leaderless?.supervisorId).toBe(first);
  expect([...(await leaders())]).toEqual([
    [first, 0],
    [second, 3],
    [third, 3],
  ]);
  const refused = await cluster.complete(
    cluster.call(DISALLOW_LEADERS, { supervisorId: second }).catch((error: RamaError) => error.code),
  );
  expect(refused).toBe("LEADERS_DISALLOWED");
  await until("all in sync", inSync);
  // One of the two that lead ends: its groups go to the other one. All end: the first that is back may lead for a moment.
  const [, , one] = cluster.workers;
  one!.kill();
  await cluster.run(300);
  expect((await leaders()).get(first)).toBe(0);
  await until("all in sync again", inSync);
  for (const worker of cluster.workers) worker.kill();
  await cluster.run(5_000);
  await until("none there", async () => (await inSync()) && (await leaders()).get(first) === 0);
  await cluster.complete(cluster.call<LeadersAnswer>(ALLOW_LEADERS, { supervisorId: first }, 60_000));
  expect(even(await leaders())).toBe(true);
  await cluster.stop();
}, 60_000);

test("a node that shall lead nothing leads when it has the only replica in sync", async () => {
  const { cluster, leaders, inSync, until, supervisorOf } = await replicated(33);
  // The conductor's own node: it has to stay, to be asked.
  const first = await supervisorOf("node-1");
  await cluster.complete(cluster.call<LeadersAnswer>(DISALLOW_LEADERS, { supervisorId: first }, 60_000));
  await until("none there", async () => (await inSync()) && (await leaders()).get(first) === 0);
  const unknown = await cluster.complete(
    cluster.call(DISALLOW_LEADERS, { supervisorId: "nobody" }).catch((error: RamaError) => error.code),
  );
  expect(unknown).toBe("SUPERVISOR_NOT_FOUND");
  const away = cluster.nodes.slice(1);
  for (const node of away) cluster.powerCut(node);
  await until("the only node that is left leads", async () => [...(await leaders()).values()].includes(6));
  for (const node of away) cluster.powerOn(node);
  await cluster.stop();
}, 60_000);

test("a conductor that dies in the middle of a balancing goes on with it when it is back", async () => {
  const { cluster, leaders, status, until } = await replicated(34);
  const [, second] = [...(await leaders()).keys()] as [string, string];
  // Nobody waits for the answer: the conductor dies first.
  const call = cluster.call<LeadersAnswer>(DISALLOW_LEADERS, { supervisorId: second }, 60_000);
  call.catch(() => {});
  const { env, metastoreServer } = cluster.world;
  const record = () => new TextDecoder().decode(metastoreServer.find("/rama/modules/Ledger")!.data);
  await env.run(env.monotonicMs() + 5_000, () => record().includes("[:leadership-balancing]"));
  expect(record()).toContain("[:leadership-balancing]");
  cluster.daemon("conductor", "node-1")!.kill();
  await cluster.run(3_000);
  await until("none there", async () => (await leaders()).get(second) === 0);
  await until("the module to be at rest", async () => (await status()).module.state === "[:running]");
  await cluster.stop();
}, 60_000);

test("a node that stands still, conductor and all, delays appends by little more than its session's timeout, and shows nothing old when it goes on", async () => {
  const { cluster, events, inSync, until } = await replicated(35);
  const { env } = cluster.world;
  const append = (id: number) => events.append({ id, key: `key ${id % 16}`, to: `to ${id}` }, "ack");
  await cluster.complete(Promise.all(Array.from({ length: 64 }, (_, id) => append(id))));
  const counts = (await cluster.complete(cluster.client())).clusterPState("Ledger", "$$counts");
  const read = () =>
    cluster.complete(Promise.all(Array.from({ length: 16 }, (_, i) => counts.selectOne<number>(Path.key(`key ${i}`)))));
  expect(await read()).toEqual(new Array(16).fill(4));
  const stopped = [...cluster.world.host("node-1").processes.values()].filter((process) => process.alive);
  expect(stopped.length).toBe(3);
  const startMs = env.monotonicMs();
  for (const process of stopped) process.pause();
  await cluster.complete(Promise.all(Array.from({ length: 32 }, (_, id) => append(100 + id))));
  // zookeeper.session.timeout.millis is 5 s.
  expect(env.monotonicMs() - startMs).toBeLessThan(8_000);
  for (const process of stopped) process.resume();
  // This client has not heard of the new leaders: it asks the old ones first.
  expect(await read()).toEqual(new Array(16).fill(6));
  await until("all in sync", inSync);
  await cluster.stop();
}, 60_000);
