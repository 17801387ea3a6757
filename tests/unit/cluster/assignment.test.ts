import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { RamaError } from "../../../src/base/errors.ts";
import {
  assign,
  type AssignmentRequest,
  checkParallelism,
  type SupervisorLoad,
} from "../../../src/cluster/assignment.ts";

const node = (id: string, workers = 0, labels: string[] = []): SupervisorLoad => ({ id, workers, labels });
const request = (change: Partial<AssignmentRequest> = {}): AssignmentRequest => ({
  tasks: 8,
  threads: 4,
  workers: 2,
  replicationFactor: 1,
  ...change,
});

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as RamaError).code;
  }
  return "none";
}

test("groups are dealt to workers, workers to the emptiest supervisors", () => {
  expect(assign(request(), [node("a", 3), node("b")])).toEqual([
    { workerIndex: 0, supervisorId: "b", groups: [0, 2] },
    { workerIndex: 1, supervisorId: "b", groups: [1, 3] },
  ]);
});

test("equally empty supervisors are taken in order of their ids, whatever order they are told in", () => {
  const told = [node("c"), node("a"), node("b")];
  const places = assign(request({ workers: 3 }), told).map((p) => p.supervisorId);
  expect(places).toEqual(["a", "b", "c"]);
  expect(assign(request({ workers: 3 }), told.toReversed()).map((p) => p.supervisorId)).toEqual(places);
});

test("only supervisors with the label are used", () => {
  const nodes = [node("a"), node("b", 9, ["ssd"])];
  expect(assign(request({ targetLabel: "ssd" }), nodes).every((p) => p.supervisorId === "b")).toBe(true);
  expect(() => assign(request({ targetLabel: "gpu" }), nodes)).toThrow('1 supervisors with label "gpu", there are 0');
});

test("without supervisors, or with fewer than replicas, nothing is assigned", () => {
  expect(codeOf(() => assign(request(), []))).toBe("NOT_ENOUGH_SUPERVISORS");
  expect(codeOf(() => assign(request({ replicationFactor: 3 }), [node("a"), node("b")]))).toBe(
    "NOT_ENOUGH_SUPERVISORS",
  );
});

test("parallelism that cannot be is refused, each with its reason", () => {
  const check = (change: Partial<AssignmentRequest>) => () => checkParallelism(request(change));
  expect(check({ tasks: 6 })).toThrow("tasks must be a power of two up to 65536, got 6");
  expect(check({ threads: 9 })).toThrow("threads must be at most tasks: 9 > 8");
  expect(check({ workers: 5 })).toThrow("Number of workers must be less than or equal to the number of threads: 5 > 4");
  expect(check({ workers: 0 })).toThrow("workers must be a whole number ≥ 1, got 0");
  expect(check({ replicationFactor: 1.5 })).toThrow("replicationFactor must be a whole number");
});

test("always: every group has one worker per replica, replicas of a group never share a supervisor, load stays even", () => {
  const cases = fc.record({
    power: fc.integer({ min: 0, max: 6 }),
    threads: fc.integer({ min: 1, max: 64 }),
    workers: fc.integer({ min: 1, max: 8 }),
    replicationFactor: fc.integer({ min: 1, max: 3 }),
    nodes: fc.integer({ min: 1, max: 8 }),
  });
  fc.assert(
    fc.property(cases, ({ power, threads, workers, replicationFactor, nodes }) => {
      const tasks = 2 ** power;
      const wanted = { tasks, threads: Math.min(threads, tasks), workers: 0, replicationFactor };
      const asked = { ...wanted, workers: Math.min(workers, wanted.threads) };
      const supervisors = Array.from({ length: nodes }, (_, i) => node(`n${i}`));
      let placements: ReturnType<typeof assign>;
      try {
        placements = assign(asked, supervisors);
      } catch (error) {
        // Only when there are too few nodes for the replicas to keep apart.
        return (error as RamaError).code === "NOT_ENOUGH_SUPERVISORS" && nodes < replicationFactor * asked.workers;
      }
      for (let group = 0; group < asked.threads; group++) {
        const holders = placements.filter((p) => p.groups.includes(group)).map((p) => p.supervisorId);
        if (holders.length !== replicationFactor || new Set(holders).size !== replicationFactor) return false;
      }
      return placements.every((p, i) => p.workerIndex === i);
    }),
  );
});
