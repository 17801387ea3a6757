// Transfers by microbatch on two worker processes that are killed under load: money is neither made nor lost, and every transfer has one outcome. Guards
// prepare, decide and apply over processes, with the compiled executable on a real disk.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { root, unpackedRelease, until } from "./built-release.ts";

const users = 10;

test("transfers over two workers stay exact when either or both are killed", async () => {
  await using unpacked = unpackedRelease();
  const { cluster } = unpacked;
  await cluster.startAll();
  const module = join(root, "examples/bank-transfers.ts");
  const name = "BankTransfers";
  const parallel = ["--tasks", "8", "--threads", "4", "--workers", "2"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", module, "--module", name, ...parallel);
  expect(deployed.err).toBe("");
  expect(deployed.code).toBe(0);
  const manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const deposits = manager.clusterDepot(name, "*deposits");
  const transfers = manager.clusterDepot(name, "*transfers");
  const funds = manager.clusterPState<number>(name, "$$funds");
  const outcomes = manager.clusterPState<string>(name, "$$outcomes");
  const user = (i: number) => `user-${i % users}`;
  for (let i = 0; i < users; i++) await deposits.append({ user: user(i), amount: 1000 });
  const balance = async () => {
    const all = await Promise.all(Array.from({ length: users }, (_, i) => funds.selectOne(Path.key(user(i)))));
    return all.map((each) => each ?? 0);
  };
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  await until("the deposits", async () => sum(await balance()) === users * 1000);

  const sent: { id: string; from: string; to: string; amount: number }[] = [];
  let stop = false;
  const lane = async (n: number) => {
    for (let i = 0; !stop; i++) {
      const transfer = { id: `${n}-${i}`, from: user(n * 3 + i), to: user(n + i * 7 + 1), amount: 1 + (i % 5) };
      try {
        await transfers.append(transfer);
      } catch (error) {
        // It may be stored: sent again it has the same id, and is done once.
        const { code } = error as { code?: string };
        if (code !== "APPEND_OUTCOME_UNKNOWN" && code !== "TIMEOUT") throw error;
        i--;
        continue;
      }
      sent.push(transfer);
    }
  };
  const lanes = [0, 1, 2, 3].map(lane);
  const more = async (count: number) => {
    const wanted = sent.length + count;
    await until(`${count} more transfers`, () => sent.length >= wanted);
  };
  await more(200);
  for (let round = 0; round < 3; round++) {
    const pids = cluster.workerPids();
    expect(pids.length).toBe(2);
    for (const pid of round === 2 ? pids : [pids[round]!]) process.kill(pid, "SIGKILL");
    await more(200);
    await until("two workers", () => cluster.workerPids().length === 2);
  }
  stop = true;
  await Promise.all(lanes);

  const outcomeOf = (id: string) => outcomes.selectOne(Path.key(id));
  const open = async () => {
    const all = await Promise.all(sent.map(({ id }) => outcomeOf(id)));
    return all.filter((each) => each !== "done" && each !== "refused").length;
  };
  await until("all outcomes", async () => (await open()) === 0, 90_000);
  const wanted = new Map(Array.from({ length: users }, (_, i) => [user(i), 1000]));
  for (const { id, from, to, amount } of sent) {
    if ((await outcomeOf(id)) !== "done") continue;
    wanted.set(from, wanted.get(from)! - amount);
    wanted.set(to, wanted.get(to)! + amount);
  }
  await until("the last microbatch on both workers", async () => sum(await balance()) === users * 1000);
  expect(await balance()).toEqual([...wanted.values()]);
  await manager.close();
}, 240_000);
