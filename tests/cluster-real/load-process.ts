// The load of a case, in a process outside of the nodes: clients that append to a depot and to a bank while machines fail, and the check of both in the end.
//   bun tests/cluster-real/load-process.ts CONDUCTOR PORT TASKS TAG      talks to `load.ts` by messages: { say } in, { count, … } out
import { RamaClusterManager } from "../../src/client.ts";
import { Bank } from "./bank.ts";
import { Ledger } from "./ledger.ts";
import type { LoadReport, LoadWord } from "./load.ts";
import { moduleName } from "./module.ts";
import { Lanes } from "./lanes.ts";

const [host, port, tasks, tag] = process.argv.slice(2) as [string, string, string, string];
const manager = await RamaClusterManager.open({ "conductor.host": host, "conductor.port": Number(port) });
const on = { manager, module: moduleName, tasks: Number(tasks), tag };
const lanes = new Lanes();
const ledger = await Ledger.open(on, lanes);
const bank = await Bank.open(on, lanes);
const send = (report: LoadReport) => process.send!(report);

process.on("disconnect", () => process.exit(1));
process.on(
  "message",
  (word: LoadWord) => void obey(word).catch((error) => send({ kind: "failed", why: String(error.stack ?? error) })),
);
lanes.failed.catch((error) => send({ kind: "failed", why: String(error.stack ?? error) }));
const telling = setInterval(() => send({ kind: "count", count: lanes.acked }), 50);
send({ kind: "count", count: 0 });

async function obey(word: LoadWord): Promise<void> {
  if (word === "phase") {
    send({ kind: "phase", ...lanes.nextPhase() });
    return;
  }
  clearInterval(telling);
  await lanes.end();
  const found = [await ledger.check(), await bank.check()];
  const sum = (of: (part: (typeof found)[number]) => number) => found.reduce((total, part) => total + of(part), 0);
  const { acked, unknown, refused } = lanes;
  const result = {
    acked,
    unknown,
    refused,
    lost: sum((f) => f.lost),
    doubled: sum((f) => f.doubled),
    wrong: found.flatMap((f) => f.wrong),
  };
  send({ kind: "result", ...result });
  await manager.close();
  process.exit(0);
}
