// The update's state machine, step by step.
import { expect, test } from "bun:test";
import {
  isUpdating,
  mayUpdate,
  nextUpdateStep,
  type UpdateStep,
  updating,
} from "../../../src/cluster/lifecycle/update.ts";
import type { InstanceRecord, ModuleRecord, WorkerReport, WorkerState } from "../../../src/protocol/cluster-records.ts";

const instance = (id: string): InstanceRecord => ({
  id,
  bundleHash: "h",
  moduleExport: "M",
  ramaVersion: "0.1.0",
  tasks: 2,
  threads: 2,
  workers: 2,
  replicationFactor: 1,
  configOverrides: {},
  placement: [0, 1].map((i) => ({ workerIndex: i, supervisorId: "s", groups: [i] })),
  createdMs: 0,
});

const running: ModuleRecord = {
  name: "M",
  state: "[:running]",
  stateSinceMs: 0,
  instances: [instance("old")],
  readTarget: "old",
  appendTarget: "old",
  options: [],
  dependsOn: [],
};

const begun = updating(running, instance("new"), 1000);

type States = readonly (WorkerState | undefined)[];

function step(record: ModuleRecord, old: States, next: States, nowMs = 1001): UpdateStep {
  const reports = (id: string, states: States) =>
    new Map(
      states.flatMap((state, workerIndex): [number, WorkerReport][] =>
        state === undefined ? [] : [[workerIndex, report(id, workerIndex, state)]],
      ),
    );
  const workers = new Map([
    ["old", reports("old", old)],
    ["new", reports("new", next)],
  ]);
  return nextUpdateStep(record, { nowMs, workers, prepareTimeoutMs: 10_000 });
}

function report(id: string, workerIndex: number, state: WorkerState): WorkerReport {
  return {
    workerId: `${id}-w${workerIndex}`,
    workerIndex,
    supervisorId: "s",
    host: "localhost",
    state,
    pid: 1,
    helloPort: 1,
    groupPorts: {},
    startedMs: 0,
    starts: 1,
    ...(state === "failed" ? { error: "no such export" } : {}),
  };
}

function recordOf(taken: UpdateStep): ModuleRecord {
  if (taken.kind === "wait") throw new Error("nothing was done");
  return taken.record;
}

const serving: States = ["running", "running"];
const prepared: States = ["prepared", "prepared"];
const preparing = recordOf(step(begun, serving, prepared));
const handover = recordOf(step(preparing, serving, prepared));

test("until every new worker is prepared the old instance serves and nothing changes", () => {
  expect(begun.readTarget).toBe("old");
  expect(step(begun, serving, [])).toEqual({ kind: "wait" });
  expect(step(begun, serving, ["prepared", "starting"])).toEqual({ kind: "wait" });
});

test("the states come in the published order, and the new instance is the target from the hand-over on", () => {
  expect(preparing).toMatchObject({ state: "[:updating-prepare-handover]", readTarget: "old", appendTarget: "old" });
  expect(handover).toMatchObject({ state: "[:updating-handover]", readTarget: "new", appendTarget: "new" });
  expect(step(preparing, serving, prepared)).toMatchObject({ kind: "advance", letGo: true });
});

test("the update ends when the new workers serve and the old ones are gone", () => {
  expect(step(handover, serving, prepared)).toEqual({ kind: "wait" });
  expect(step(handover, [undefined, "running"], serving)).toEqual({ kind: "wait" });
  const ended = step(handover, [], serving);
  expect(ended).toMatchObject({ kind: "settle", forget: { id: "old" } });
  expect(recordOf(ended)).toMatchObject({ state: "[:running]", readTarget: "new" });
  expect(recordOf(ended).instances.map(({ id }) => id)).toEqual(["new"]);
});

test.each([
  [
    "a new worker that cannot start",
    begun,
    ["prepared", "failed"] as States,
    1001,
    /worker 1 did not start: no such export/,
  ],
  [
    "a new worker that takes too long",
    begun,
    ["prepared", "starting"] as States,
    11_000,
    /workers 1 were not prepared within 10 s/,
  ],
  ["a prepared worker that fails", preparing, ["failed", "prepared"] as States, 1002, /worker 0 did not start/],
])("before the hand-over %s rolls the update back", (_, record, states, nowMs, message) => {
  const back = recordOf(step(record, serving, states, nowMs));
  expect(back).toMatchObject({ state: "[:updating-rollback]", readTarget: "old" });
  expect(back.error).toMatch(message);
  expect(step(back, serving, ["prepared", undefined])).toEqual({ kind: "wait" });
  const ended = step(back, serving, []);
  expect(ended).toMatchObject({ kind: "settle", forget: { id: "new" } });
  expect(recordOf(ended)).toMatchObject({ state: "[:running]", readTarget: "old", error: back.error });
  expect(recordOf(ended).instances.map(({ id }) => id)).toEqual(["old"]);
});

test("hand-over waits a moment for an old worker that is being started again, not for ever", () => {
  expect(step(preparing, ["running", "starting"], prepared)).toEqual({ kind: "wait" });
  expect(recordOf(step(preparing, ["running", "starting"], prepared, 10_000)).state).toBe("[:updating-handover]");
});

test("after the hand-over nothing rolls back: a failing new worker is told of once, and the next update may replace it", () => {
  const told = recordOf(step(handover, [], ["running", "failed"]));
  expect(told).toMatchObject({ state: "[:updating-handover]", readTarget: "new" });
  expect(told.error).toMatch(/worker 1 did not start/);
  expect(step(told, [], ["running", "failed"])).toEqual({ kind: "wait" });
  expect(mayUpdate(handover)).toBe(false);
  expect(mayUpdate(told)).toBe(true);
  const again = updating(told, instance("third"), 2000);
  expect(again.instances.map(({ id }) => id)).toEqual(["new", "third"]);
  expect(again.error).toBeUndefined();
});

test("each step may be repeated: the same record and observation give the same step", () => {
  for (const record of [begun, preparing, handover]) {
    expect(step(record, serving, prepared)).toEqual(step(record, serving, prepared));
    expect(isUpdating(record.state)).toBe(true);
  }
});
