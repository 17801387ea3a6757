// Which partitions of a depot elsewhere an engine reads, where each begins, and what happens while the other side says nothing.
import { expect, test } from "bun:test";
import type { Env } from "../../../src/base/env.ts";
import { systemEnv } from "../../../src/base/env-system.ts";
import type { CompiledTopology } from "../../../src/dataflow/compiled.ts";
import type { StartFrom } from "../../../src/module/definition.ts";
import type { ExternalDepot, ExternalRecord } from "../../../src/task/external-depot.ts";
import type { RuntimeHost } from "../../../src/task/topology-runtime.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";
import { type RemotePartition, RemoteSources } from "../../../src/topology/remote/remote-sources.ts";

const real = systemEnv({ logLevel: "error", sink: () => {} });

/** Ten records in each partition. */
class Outside implements ExternalDepot {
  partitions = 3;
  down = false;

  getNumPartitions(): number {
    if (this.down) throw new Error("nobody answers");
    return this.partitions;
  }
  startOffset = () => 2;
  endOffset = () => 10;
  offsetAfterTimestampMillis = () => 5;
  fetchFrom = (): ExternalRecord[] => [];
}

/** An engine with the tasks 0 and 2 of four. */
function engine(outside: Outside, startFrom: StartFrom, known: readonly number[] = []) {
  const pauses: { ms: number; end: () => void }[] = [];
  const sleep: Env["sleep"] = (ms, signal) =>
    new Promise((resolve) => {
      pauses.push({ ms, end: () => resolve(true) });
      signal?.addEventListener("abort", () => resolve(false));
    });
  const task = (id: number) => ({ id, group: id, globals: [outside] });
  const tasks = new Map([0, 2].map((id) => [id, task(id)]));
  const source = { index: 0, depot: { kind: "external", name: "*outside" }, sourceId: "", startFrom };
  const host = {
    env: { ...real, sleep },
    module: { definition: { globals: [{ index: 0, name: "*outside" }], topologies: [{ sources: [source] }] } },
    context: { info: { moduleName: "M", numTasks: 4 } },
    groups: [{ tasks: [task(0)] }],
    taskAt: (id: number) => tasks.get(id),
    nameId: (name: string) => name.length,
    loop: { push: (_category: number, job: { run(): unknown }) => queueMicrotask(() => job.run()) },
  } as unknown as RuntimeHost;
  const topology = { index: 0, name: "t", kind: "stream", sources: [{ source: 0 }] } as unknown as CompiledTopology;
  const added: [partition: number, task: number, first: number | undefined][] = [];
  const remotes = new RemoteSources(host, topology, {
    partitionsKnown: () => known,
    addRemote: ({ partition, task: { id } }: RemotePartition, first) => added.push([partition, id, first]),
    remoteGrown: () => {},
  });
  remotes.start();
  return { remotes, added, pauses };
}

const until = (what: string, condition: () => boolean) => waitFor(condition, { env: real, timeoutMs: 5000, what });

test("an engine has the partitions of its tasks; where they begin is known before it serves", async () => {
  const { remotes, added } = engine(new Outside(), { kind: "end" });
  await remotes.begun();
  expect(added).toEqual([
    [0, 0, 10],
    [2, 2, 10],
  ]);
  remotes.close();
});

test.each([
  [{ kind: "beginning" }, 2],
  [{ kind: "afterTimestamp", epochMs: 1 }, 5],
  [{ kind: "ago", amount: 3, unit: "RECORDS" }, 7],
  [{ kind: "ago", amount: 3, unit: "MILLIS" }, 5],
  [{ kind: "ago", amount: 300, unit: "RECORDS" }, 2],
] as [StartFrom, number][])("a new source that starts at %j begins at %d", async (startFrom, first) => {
  const { remotes, added } = engine(new Outside(), startFrom);
  await remotes.begun();
  expect(added[0]).toEqual([0, 0, first]);
  remotes.close();
});

test("partitions are counted again every 30 s; those that come later are read from their beginning", async () => {
  const outside = new Outside();
  const { remotes, added, pauses } = engine(outside, { kind: "end" });
  await remotes.begun();
  outside.partitions = 8;
  const count = await waitFor(() => pauses.find(({ ms }) => ms === 30_000), { env: real, what: "the next count" });
  count.end();
  await until("the new partitions", () => added.length === 4);
  expect(added.slice(2)).toEqual([
    [4, 0, 2],
    [6, 2, 2],
  ]);
  remotes.close();
});

test("partitions with progress are there at once, whoever answers; new ones beside them begin at their beginning", async () => {
  const outside = new Outside();
  outside.down = true;
  outside.partitions = 5;
  const { remotes, added, pauses } = engine(outside, { kind: "end" }, [0, 2]);
  expect(added).toEqual([
    [0, 0, undefined],
    [2, 2, undefined],
  ]);
  await remotes.begun();
  expect(remotes.trouble).toBe("*outside cannot be read: nobody answers");
  outside.down = false;
  pauses.at(-1)!.end();
  await until("the new partition", () => added.length === 3);
  expect(added[2]).toEqual([4, 0, 2]);
  remotes.close();
});

test("an engine does not wait for ever for the beginning of a new source: it begins when the other side answers", async () => {
  const outside = new Outside();
  outside.down = true;
  const { remotes, added, pauses } = engine(outside, { kind: "end" });
  const limit = await waitFor(() => pauses.find(({ ms }) => ms === 10_000), { env: real, what: "the limit" });
  limit.end();
  await remotes.begun();
  expect(added).toEqual([]);
  outside.down = false;
  const again = await waitFor(() => pauses.find(({ ms }) => ms === 100), { env: real, what: "the next try" });
  again.end();
  await until("the partitions", () => added.length === 2);
  await until("no trouble", () => remotes.trouble === null);
  remotes.close();
});
