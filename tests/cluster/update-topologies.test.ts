// Stream and microbatch topologies over updates of their module, in the middle of their work: every record counts once, by the old code or by the new.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  expr,
  Helpers,
  MicrobatchSourceOptions,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";

const size = { tasks: 8, threads: 4, workers: 2 };
const accounts = 20;

interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

/** `version` is what each record is counted under: nothing may be counted by two. */
class Bank extends RamaModule {
  constructor(
    readonly version: number,
    readonly failing: { reason: string | undefined } = { reason: undefined },
  ) {
    super();
  }

  define(setup: Setup, topologies: Topologies): void {
    const { version, failing } = this;
    const check = () => {
      if (failing.reason !== undefined) throw new Error(failing.reason);
    };
    setup.declareDepot("*transfers", Depot.random());
    const m = topologies.microbatch("micro");
    m.pstate("$$balance", PState.mapSchema(Number, Number));
    m.pstate("$$byVersion", PState.mapSchema(Number, Number)).global();
    m.source("*transfers", MicrobatchSourceOptions.startFromBeginning())
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ from: "*from", to: "*to", amount: "*amount" })
      .each(check)
      .hashPartition("*from")
      .compoundAgg("$$balance", CompoundAgg.map("*from", Agg.sum(expr(Ops.MINUS, 0, "*amount"))))
      .hashPartition("*to")
      .compoundAgg("$$balance", CompoundAgg.map("*to", Agg.sum("*amount")))
      .globalPartition()
      .compoundAgg("$$byVersion", CompoundAgg.map(version, Agg.count()));
    const s = topologies.stream("stream");
    s.pstate("$$seen", PState.mapSchema(Number, Number));
    s.source("*transfers", StreamSourceOptions.startFromBeginning())
      .out({ amount: "*amount" })
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .compoundAgg("$$seen", CompoundAgg.map("*task", Agg.sum("*amount")));
  }
}

const transfer = (i: number): Transfer => ({ from: i % accounts, to: (i * 7 + 3) % accounts, amount: 1 + (i % 5) });

/** Balances as a fold over what is stored. */
async function expected(module: LaunchedModule) {
  const balances = Array.from({ length: accounts }, () => 0);
  const seen: number[] = [];
  let stored = 0;
  for (let partition = 0; partition < size.tasks; partition++) {
    const { endOffset } = await module.depot("*transfers").getPartitionInfo(partition);
    seen[partition] = 0;
    for (const { from, to, amount } of (await module.depot("*transfers").read(partition, 0, endOffset)) as Transfer[]) {
      balances[from]! -= amount;
      balances[to]! += amount;
      seen[partition] += amount;
      stored++;
    }
  }
  return { balances, seen, stored };
}

async function check(module: LaunchedModule): Promise<Record<string, number>> {
  const { balances, seen, stored } = await expected(module);
  await module.waitForProcessed("micro", stored, 20_000);
  await module.waitForProcessed("stream", stored, 20_000);
  const found = await Promise.all(
    balances.map((_, account) => module.pstate("$$balance").selectOne<number>(Path.key(account))),
  );
  expect(found.map((balance) => balance ?? 0)).toEqual(balances);
  const keys = Helpers.genHashingIndexKeys(size.tasks) as string[];
  const streamed = await Promise.all(
    seen.map((_, task) => module.pstate("$$seen").selectOne<number>(keys[task], Path.key(task))),
  );
  expect(streamed.map((sum) => sum ?? 0)).toEqual(seen);
  const versions = (await module.pstate("$$byVersion").select(Path.all())) as [number, number][];
  expect(versions.reduce((sum, [, count]) => sum + count, 0)).toBe(stored);
  return Object.fromEntries(versions);
}

test("updates under load: each transfer is applied exactly once, by one version", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(new Bank(0), size);
  let stopped = false;
  let appended = 0;
  const lanes = [0, 1, 2, 3].map(async (lane) => {
    for (let i = lane; !stopped; i += 4) {
      await module.depot("*transfers").append(transfer(i), "appendAck");
      appended++;
    }
  });
  for (let version = 1; version <= 5; version++) {
    const before = appended;
    await module.waitForProcessed("micro", before + 1);
    await module.update(new Bank(version));
  }
  await module.waitForProcessed("micro", appended + 1);
  stopped = true;
  await Promise.all(lanes);
  const versions = await check(module);
  expect(Object.keys(versions).length).toBe(6);
});

test("what fails under the old code is done by the new, with the same records, once", async () => {
  await using ipc = await InProcessCluster.create();
  const failing: { reason: string | undefined } = { reason: undefined };
  const module = await ipc.launchModule(new Bank(1, failing), size);
  for (let i = 0; i < 30; i++) await module.depot("*transfers").append(transfer(i), "appendAck");
  await module.waitForProcessed("micro", 30);
  failing.reason = "a bug";
  for (let i = 30; i < 50; i++) await module.depot("*transfers").append(transfer(i), "appendAck");
  const stuck = await module.waitForProcessed("micro", 50, 100).catch((error: Error) => error.message);
  expect(stuck).toContain("a bug");
  await module.update(new Bank(2));
  expect(await check(module)).toEqual({ 1: 30, 2: 20 });
});

test("an update that fails in the middle of the work leaves the old version at it", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(new Bank(1), size);
  for (let i = 0; i < 20; i++) await module.depot("*transfers").append(transfer(i), "appendAck");
  class Broken extends Bank {
    override define(setup: Setup, topologies: Topologies): void {
      super.define(setup, topologies);
      setup.declareObject("*service", () => ({
        prepareForTask() {
          throw new Error("no such service");
        },
      }));
    }
    override getModuleName(): string {
      return "Bank";
    }
  }
  const refused = await module.update(new Broken(2)).catch((error: Error) => error.message);
  expect(refused).toMatch(/\*service on task \d: no such service/);
  for (let i = 20; i < 40; i++) await module.depot("*transfers").append(transfer(i), "appendAck");
  expect(await check(module)).toEqual({ 1: 40 });
});
