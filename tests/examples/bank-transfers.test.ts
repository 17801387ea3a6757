// The example as its reader would use it.
import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { BankTransfers } from "../../examples/bank-transfers.ts";

test.each([
  { tasks: 4, threads: 2, workers: 1 },
  { tasks: 8, threads: 4, workers: 2 },
])("transfers are paid once, and only by who can pay: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(BankTransfers, launch);
  const funds = async (user: string) => (await module.pstate<number>("$$funds").selectOne(Path.key(user))) ?? 0;
  const outcome = (id: string) => module.pstate<string>("$$outcomes").selectOne(Path.key(id));
  await module.depot("*deposits").append({ user: "ann", amount: 100 });
  await module.waitForProcessed("bank", 1);
  const transfers = module.depot("*transfers");
  await transfers.append({ id: "t1", from: "ann", to: "bob", amount: 60 });
  await transfers.append({ id: "t2", from: "ann", to: "cy", amount: 60 });
  await module.waitForProcessed("bank", 3);
  await Promise.all([
    transfers.append({ id: "t1", from: "ann", to: "bob", amount: 10 }),
    transfers.append({ id: "t4", from: "ann", to: "bob", amount: 1 }),
    transfers.append({ id: "t4", from: "ann", to: "bob", amount: 1 }),
  ]);
  await transfers.append({ id: "t3", from: "bob", to: "ann", amount: 5 });
  await module.waitForProcessed("bank", 7);
  expect([await outcome("t1"), await outcome("t2"), await outcome("t3")]).toEqual(["done", "refused", "done"]);
  expect([await funds("ann"), await funds("bob"), await funds("cy")]).toEqual([44, 56, 0]);
});
