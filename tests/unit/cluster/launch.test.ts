import { expect, test } from "bun:test";
import { destroying, nextStep, type Observed } from "../../../src/cluster/lifecycle/launch.ts";
import type { ModuleRecord, ModuleState, WorkerReport, WorkerState } from "../../../src/protocol/cluster-records.ts";

function record(state: ModuleState, workers = 2): ModuleRecord {
  const placement = Array.from({ length: workers }, (_, i) => ({ workerIndex: i, supervisorId: "s", groups: [i] }));
  const instance = {
    id: "i1",
    bundleHash: "h",
    moduleExport: "M",
    ramaVersion: "0.1.0",
    tasks: workers,
    threads: workers,
    workers,
    replicationFactor: 1,
    configOverrides: {},
    placement,
    createdMs: 0,
  };
  return {
    name: "M",
    state,
    stateSinceMs: 1000,
    instances: [instance],
    readTarget: "i1",
    appendTarget: "i1",
    options: [],
    dependsOn: [],
  };
}

function observed(states: readonly (WorkerState | undefined)[], change: Partial<Observed> = {}): Observed {
  const reports = states.flatMap((state, workerIndex): [number, WorkerReport][] =>
    state === undefined
      ? []
      : [
          [
            workerIndex,
            {
              workerId: `i1-w${workerIndex}`,
              workerIndex,
              supervisorId: "s",
              host: "localhost",
              state,
              pid: 1,
              helloPort: 1,
              groupPorts: {},
              startedMs: 0,
              starts: 1,
              ...(state === "failed" ? { error: "no such bundle" } : {}),
            },
          ],
        ],
  );
  return { nowMs: 2000, workers: new Map(reports), supervisors: new Set(["s"]), launchTimeoutMs: 90_000, ...change };
}

const launching = record("[:launching-starting-workers]");

test("a launch waits until every worker runs", () => {
  expect(nextStep(launching, observed([])).kind).toBe("wait");
  expect(nextStep(launching, observed(["running", "starting"])).kind).toBe("wait");
});

test("once every worker runs the module runs, from that moment on", () => {
  const step = nextStep(launching, observed(["running", "running"]));
  expect(step).toEqual({
    kind: "advance",
    record: { ...launching, state: "[:running]", stateSinceMs: 2000 },
    note: "running",
  });
});

test("one failed worker ends the launch with that worker's last words", () => {
  const step = nextStep(launching, observed(["running", "failed"]));
  expect(step.kind === "advance" && step.record.state).toBe("[:launch-failed]");
  expect(step.kind === "advance" && step.record.error).toBe("worker 1 did not start: no such bundle");
});

test("a launch that takes too long ends, naming the workers that are missing", () => {
  const step = nextStep(launching, observed(["running"], { nowMs: 91_000 }));
  expect(step.kind === "advance" && step.record.error).toBe("workers 1 did not start within 90 s");
});

test("a failed launch is removed only when its workers are gone, with the reason as note", () => {
  const failed = { ...record("[:launch-failed]"), error: "why" };
  expect(nextStep(failed, observed(["stopping"])).kind).toBe("wait");
  expect(nextStep(failed, observed([]))).toEqual({ kind: "remove", note: "why" });
});

test("a destroyed module is removed only when its workers are gone", () => {
  const ending = destroying(record("[:running]"), 5000);
  expect(ending.state).toBe("[:destroying]");
  expect(ending.stateSinceMs).toBe(5000);
  expect(nextStep(ending, observed(["running"])).kind).toBe("wait");
  expect(nextStep(ending, observed([]))).toEqual({ kind: "remove", note: "destroyed" });
});

test("a node that is away holds up the end of a module for half a minute, no longer", () => {
  const ending = destroying(record("[:running]"), 5000);
  const away = { supervisors: new Set(["other"]) };
  expect(nextStep(ending, observed(["running"], { nowMs: 34_999, ...away })).kind).toBe("wait");
  const note = "destroyed; away are supervisors s, which delete their part when they are back";
  expect(nextStep(ending, observed(["running"], { nowMs: 35_000, ...away }))).toEqual({ kind: "remove", note });
  expect(nextStep(ending, observed(["running"], { nowMs: 900_000 })).kind).toBe("wait");
});

test("nothing undoes a running module, whatever its workers report", () => {
  expect(nextStep(record("[:running]"), observed(["failed", undefined])).kind).toBe("wait");
});

test("each step may be repeated: the same record and observation give the same step", () => {
  const seen = observed(["failed", "running"]);
  expect(nextStep(launching, seen)).toEqual(nextStep(launching, seen));
});
