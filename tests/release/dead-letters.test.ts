// A record that always fails, in a real cluster: by option of its source it is set aside, shown by `moduleStatus` and `rama deadLetters`, stays over a killed worker, and is
// processed after an update whose code can deal with it.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { unpackedRelease, until } from "./built-release.ts";

const userModule = (check: string) => `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class PickyModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const s = topologies.stream("work");
    s.pstate("$$seen", PState.mapSchema(String, Number));
    s.source("*events", { deadLetterAfter: 2 }).out("*event")
      .each((event) => { ${check} return event.key; }, "*event").out("*key")
      .compoundAgg("$$seen", CompoundAgg.map("*key", Agg.count()));
    const mb = topologies.microbatch("batch");
    mb.pstate("$$all", PState.mapSchema(String, Number));
    mb.source("*events", { deadLetterAfter: 2 }).out("*mb").explodeMicrobatch("*mb").out("*event")
      .each((event) => { ${check} return event.key; }, "*event").out("*key")
      .hashPartition("*key")
      .compoundAgg("$$all", CompoundAgg.map("*key", Agg.count()));
  }
}`;

test("a record that fails is set aside, and processed when the code can deal with it", async () => {
  await using release = unpackedRelease();
  const { cluster, home } = release;
  await cluster.startAll();
  writeFileSync(join(home, "picky.ts"), userModule("if (event.bad) throw new Error('no ' + event.key);"));
  const launch = ["--action", "launch", "--jar", "picky.ts", "--tasks", "4", "--threads", "2"];
  expect(await cluster.rama("deploy", ...launch)).toMatchObject({ code: 0, err: "" });
  const manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  try {
    const events = manager.clusterDepot("PickyModule", "*events");
    for (const key of ["a", "b", "c"]) await events.append({ key, bad: key === "b" }, "appendAck");
    const rama = async (...args: string[]) => JSON.parse((await cluster.rama(...args, "--json")).out);
    const letters = () => rama("deadLetters", "PickyModule");
    await until("both topologies set it aside", async () => (await letters()).length === 2);
    expect(await rama("deadLetters", "PickyModule", "list", "--topology", "work")).toMatchObject([
      { topology: "work", depot: "*events", offset: 0, failures: 2, record: '{"key":"b","bad":true}' },
    ]);
    expect((await cluster.rama("moduleStatus", "PickyModule")).out).toContain("1 dead letters; see rama deadLetters");
    expect((await cluster.rama("deadLetters", "PickyModule", "drop")).code).toBe(2);
    const all = manager.clusterPState("PickyModule", "$$all");
    const seen = manager.clusterPState("PickyModule", "$$seen");
    for (const key of ["a", "c"])
      await until(
        "the others go on",
        async () => (await all.selectOne(Path.key(key))) === 1 && (await seen.selectOne(Path.key(key))) === 1,
      );
    const [{ pid }] = (await rama("moduleStatus", "PickyModule")).workers;
    process.kill(pid, "SIGKILL");
    await until("another worker serves", async () => {
      const [worker] = (await rama("moduleStatus", "PickyModule")).workers;
      return worker.pid !== pid && worker.state === "running";
    });
    await until("it has the letters", async () => (await letters()).length === 2);
    writeFileSync(join(home, "picky.ts"), userModule(""));
    expect(await cluster.rama("deploy", "--action", "update", "--jar", "picky.ts")).toMatchObject({ code: 0, err: "" });
    expect(await rama("deadLetters", "PickyModule", "retry", "--all")).toEqual({ count: 2 });
    await until("they are processed", async () => (await letters()).length === 0);
    for (const pstate of [all, seen]) expect(await pstate.selectOne(Path.key("b"))).toBe(1);
  } finally {
    await manager.close();
  }
}, 180_000);
