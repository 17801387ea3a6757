// Leaders are moved off one node after the other under load, as before nodes are switched off: real processes, the commands as an operator gives them. No append fails by it.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RamaClusterManager } from "../../src/client.ts";
import { unpackedRelease, until } from "./built-release.ts";
import { hopModule } from "./hop-module.ts";
import { Load } from "./load.ts";

interface Row {
  readonly role: string;
  readonly inSync: boolean;
  readonly supervisor: string;
}

test("disallowLeaders and allowLeaders move leaders off each node in turn while every append succeeds, and none is doubled", async () => {
  await using first = unpackedRelease();
  await using second = unpackedRelease();
  await using third = unpackedRelease();
  const { cluster } = first;
  await cluster.startAll();
  for (const { cluster: other } of [second, third]) {
    other.ports.zookeeper = cluster.ports.zookeeper;
    other.ports.conductor = cluster.ports.conductor;
    await other.start("supervisor");
  }
  writeFileSync(join(first.home, "hop.ts"), hopModule);
  const size = ["--tasks", "8", "--threads", "6", "--workers", "1", "--replicationFactor", "3"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "hop.ts", ...size);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  const rows = async () => JSON.parse((await cluster.rama("taskGroupsStatus", "HopModule", "--json")).out) as Row[];
  const allInSync = async () =>
    (await rows()).every(({ inSync, role }) => inSync && (role === "leader" || role === "follower"));
  const leadersOf = async (supervisor: string) =>
    (await rows()).filter((row) => row.supervisor === supervisor && row.role === "leader").length;
  await until("all replicas in sync", allInSync);
  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const load = new Load(manager, { module: "HopModule", tasks: 8, users: 23, ordered: false });
  await load.progress(300);
  for (const supervisor of new Set((await rows()).map((row) => row.supervisor))) {
    const off = await cluster.rama("disallowLeaders", supervisor);
    expect(off).toMatchObject({ code: 0, err: "" });
    expect(off.out).toContain(`leaders are disallowed on ${supervisor}; 2 task groups were handed over`);
    expect(await leadersOf(supervisor)).toBe(0);
    expect((await cluster.rama("moduleStatus")).out).toContain(`leaders are disallowed on ${supervisor}`);
    await load.progress(200);
    await until("all replicas in sync", allInSync);
    const on = await cluster.rama("allowLeaders", supervisor);
    expect(on).toMatchObject({ code: 0, err: "" });
    await until("leaders to be back", async () => (await leadersOf(supervisor)) === 2);
    await until("all replicas in sync", allInSync);
  }
  const status = await cluster.rama("moduleStatus", "HopModule");
  expect(status.out).toContain("leadership balancing: 2 task groups handed over");
  const unknown = await cluster.rama("disallowLeaders", "nobody");
  expect(unknown.code).not.toBe(0);
  expect(unknown.err).toContain("SUPERVISOR_NOT_FOUND");
  await load.end();
  expect(load.unknown).toBe(0);
  await load.check();
}, 300_000);
