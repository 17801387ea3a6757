// Guards leader balancing: leaders spread as evenly as can be, no more switches than that takes, and none on a node that should have none while another replica is in sync.
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { type LeaderPlaces, leaderSwitches, strandedGroups } from "../../../src/cluster/leader-balance.ts";

const node = (member: number): string => `n${member}`;

function places(groups: LeaderPlaces["groups"], more: Partial<LeaderPlaces> = {}): LeaderPlaces {
  const members = [...new Set(groups.flatMap((group) => group?.members ?? []))];
  return { groups, nodeOf: new Map(members.map((m) => [m, node(m)])), live: new Set(members), ...more };
}

const led = (leader: number | null, inSync: readonly number[] = [0, 1, 2], members: readonly number[] = [0, 1, 2]) => ({
  leader,
  members,
  inSync,
});

test("leaders that have gathered on one node are spread, the others stay", () => {
  expect(leaderSwitches(places([led(0), led(1), led(2)]))).toEqual([]);
  const switches = leaderSwitches(places([led(0), led(0), led(0), led(1)]));
  expect(switches.map(({ from }) => from)).toEqual([0]);
  expect(switches[0]!.to).toBe(2);
});

test("a replica that is out of sync or has no process is given nothing", () => {
  expect(leaderSwitches(places([led(0, [0, 1]), led(0, [0, 1])], { live: new Set([0, 2]) }))).toEqual([]);
  expect(leaderSwitches(places([led(0, [0]), led(0, [0]), undefined, led(null)]))).toEqual([]);
});

test("where the way is not direct, leaders go over a third node", () => {
  const groups = [led(0, [0, 1]), led(0, [0, 1]), led(1, [1, 2])];
  expect(leaderSwitches(places(groups))).toEqual([
    { group: 0, from: 0, to: 1 },
    { group: 2, from: 1, to: 2 },
  ]);
});

test("leaders leave a node that may have none, but for groups without another replica in sync", () => {
  const groups = [led(0), led(0), led(0, [0]), led(1)];
  const switches = leaderSwitches(places(groups, { disallowed: node(0) }));
  expect(switches.map(({ group, to }) => [group, to === 0])).toEqual([
    [0, false],
    [1, false],
  ]);
  expect(strandedGroups(places(groups, { disallowed: node(0) }))).toEqual([0, 1, 2]);
  expect(strandedGroups(places(groups))).toEqual([]);
});

test("workers of one node count as one, and leaders are even among them, too", () => {
  const nodeOf = new Map([
    [0, "a"],
    [1, "a"],
    [2, "b"],
  ]);
  const groups = [led(0), led(0), led(2), led(2)];
  const switches = leaderSwitches(places(groups, { nodeOf }));
  expect(switches).toEqual([{ group: 0, from: 0, to: 1 }]);
});

/** The best by trying everything: sum of squared loads, then switches. */
function best(groups: LeaderPlaces["groups"], nodes: number): [number, number] {
  let found: [number, number] = [Number.POSITIVE_INFINITY, 0];
  const tryFrom = (at: number, loads: number[], switches: number): void => {
    if (at === groups.length) {
      const squares = loads.reduce((sum, load) => sum + load * load, 0);
      if (squares < found[0] || (squares === found[0] && switches < found[1])) found = [squares, switches];
      return;
    }
    const group = groups[at]!;
    for (const member of group.inSync) {
      loads[member]!++;
      tryFrom(at + 1, loads, switches + (member === group.leader ? 0 : 1));
      loads[member]!--;
    }
  };
  tryFrom(0, new Array<number>(nodes).fill(0), 0);
  return found;
}

test("the outcome is as even as any, with as few switches as any", () => {
  const members = [0, 1, 2, 3];
  const group = fc
    .tuple(fc.subarray(members, { minLength: 1 }), fc.nat())
    .map(([inSync, pick]) => led(inSync[pick % inSync.length]!, inSync, members));
  fc.assert(
    fc.property(fc.array(group, { maxLength: 6 }), (groups) => {
      const switches = leaderSwitches(places(groups));
      const loads = [0, 0, 0, 0];
      groups.forEach(({ leader }, i) => {
        loads[switches.find((each) => each.group === i)?.to ?? leader!]!++;
      });
      const squares = loads.reduce((sum, load) => sum + load * load, 0);
      expect([squares, switches.length]).toEqual(best(groups, 4));
    }),
    { numRuns: 500 },
  );
});
