// Which leaders of a module should hand over to whom, as a pure function: so that the leaders are spread over the nodes as evenly as the replicas in sync allow, within that
// over the workers, and with as few switches as that takes. A node on which leaders are not allowed keeps only those of groups that have no other replica in sync.
//
// Where moving a leader from one worker to another is worth anything, it may go over several groups (a's leader to b, one of b's to c). Such a chain changes the loads at
// its two ends alone; the best one is looked for until none is left: first the one that evens out nodes most, then workers, then the one that leaves more leaders
// where they are.
import type { GroupRecord, Member } from "../replication/group-record.ts";

export interface LeaderPlaces {
  /** By task group; undefined: not known. */
  readonly groups: readonly (Pick<GroupRecord, "leader" | "members" | "inSync"> | undefined)[];
  /** Node of each worker. */
  readonly nodeOf: ReadonlyMap<Member, string>;
  /** Workers that have a process. */
  readonly live: ReadonlySet<Member>;
  /** Node without leaders, where that is possible. */
  readonly disallowed?: string | undefined;
}

export interface LeaderSwitch {
  readonly group: number;
  readonly from: Member;
  readonly to: Member;
}

interface Seat {
  readonly group: number;
  readonly leader: Member;
  readonly options: readonly Member[];
  /** Its leader has to go: wherever it goes costs nothing more. */
  readonly forced: boolean;
  at: Member;
}

interface Chain {
  readonly nodes: number;
  readonly workers: number;
  readonly switches: number;
  readonly moves: readonly { readonly seat: Seat; readonly to: Member }[];
}

export function leaderSwitches(places: LeaderPlaces): LeaderSwitch[] {
  const seats = places.groups.flatMap((record, group) => seatOf(places, group, record));
  const loads = new Loads(places.nodeOf, seats);
  for (const seat of seats) if (seat.forced) loads.move(seat, loads.leastOf(seat.options));
  for (let left = seats.length * 4; left > 0; left--) {
    const chain = bestChain(seats, loads);
    if (chain === undefined) break;
    for (const { seat, to } of chain.moves) loads.move(seat, to);
  }
  const switches = seats.filter(({ at, leader }) => at !== leader);
  return switches.map(({ group, leader, at }) => ({ group, from: leader, to: at }));
}

/** Groups that the node leads although it should not. */
export function strandedGroups({ groups, nodeOf, disallowed }: LeaderPlaces): number[] {
  return groups.flatMap((record, group) => {
    const leader = record?.leader ?? null;
    return leader !== null && disallowed !== undefined && nodeOf.get(leader) === disallowed ? [group] : [];
  });
}

function seatOf(
  { live, nodeOf, disallowed }: LeaderPlaces,
  group: number,
  record: LeaderPlaces["groups"][number],
): Seat[] {
  const leader = record?.leader ?? null;
  // One without a leader is about to have one.
  if (record === undefined || leader === null || !live.has(leader)) return [];
  const able = record.members.filter((member) => record.inSync.includes(member) && live.has(member));
  const allowed = able.filter((member) => disallowed === undefined || nodeOf.get(member) !== disallowed);
  const options = allowed.length > 0 ? allowed : [leader];
  return [{ group, leader, options, forced: !options.includes(leader), at: leader }];
}

class Loads {
  readonly workers = new Map<Member, number>();
  readonly #nodes = new Map<string, number>();
  readonly #nodeOf: ReadonlyMap<Member, string>;

  constructor(nodeOf: ReadonlyMap<Member, string>, seats: readonly Seat[]) {
    this.#nodeOf = nodeOf;
    for (const { options, at } of seats) for (const member of [...options, at]) this.#add(member, 0);
    for (const { at } of seats) this.#add(at, 1);
  }

  move(seat: Seat, to: Member): void {
    this.#add(seat.at, -1);
    this.#add(to, 1);
    seat.at = to;
  }

  leastOf(members: readonly Member[]): Member {
    const [first, ...others] = members;
    return others.reduce((best, member) => (this.#before(member, best) ? member : best), first!);
  }

  /** How much the sums of squared loads change when one leader goes from `from` to `to`. */
  change(from: Member, to: Member): { readonly nodes: number; readonly workers: number } {
    const [a, b] = [this.#node(from), this.#node(to)];
    const nodes = a === b ? 0 : 2 * (this.#nodes.get(b)! - this.#nodes.get(a)! + 1);
    return { nodes, workers: from === to ? 0 : 2 * (this.workers.get(to)! - this.workers.get(from)! + 1) };
  }

  #before(a: Member, b: Member): boolean {
    const nodes = this.#nodes.get(this.#node(a))! - this.#nodes.get(this.#node(b))!;
    return nodes !== 0 ? nodes < 0 : this.workers.get(a)! < this.workers.get(b)!;
  }

  #node(member: Member): string {
    return this.#nodeOf.get(member) ?? `worker ${member}`;
  }

  #add(member: Member, count: number): void {
    const node = this.#node(member);
    this.workers.set(member, (this.workers.get(member) ?? 0) + count);
    this.#nodes.set(node, (this.#nodes.get(node) ?? 0) + count);
  }
}

function bestChain(seats: readonly Seat[], loads: Loads): Chain | undefined {
  let best: Chain | undefined;
  for (const from of loads.workers.keys()) {
    for (const [to, { switches, moves }] of chainsFrom(from, seats, loads.workers.size)) {
      const chain = { ...loads.change(from, to), switches, moves };
      if (isBetter(chain, best ?? { nodes: 0, workers: 0, switches: 0 })) best = chain;
    }
  }
  return best;
}

const isBetter = (a: Omit<Chain, "moves">, b: Omit<Chain, "moves">): boolean =>
  a.nodes !== b.nodes ? a.nodes < b.nodes : a.workers !== b.workers ? a.workers < b.workers : a.switches < b.switches;

/** To each worker that can be reached, the chain with the fewest switches (Bellman and Ford: taking a move back has a negative cost). */
function chainsFrom(
  from: Member,
  seats: readonly Seat[],
  workers: number,
): Map<Member, Pick<Chain, "switches" | "moves">> {
  const found = new Map<Member, Pick<Chain, "switches" | "moves">>([[from, { switches: 0, moves: [] }]]);
  for (let changed = true, round = 0; changed && round < workers; round++) {
    changed = false;
    for (const seat of seats) {
      const here = found.get(seat.at);
      if (here === undefined || here.moves.some((move) => move.seat === seat)) continue;
      for (const to of seat.options) {
        if (to === seat.at || to === from) continue;
        const switches = here.switches + costOf(seat, to);
        const known = found.get(to);
        if (known !== undefined && known.switches <= switches) continue;
        found.set(to, { switches, moves: [...here.moves, { seat, to }] });
        changed = true;
      }
    }
  }
  found.delete(from);
  return found;
}

function costOf({ leader, at, forced }: Seat, to: Member): number {
  if (forced) return 0;
  return at === leader ? 1 : to === leader ? -1 : 0;
}
