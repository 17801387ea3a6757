import { expect, test } from "bun:test";
import type { ModuleStatusAnswer } from "../../../src/protocol/conductor.ts";
import { ReplicaOracles } from "../../../src/simulation/swarm/replica-oracles.ts";

interface Told {
  readonly recordEpoch: number;
  readonly role?: "leader" | "recovering" | "follower";
  readonly epoch?: number;
  readonly applied?: number;
}

function status({ recordEpoch, role = "leader", epoch = recordEpoch, applied = 0 }: Told): ModuleStatusAnswer {
  const replica = { group: 0, member: 1, role, epoch, applied, end: applied, stalled: false, followers: [] };
  const group = { epoch: recordEpoch, leader: 1, members: [1, 2], inSync: [1, 2] };
  const answer = {
    module: { instances: [{ id: "a1" }] },
    groups: [group],
    engines: [{ workerId: "a1-w1", engines: [{ replica }] }],
  };
  return answer as unknown as ModuleStatusAnswer;
}

function leaderLine(process: string, group: number, epoch: number): string {
  const facts = `group=${group} epoch=${epoch} member=1 end=4 data=a1`;
  return `${process} 2026-01-01T00:00:02.046Z INFO  rama: a task group has a new leader: this replica ${facts}`;
}

test("two processes that lead a group in one epoch are named, with the group and the epoch", () => {
  const oracles = new ReplicaOracles();
  oracles.line(leaderLine("node-1/worker-a1.103", 2, 5));
  oracles.line(leaderLine("node-2/worker-a1.104", 2, 6));
  oracles.line(leaderLine("node-2/worker-a1.104", 3, 5));
  expect(() => oracles.line(leaderLine("node-3/worker-a1.105", 2, 5))).toThrow(
    "a1 group 2: node-1/worker-a1.103 and node-3/worker-a1.105 both lead epoch 5",
  );
});

test("an epoch that goes back in the metastore is named", () => {
  const oracles = new ReplicaOracles();
  oracles.status(status({ recordEpoch: 3 }));
  oracles.status(status({ recordEpoch: 4 }));
  expect(() => oracles.status(status({ recordEpoch: 3 }))).toThrow("a1 group 0: epoch 3 comes after epoch 4");
});

test("a leader that has committed less than it, or an earlier leader, had told is named", () => {
  for (const epoch of [3, 4]) {
    const oracles = new ReplicaOracles();
    oracles.status(status({ recordEpoch: 3, applied: 10 }));
    expect(() => oracles.status(status({ recordEpoch: epoch, applied: 9 }))).toThrow(
      `a1 group 0: member 1 leads epoch ${epoch} with 9 committed entries; the leader of epoch 3 had told 10`,
    );
  }
});

test("a succeeded leader, a recovering one and a follower may have applied less", () => {
  const oracles = new ReplicaOracles();
  oracles.status(status({ recordEpoch: 4, applied: 10 }));
  oracles.status(status({ recordEpoch: 4, epoch: 3, applied: 9 }));
  oracles.status(status({ recordEpoch: 5, role: "recovering", applied: 9 }));
  oracles.status(status({ recordEpoch: 5, role: "follower", applied: 2 }));
});

test("replicas that have applied the same entries and hold something else are named", () => {
  const oracles = new ReplicaOracles();
  const held = (worker: string, applied: number, hash: string) => ({ worker, applied, hash });
  expect(oracles.same("a1", 1, [held("w0", 7, "aa"), held("w1", 7, "aa")])).toBe(true);
  expect(oracles.same("a1", 1, [held("w0", 7, "aa"), held("w1", 6, "bb")])).toBe(false);
  expect(() => oracles.same("a1", 1, [held("w0", 7, "aa"), held("w1", 7, "bb")])).toThrow(
    "replicas of group 1 differ: w0 and w1 have applied 7 entries each (a1 group 1)",
  );
});

test("replicas that are level below what one of them had applied are named", () => {
  const oracles = new ReplicaOracles();
  oracles.status(status({ recordEpoch: 1, role: "follower", applied: 9 }));
  const held = ["w0", "w1"].map((worker) => ({ worker, applied: 8, hash: "aa" }));
  expect(() => oracles.same("a1", 0, held)).toThrow("all replicas have applied 8 entries, one had 9");
});
