// Replicated task groups end to end in memory: several hosts, engines that follow and lead, clients that follow the leaders. Guards against acknowledged appends that
// a leader change loses or doubles, derived values that differ from the records, and groups that do not go on.
import { expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { Path } from "../../src/paths/path.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";
import { ReplicatedModule, type ReplicatedModuleOptions } from "../../src/testing/replicated-module.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import { codeOf } from "../fake-engine.ts";
import { localCount, wordCount } from "./engine-harness.ts";

const fastLag = [{ scope: "module", object: "", name: "replication.max.time.lag.millis", value: 500 } as const];

async function launched(module: CompiledModule, options: Partial<ReplicatedModuleOptions> = {}) {
  const failures: unknown[] = [];
  const lines: string[] = [];
  const world = new MemoryWorld({
    logLevel: "info",
    sink: (line) => lines.push(line),
    onFailure: (name, error) => failures.push({ name, error }),
  });
  const replicated = await ReplicatedModule.launch({
    world,
    module,
    tasks: 4,
    threads: 2,
    workers: 1,
    replicationFactor: 3,
    hosts: ["n0", "n1", "n2"],
    settings: fastLag,
    onBroken: (host, error) => failures.push({ host, error }),
    ...options,
  });
  const core = replicated.client();
  const { env } = world;
  const until = (what: string, condition: () => boolean) =>
    waitFor(condition, { env, timeoutMs: 50_000, what, present: () => JSON.stringify(failures) });
  return {
    world,
    lines,
    replicated,
    core,
    until,
    depot: core.depot("HandModule", "*depot0"),
    counts: core.pstate("HandModule", "$$pstate0"),
    async [Symbol.asyncDispose]() {
      await core.close();
      await replicated.close();
      expect(failures).toEqual([]);
    },
  };
}

test("leaders are spread over the workers, and followers hold what the leaders have applied", async () => {
  await using cluster = await launched(localCount(), { threads: 3, tasks: 4 });
  const { replicated, depot, counts, until } = cluster;
  expect(new Set([0, 1, 2].map((group) => replicated.leaderOf(group)))).toEqual(new Set([0, 1, 2]));
  await Promise.all(Array.from({ length: 200 }, (_, i) => depot.append(`w${i % 10}`)));
  expect(await counts.selectOne(Path.key("w3"))).toBeDefined();
  await until("followers to apply", () =>
    [0, 1, 2].every((group) => {
      const ends = [0, 1, 2].map((worker) => replicated.statusOf(worker, group)!);
      return ends.every(({ applied, end }) => applied === ends[0]!.end && end === ends[0]!.end);
    }),
  );
});

test("when leaders are killed under load no acknowledged append is lost, each record counts once, and the group goes on", async () => {
  await using cluster = await launched(wordCount());
  const { world, replicated, depot, counts, until } = cluster;
  let acked = 0;
  let stop = false;
  const load = Array.from({ length: 8 }, async () => {
    while (!stop) {
      try {
        await depot.append("all");
        acked++;
      } catch (error) {
        // Nothing was stored then. On a machine that is busy with other things a replica may seem to be away.
        if (!(error instanceof RamaError && error.code === "IN_SYNC_TOO_SMALL")) throw error;
        await world.env.sleep(10);
      }
    }
  });
  for (let round = 0; round < 4; round++) {
    const before = acked;
    await until("appends", () => acked > before + 100);
    const victim = replicated.leaderOf(round % 2)!;
    replicated.kill(victim, { powerCut: round % 2 === 0 });
    const killed = acked;
    await until("appends after the kill", () => acked > killed + 100);
    await replicated.start(victim);
    await until("the killed worker to be in sync again", () =>
      [0, 1].every((group) => {
        const leader = replicated.leaderOf(group);
        return leader !== undefined && replicated.statusOf(leader, group)?.inSync.length === 3;
      }),
    );
  }
  stop = true;
  await Promise.all(load);
  await replicated.whenServing();
  expect(await counts.selectOne(Path.key("all"))).toBe(acked);
  let records = 0;
  for (let task = 0; task < 4; task++) {
    const { startOffset, endOffset } = await depot.getPartitionInfo(task);
    records += Number(endOffset) - Number(startOffset);
  }
  expect(records).toBe(acked);
}, 60_000);

test("with too few replicas in sync appends are refused with the reason, reads go on, and it goes on when one returns", async () => {
  await using cluster = await launched(localCount(), {
    threads: 1,
    tasks: 1,
    replicationFactor: 2,
    hosts: ["n0", "n1"],
    settings: [...fastLag, { scope: "module", object: "", name: "replication.min.isr", value: 2 }],
  });
  const { replicated, depot, counts, until } = cluster;
  await depot.append("x");
  const follower = 1 - replicated.leaderOf(0)!;
  replicated.kill(follower);
  await until("the stall", () => replicated.statusOf(1 - follower, 0)!.stalled);
  expect(await codeOf(depot.append("x"))).toBe("IN_SYNC_TOO_SMALL");
  expect(await counts.selectOne(Path.key("x"))).toBe(1);
  await replicated.start(follower);
  await until("the group to go on", () => !replicated.statusOf(1 - follower, 0)!.stalled);
  await depot.append("x");
  expect(await counts.selectOne(Path.key("x"))).toBe(2);
}, 60_000);

test("a leader that is cut off from the metastore and its followers is succeeded, and what it took since is not acknowledged", async () => {
  await using cluster = await launched(localCount(), { threads: 1, tasks: 1 });
  const { world, replicated, depot, counts, until } = cluster;
  await depot.append("before");
  const old = replicated.leaderOf(0)!;
  const host = replicated.hostOf(old);
  for (const other of ["n0", "n1", "n2"]) if (other !== host) world.network.cut(host, other);
  const late = depot.append("during");
  replicated.expireSession(old, 1_000);
  await until("another leader", () =>
    [0, 1, 2].some((worker) => worker !== old && replicated.statusOf(worker, 0)?.role === "leader"),
  );
  for (const other of ["n0", "n1", "n2"]) if (other !== host) world.network.heal(host, other);
  await late;
  await until("the old leader to follow", () => replicated.statusOf(old, 0)?.role === "follower");
  expect(await counts.selectOne(Path.key("during"))).toBe(1);
  expect(await counts.selectOne(Path.key("before"))).toBe(1);
  await until("all in sync", () => replicated.statusOf(replicated.leaderOf(0)!, 0)?.inSync.length === 3);
}, 60_000);

test("a follower answers MOVED, and clients find the leader", async () => {
  await using cluster = await launched(localCount(), { threads: 1, tasks: 1 });
  const { replicated } = cluster;
  const follower = [0, 1, 2].find((worker) => worker !== replicated.leaderOf(0))!;
  const answer = new Promise((resolve, reject) => {
    const reply = (error: unknown) => (error === null ? resolve(undefined) : reject(error));
    replicated.engineOf(follower, 0)!.select({ pstate: 0, task: 0, select: () => [], reply });
  });
  expect(await codeOf(answer)).toBe("MOVED");
});

test("a replica that has lost its disk gets a copy of the leader's store under load, and can lead then", async () => {
  await using cluster = await launched(wordCount(), {
    replicationFactor: 2,
    hosts: ["n0", "n1"],
    keptEntries: 20,
    segmentSizeBytes: 4_000,
  });
  const { world, lines, replicated, depot, counts, until } = cluster;
  const inSync = () =>
    [0, 1].every((group) => {
      const leader = replicated.leaderOf(group);
      return leader !== undefined && replicated.statusOf(leader, group)?.inSync.length === 2;
    });
  await until("both in sync", inSync);
  let acked = 0;
  const loads = async (until: () => boolean) => {
    const lanes = Array.from({ length: 4 }, async () => {
      while (!until()) {
        try {
          await depot.append(`all w${acked % 50}`);
          acked++;
        } catch (error) {
          if (!(error instanceof RamaError && error.code === "IN_SYNC_TOO_SMALL")) throw error;
          await world.env.sleep(10);
        }
      }
    });
    await Promise.all(lanes);
  };
  await loads(() => acked > 500);
  await until("both in sync", inSync);
  replicated.kill(1);
  await loads(() => acked > 1_500);
  // What has reached its final place the log lets go.
  for (const group of [0, 1]) await replicated.engineOf(0, group)!.settle();
  replicated.loseDisk(1);
  let stop = false;
  const load = loads(() => stop);
  await replicated.start(1);
  await until("both in sync again", inSync);
  expect(lines.filter((line) => line.includes("a copy of the leader's store")).length).toBeGreaterThanOrEqual(2);
  replicated.kill(0);
  const before = acked;
  await until("appends at the new leader", () => acked > before + 100);
  stop = true;
  await load;
  expect(await counts.selectOne(Path.key("all"))).toBe(acked);
  let records = 0;
  for (let task = 0; task < 4; task++) {
    const { startOffset, endOffset } = await depot.getPartitionInfo(task);
    records += (await depot.read(task, startOffset, endOffset)).length;
  }
  expect(records).toBe(acked);
}, 60_000);

test("leaders hand their groups over under load: no append fails, none is lost or doubled, and each epoch has its leader", async () => {
  await using cluster = await launched(wordCount(), { threads: 2, tasks: 4 });
  const { replicated, depot, counts, until } = cluster;
  let acked = 0;
  let stop = false;
  const load = Array.from({ length: 8 }, async () => {
    while (!stop) {
      await depot.append("all");
      acked++;
    }
  });
  for (let round = 0; round < 6; round++) {
    const before = acked;
    await until("appends", () => acked > before + 100);
    const group = round % 2;
    const leader = replicated.leaderOf(group)!;
    const to = (leader + 1 + (round % 2)) % 3;
    await until("the successor to be in sync", () => replicated.statusOf(leader, group)!.inSync.includes(to));
    const { epoch } = replicated.statusOf(leader, group)!;
    await replicated.resign(group, to);
    await until("the successor to lead", () => replicated.leaderOf(group) === to);
    expect(replicated.statusOf(to, group)!.epoch).toBe(epoch + 1);
    await until("the former leader to follow in sync", () => replicated.statusOf(to, group)?.inSync.length === 3);
  }
  stop = true;
  await Promise.all(load);
  await until("all to be counted", () => replicated.topology("hand").executing === 0);
  expect(await counts.selectOne(Path.key("all"))).toBeGreaterThanOrEqual(acked);
  let records = 0;
  for (let task = 0; task < 4; task++) {
    const { startOffset, endOffset } = await depot.getPartitionInfo(task);
    records += Number(endOffset) - Number(startOffset);
  }
  expect(records).toBe(acked);
}, 60_000);

test("a follower whose disk fails for a while leaves the set and returns by itself, and its worker's other group goes on", async () => {
  await using cluster = await launched(localCount(), { replicationFactor: 2, hosts: ["n0", "n1"], tasks: 2 });
  const { world, lines, replicated, depot, until } = cluster;
  const inSync = (group: number) => {
    const leader = replicated.leaderOf(group);
    return leader === undefined ? 0 : replicated.statusOf(leader, group)!.inSync.length;
  };
  await until("both groups in sync", () => inSync(0) === 2 && inSync(1) === 2);
  const worker = 1 - replicated.leaderOf(0)!;
  const { disk } = world.host(replicated.hostOf(worker));
  for (const code of ["DISK_FAILED", "DISK_FULL"] as const) {
    let failing = true;
    disk.options = {
      fault: (operation, path) => {
        if (failing && path.startsWith(`/data-w${worker}/group-0/`) && (operation === "sync" || operation === "write"))
          throw new RamaError(code, `${path}: the disk is in trouble`, { path });
      },
    };
    // Some of them go to that group.
    await Promise.all(Array.from({ length: 8 }, (_, i) => depot.append(`x${i}`)));
    await until("the follower to leave the set", () => inSync(0) === 1);
    expect(inSync(1)).toBe(2);
    await Promise.all(Array.from({ length: 20 }, (_, i) => depot.append(`y${i}`)));
    failing = false;
    await until("the follower to be back", () => inSync(0) === 2);
  }
  expect(lines.filter((line) => line.includes("its disk is in trouble")).length).toBeGreaterThan(1);
  const leads = replicated.leaderOf(0)!;
  replicated.kill(leads);
  await until("the follower to lead", () => replicated.leaderOf(0) === worker);
  await depot.append("x");
}, 60_000);

test("a replica whose log is damaged is set aside, does not lead, is filled by its leader, and can lead then", async () => {
  await using cluster = await launched(wordCount(), {
    replicationFactor: 2,
    hosts: ["n0", "n1"],
    threads: 1,
    tasks: 2,
    keptEntries: 20,
    segmentSizeBytes: 4_000,
  });
  const { world, replicated, depot, counts, until } = cluster;
  const inSync = () => {
    const leader = replicated.leaderOf(0);
    return leader !== undefined && replicated.statusOf(leader, 0)?.inSync.length === 2;
  };
  await until("both in sync", inSync);
  for (let i = 0; i < 300; i++) await depot.append("all x");
  await until("both in sync", inSync);
  // Both at once, so that the metastore has the damaged one among those in sync.
  replicated.kill(0);
  replicated.kill(1);
  const { disk } = world.host("n1");
  const dir = "/data-w1/group-0";
  const segment = disk.list(`${dir}/log`).find((name) => disk.size(`${dir}/log/${name}`) > 1_000)!;
  expect(disk.decay(`${dir}/log/${segment}`, 600, 0x40)).toBe(true);
  await replicated.start(1);
  expect(disk.exists(`${dir}.damaged/log`)).toBe(true);
  expect(disk.exists(`${dir}.rebuilding`)).toBe(true);
  // Longer than anybody waits before it stands.
  await world.env.sleep(1_500);
  expect(replicated.leaderOf(0)).toBeUndefined();
  await replicated.start(0);
  await until("the other to lead", () => replicated.leaderOf(0) === 0);
  await until("it to be whole", () => !disk.exists(`${dir}.rebuilding`));
  await until("both in sync again", inSync);
  await depot.append("all x");
  const contents = async () => {
    const both = [0, 1].map((worker) => replicated.engineOf(worker, 0)!.statusWithSizes(true));
    return (await Promise.all(both)).map((status) => status.contents?.[0]);
  };
  // The follower learns a moment later what is committed.
  await until("both to have applied all", () => {
    const applied = [0, 1].map((worker) => replicated.statusOf(worker, 0)!.applied);
    return applied[0] === applied[1];
  });
  const before = await contents();
  expect(before[0]).toEqual(before[1]!);
  await depot.append("another");
  expect((await contents())[0]!.hash).not.toBe(before[0]!.hash);
  replicated.kill(0);
  await until("the rebuilt one to lead", () => replicated.leaderOf(0) === 1);
  expect(await counts.selectOne(Path.key("all"))).toBe(301);
}, 60_000);

test("a leader that is to hand over to a replica that is away goes on and says why", async () => {
  await using cluster = await launched(localCount(), { threads: 1, tasks: 1 });
  const { replicated, depot, counts, until } = cluster;
  await depot.append("x");
  const leader = replicated.leaderOf(0)!;
  const away = (leader + 1) % 3;
  replicated.kill(away);
  await until("the set without it", () => !replicated.statusOf(leader, 0)!.inSync.includes(away));
  expect(await codeOf(replicated.resign(0, away))).toBe("LEADER_STAYS");
  expect(await codeOf(replicated.resign(0, leader))).toBe("LEADER_STAYS");
  await depot.append("x");
  expect(await counts.selectOne(Path.key("x"))).toBe(2);
  expect(replicated.leaderOf(0)).toBe(leader);
}, 60_000);
