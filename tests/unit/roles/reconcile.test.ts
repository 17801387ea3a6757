import { expect, test } from "bun:test";
import type { WorkerTask } from "../../../src/protocol/cluster-records.ts";
import {
  type Action,
  type ObservedWorker,
  reconcile,
  type ReconcileLimits,
  restartDelayMs,
} from "../../../src/roles/supervisor/reconcile.ts";

const limits: ReconcileLimits = {
  heartbeatTimeoutMs: 10_000,
  launchTimeoutMs: 90_000,
  stopTimeoutMs: 10_000,
  failedStarts: 3,
};
const nowMs = 1_000_000;

const task = { workerId: "w", moduleName: "M", workerIndex: 0, groups: [0], options: [] } as unknown as WorkerTask;

function worker(change: Partial<ObservedWorker> = {}): ObservedWorker {
  return {
    workerId: "w",
    pid: 77,
    alive: true,
    ready: true,
    prepared: false,
    startedMs: nowMs - 60_000,
    lastHeartbeatMs: nowMs - 1_000,
    startedAtMs: 0,
    starts: 1,
    startsInARow: 1,
    everReady: true,
    stoppingSinceMs: 0,
    ...change,
  };
}

function actions(tasks: readonly WorkerTask[], ...workers: ObservedWorker[]): Action[] {
  return reconcile(tasks, new Map(workers.map((w) => [w.workerId, w])), nowMs, limits);
}

test("a task without a process is started", () => {
  expect(actions([task])).toEqual([{ kind: "start", task }]);
  expect(actions([task], worker({ pid: 0, alive: false }))).toEqual([{ kind: "start", task }]);
});

test("a worker that runs and beats is left alone, also one that another supervisor started", () => {
  expect(actions([task], worker())).toEqual([]);
});

test("a silent worker is killed; its next turn starts it again", () => {
  const silent = worker({ lastHeartbeatMs: nowMs - 10_000 });
  expect(actions([task], silent)).toEqual([{ kind: "kill", workerId: "w", pid: 77, reason: "no heartbeat for 10 s" }]);
  expect(actions([task], worker({ alive: false }))).toEqual([{ kind: "start", task }]);
});

test("a heartbeat file of an earlier process does not count against a new one", () => {
  expect(actions([task], worker({ startedMs: nowMs - 500, lastHeartbeatMs: nowMs - 50_000 }))).toEqual([]);
});

test("a worker that is not ready in time is killed, one that still may be is waited for", () => {
  const late = worker({ ready: false, everReady: false, startedMs: nowMs - 90_000 });
  expect(actions([task], late)).toEqual([
    { kind: "kill", workerId: "w", pid: 77, reason: "not ready 90 s after its start" },
  ]);
  expect(actions([task], worker({ ready: false, startedMs: nowMs - 89_000 }))).toEqual([]);
});

test("pauses between starts in a row grow and stay at ten seconds", () => {
  expect([1, 2, 3, 4, 5].map(restartDelayMs)).toEqual([0, 250, 500, 1000, 2000]);
  expect(restartDelayMs(30)).toBe(10_000);
  const justDied = worker({ alive: false, startsInARow: 2, startedMs: nowMs - 100 });
  expect(actions([task], justDied)).toEqual([]);
  expect(actions([task], { ...justDied, startedMs: nowMs - 500 })).toEqual([{ kind: "start", task }]);
});

test("a worker that never came up is reported as failed after the third start", () => {
  const failing = worker({ alive: false, ready: false, everReady: false, startsInARow: 3, startedMs: nowMs - 60_000 });
  expect(actions([task], failing)).toEqual([{ kind: "reportFailed", task }]);
});

test("a worker that has served before is started again for ever", () => {
  const dying = worker({ alive: false, everReady: true, startsInARow: 50, startedMs: nowMs - 60_000 });
  expect(actions([task], dying)).toEqual([{ kind: "start", task }]);
});

test("a withdrawn worker is asked to stop, killed when it does not, removed when it is gone", () => {
  expect(actions([], worker())[0]!.kind).toBe("terminate");
  expect(actions([], worker({ stoppingSinceMs: nowMs - 9_999 }))[0]!.kind).toBe("terminate");
  expect(actions([], worker({ stoppingSinceMs: nowMs - 10_000 }))[0]!.kind).toBe("kill");
  expect(actions([], worker({ alive: false }))).toEqual([{ kind: "remove", workerId: "w" }]);
});
