// One task group on three hosts under kills, power cuts, cuts of the network, lost connections, lost metastore sessions and outages of the metastore, from a seed. Used by
// replication.test.ts; also by hand: `bun tests/simulation/replication.ts FROM TO`.
//
// The application is the smallest there is: a list of numbers, flushed into the Kv now and then. Guards against: an acknowledged entry lost or doubled; replicas that
// disagree below what is applied; something visible that disappears; two leaders that serve in one epoch; a leader that serves before it has applied everything;
// a group that does not go on once all is well.
import { RamaError } from "../../src/base/errors.ts";
import { EPOCH_BEGINS, TURN } from "../../src/replication/entry.ts";
import { firstRecord, type Member, minInSyncOf } from "../../src/replication/group-record.ts";
import { GroupWatch } from "../../src/replication/group-watch.ts";
import { MemberWatch } from "../../src/replication/member-watch.ts";
import { Replica } from "../../src/replication/replica.ts";
import { openReplicaStore } from "../../src/replication/replica-store.ts";
import type { TailEntry } from "../../src/replication/replog-tail.ts";
import { toNode, tree } from "../../src/metastore/tree.ts";
import { decodeReplicaHello } from "../../src/protocol/replication.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { openStore, positionsOp } from "../../src/storage/store.ts";
import { type MemoryPlatform, MemoryWorld } from "../../src/testing/platform-memory.ts";

const dataId = "m1";
const group = 0;
const maxLagMs = 500;
/** A session that is cut off lives for so long; leases are shorter. */
const sessionMs = 1_000;
const leaseMs = 900;

const valueKey = (offset: number): Uint8Array => {
  const key = new Uint8Array(5);
  key[0] = 0x60;
  new DataView(key.buffer).setUint32(1, offset);
  return key;
};

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

const readU32 = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

interface Pending {
  readonly value: number;
  readonly number: number;
}

/** A process on a host: from its start to its kill. */
class Life {
  replica: Replica | undefined;
  dead = false;
  leading = 0;
  refused = false;
  held = false;
  /** Entries that it would show. */
  visible: () => number = () => 0;
  readonly pending: Pending[] = [];
  members: MemberWatch | undefined;
  close: () => void = () => {};

  constructor(
    readonly node: Node,
    readonly platform: MemoryPlatform,
    readonly id: string,
  ) {}
}

class Node {
  life: Life | undefined;
  constructor(
    readonly member: Member,
    readonly host: string,
  ) {}
}

export interface Happened {
  acked: number;
  leaders: number;
  kills: number;
  powerCuts: number;
  networkCuts: number;
  expiries: number;
  outages: number;
  taken: number;
  copies: number;
  reads: number;
  readsThatWaited: number;
  readsRefused: number;
  handOvers: number;
  handOversRefused: number;
}

export async function runSeed(seed: number, print = false): Promise<Happened> {
  return new World(seed, print).run();
}

class World {
  readonly env: SimulatedEnv;
  readonly world: MemoryWorld;
  readonly nodes: Node[];
  readonly happened: Happened = {
    acked: 0,
    leaders: 0,
    kills: 0,
    powerCuts: 0,
    networkCuts: 0,
    expiries: 0,
    outages: 0,
    taken: 0,
    copies: 0,
    reads: 0,
    readsThatWaited: 0,
    readsRefused: 0,
    handOvers: 0,
    handOversRefused: 0,
  };
  /** What each offset holds, as first applied anywhere. */
  readonly committed: number[] = [];
  readonly acked = new Map<number, number>();
  readonly leaderOf = new Map<number, string>();
  readonly minIsr: number;
  #nextValue = 1;
  #ackedEnd = 0;

  constructor(
    readonly seed: number,
    readonly print: boolean,
  ) {
    this.env = new SimulatedEnv({ seed, logLevel: print ? "debug" : "warn", ...(print ? { sink: console.log } : {}) });
    this.world = new MemoryWorld({
      env: this.env,
      network: { delayMs: () => (this.env.random() < 0.05 ? this.env.random() * 200 : this.env.random() * 3) },
      disk: {
        syncDelay: async () => void (await this.env.sleep(this.env.random() < 0.02 ? 300 : this.env.random() * 4)),
      },
      metastore: { requestTimeoutMs: 2_000 },
    });
    const count = seed % 4 === 0 ? 2 : 3;
    this.minIsr = minInSyncOf(undefined, count);
    this.nodes = Array.from({ length: count }, (_, member) => new Node(member, `n${member}`));
  }

  fail(what: string): never {
    throw new Error(`seed ${this.seed}, ${Math.round(this.env.monotonicMs())} ms: ${what}`);
  }

  async run(): Promise<Happened> {
    const { env } = this;
    const metastore = this.world.metastoreServer.session("/rama");
    await metastore.create(tree.group(dataId, group), toNode(firstRecord(this.nodes.map(({ member }) => member))));
    for (const node of this.nodes) await env.complete(this.start(node));
    env.spawn("clients", () => this.#clients());
    env.spawn("readers", () => this.#readers());
    env.spawn("balance", () => this.#balance());
    const faults = this.#faults();
    await env.complete(faults);
    await this.#heal();
    const before = this.acked.size;
    const until = env.monotonicMs() + 60_000;
    await env.run(until, () => this.acked.size > before + 20);
    if (this.acked.size <= before + 20) this.fail(`no progress after all is well: ${this.#state()}`);
    await env.run(env.monotonicMs() + 30_000, () => this.#allThere());
    this.#checkEnd();
    return this.happened;
  }

  #state(): string {
    if (this.print) {
      for (const { host, life } of this.nodes)
        console.log(
          host,
          life?.id,
          life?.dead,
          [...(life?.members?.live ?? [])].map(([m, r]) => `${m}=${r.life}@${JSON.stringify(r.groupPorts)}`).join(" "),
        );
    }
    return this.nodes.map(({ life }) => JSON.stringify(life?.replica?.status() ?? "down")).join(" ");
  }

  async start(node: Node): Promise<void> {
    const platform = this.world.platform(node.host);
    const life = new Life(node, platform, `${node.member}.${Math.floor(this.env.random() * 1e9)}`);
    node.life = life;
    const metastore = await platform.openMetastore({ servers: [], root: "/rama", sessionTimeoutMs: 5_000 });
    let listenerPort = 0;
    const listener = await platform.transport.listen({ host: node.host, port: 0 }, (connection) => {
      let handlers: ReturnType<Replica["accept"]> | undefined;
      return {
        onFrame: (frame, from) => {
          if (handlers !== undefined) handlers.onFrame(frame, from);
          else if (life.replica === undefined) connection.close("no replica");
          else handlers = life.replica.accept(connection, decodeReplicaHello(frame));
        },
        onClose: (reason, from) => handlers?.onClose(reason, from),
      };
    });
    listenerPort = listener.port;
    const self = { member: node.member, life: life.id, host: node.host, groupPorts: { 0: listenerPort } };
    const members = new MemberWatch({
      env: this.env,
      metastore,
      dataId,
      self,
      members: this.nodes.map(({ member }) => member),
    });
    const watch = new GroupWatch({
      env: this.env,
      metastore,
      dataId,
      group,
      self: node.member,
      members,
      minInSync: () => this.minIsr,
      onView: () => this.#view(life, watch, members),
    });
    life.members = members;
    life.close = () => {
      members.abort();
      watch.stop();
      life.replica?.stop();
    };
    await this.#open(life, watch, members);
    if (life.dead) return;
    while (!life.dead) {
      try {
        await members.start();
        watch.start();
        return;
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        await this.env.sleep(100);
      }
    }
  }

  #view(life: Life, watch: GroupWatch, members: MemberWatch): void {
    const record = watch.record;
    if (record === undefined || life.dead) return;
    const live = new Map(
      [...members.live].map(([member, { life: id, host, groupPorts }]) => [
        member,
        { life: id, address: { host, port: groupPorts[0]! } },
      ]),
    );
    life.replica?.view(record, live);
  }

  async #open(life: Life, watch: GroupWatch, members: MemberWatch): Promise<void> {
    const { disk, kv, transport } = life.platform;
    const opened = await openStore({ env: this.env, disk, kv, dir: "/store", segmentSizeBytes: 4_000 });
    if (life.dead) return;
    const { store } = await openReplicaStore(opened, { env: this.env, disk, kv }, group, () => {});
    if (life.dead) return;
    const list: number[] = [];
    for (const { value } of await opened.kv.range({ gte: Uint8Array.of(0x60), lt: Uint8Array.of(0x61) }))
      list.push(readU32(value));
    if (list.length !== store.applied)
      this.fail(`${life.node.host}: ${list.length} in the Kv, applied ${store.applied}`);
    for (const [offset, value] of list.entries()) this.#applied(life, offset, value);
    let flushed = store.applied;
    let flushing: Promise<void> = Promise.resolve();
    const flushOnce = async (): Promise<void> => {
      const upTo = list.length;
      const ops = list.slice(flushed, upTo).map((value, i) => ({
        type: "put" as const,
        key: valueKey(flushed + i),
        value: u32(value),
      }));
      if (ops.length === 0) return;
      try {
        await opened.kv.batch([...ops, positionsOp(group, { applied: upTo, depotsSynced: upTo })], { sync: true });
      } catch {
        // Closed or dead meanwhile.
        return;
      }
      if (life.replica !== replica || life.dead) return;
      flushed = upTo;
      replica.release(group, upTo);
    };
    const flush = (): Promise<void> => {
      flushing = flushing.then(flushOnce);
      return flushing;
    };
    const apply = (entry: TailEntry, offset: number): void => {
      if (life.dead) this.fail(`${life.node.host} applies when dead`);
      const value = entry.kind === TURN ? readU32(entry.payload) : 0;
      if (list.length !== offset) this.fail(`${life.node.host} applies ${offset}, has ${list.length}`);
      list.push(value);
      this.#applied(life, offset, value);
      if (entry.kind !== TURN && entry.kind !== EPOCH_BEGINS) this.fail(`kind ${entry.kind}`);
    };
    const replica: Replica = new Replica({
      env: this.env,
      transport,
      dataId,
      group,
      self: life.node.member,
      life: life.id,
      store,
      control: {
        propose: (epoch, inSync) => watch.propose(epoch, inSync),
        handOver: (epoch, to) => watch.handOver(epoch, to),
        confirm: async (epoch) => ((await watch.confirm(epoch)) ? leaseMs : 0),
      },
      minInSync: () => this.minIsr,
      maxLagMs: () => maxLagMs,
      application: {
        apply,
        appliedUpTo: () => {},
        flush,
        refuse: (error) => {
          life.refused = error !== null;
        },
        hold: async () => {
          life.held = true;
        },
        goOn: () => {
          life.held = false;
        },
        lead: (epoch, end) => {
          if (list.length !== end) this.fail(`${life.node.host} leads with ${list.length} of ${end} applied`);
          if (end < this.committed.length)
            this.fail(`epoch ${epoch} begins at ${end}, ${this.committed.length} were visible`);
          const known = this.leaderOf.get(epoch);
          if (known !== undefined && known !== life.id) this.fail(`two leaders in epoch ${epoch}`);
          this.leaderOf.set(epoch, life.id);
          this.happened.leaders++;
          life.leading = epoch;
          life.refused = false;
          life.held = false;
        },
      },
      ...(this.seed % 3 === 0 ? { keptEntries: 30 } : {}),
      onDeposed: (replace) => {
        life.leading = 0;
        this.happened.taken += life.pending.length;
        life.pending.length = 0;
        this.env.spawn("reopen", async () => {
          await store.log.close();
          await opened.kv.close();
          if (!life.dead && replace !== undefined) {
            replace();
            this.happened.copies++;
          }
          if (!life.dead) await this.#open(life, watch, members);
        });
      },
    });
    life.replica = replica;
    life.visible = () => list.length;
    // What the engine's replog does: entries apply when they are committed.
    replica.onDurable = (upTo) => {
      if (life.dead) this.fail(`${life.node.host} commits when dead`);
      while (life.pending.length > 0 && life.pending[0]!.number <= upTo) {
        const { value } = life.pending.shift()!;
        const offset = list.length;
        list.push(value);
        this.#applied(life, offset, value);
        if (this.acked.has(value)) this.fail(`${value} is acknowledged twice`);
        this.acked.set(value, offset);
        this.#ackedEnd = Math.max(this.#ackedEnd, offset + 1);
        this.happened.acked++;
      }
    };
    this.#flushEvery(life, replica, flush);
    this.#view(life, watch, members);
  }

  #flushEvery(life: Life, replica: Replica, flush: () => Promise<void>): void {
    this.env.spawn("flush", async () => {
      for (;;) {
        await this.env.sleep(50 + this.env.random() * 400);
        if (life.dead || life.replica !== replica) return;
        await flush();
      }
    });
  }

  #applied(life: Life, offset: number, value: number): void {
    const known = this.committed[offset];
    if (known === undefined) {
      if (offset !== this.committed.length)
        this.fail(`${life.node.host}: ${offset} applied before ${this.committed.length}`);
      this.committed.push(value);
    } else if (known !== value) this.fail(`${life.node.host}: offset ${offset} holds ${value}, was ${known}`);
  }

  async #clients(): Promise<void> {
    for (;;) {
      await this.env.sleep(this.env.random() * (this.env.random() < 0.1 ? 200 : 10));
      for (const { life } of this.nodes) {
        if (life === undefined || life.dead || life.leading === 0 || life.refused || life.held || !life.replica!.leads)
          continue;
        const count = 1 + Math.floor(this.env.random() * 4);
        for (let i = 0; i < count; i++) {
          const value = this.#nextValue++;
          const offset = life.replica!.status().end;
          life.replica!.append(TURN, group, life.leading, offset, [u32(value)]);
          life.pending.push({ value, number: life.replica!.end });
        }
        life.replica!.commit(this.env.random() < 0.5);
      }
    }
  }

  /** Ask whoever takes itself for the leader. What was acknowledged when they ask must be there when they are answered. */
  async #readers(): Promise<void> {
    for (;;) {
      await this.env.sleep(this.env.random() * 20);
      for (const { life } of this.nodes) {
        if (life === undefined || life.dead || life.leading === 0 || !life.replica!.leads) continue;
        const { reads } = life.replica!;
        const { visible } = life;
        const asked = this.#ackedEnd;
        const answer = (error: RamaError | null): void => {
          if (life.dead) return;
          this.happened.reads++;
          if (error !== null) this.happened.readsRefused++;
          else if (visible() < asked)
            this.fail(`${life.node.host} shows ${visible()} entries, ${asked} were acknowledged`);
        };
        if (reads.open) answer(null);
        else {
          this.happened.readsThatWaited++;
          reads.wait(answer);
        }
      }
    }
  }

  /** Has leaders hand over to any other member, in sync or not. */
  async #balance(): Promise<void> {
    for (;;) {
      await this.env.sleep(200 + this.env.random() * 2_000);
      const leader = this.nodes.find(({ life }) => life !== undefined && !life.dead && life.replica?.leads === true);
      const to = this.nodes[Math.floor(this.env.random() * this.nodes.length)]!;
      if (leader === undefined || leader === to) continue;
      // Of one that is killed meanwhile nothing is heard any more.
      this.env.spawn("hand-over", () => this.#handOver(leader.life!.replica!, to.member));
    }
  }

  async #handOver(replica: Replica, to: Member): Promise<void> {
    try {
      await replica.resign(to);
      this.happened.handOvers++;
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      this.happened.handOversRefused++;
    }
  }

  async #faults(): Promise<void> {
    const { env } = this;
    await env.sleep(500);
    const rounds = 12;
    for (let round = 0; round < rounds; round++) {
      await env.sleep(env.random() * 1_500);
      const node = this.nodes[Math.floor(env.random() * this.nodes.length)]!;
      const other = this.nodes[(node.member + 1) % this.nodes.length]!;
      const kind = Math.floor(env.random() * 8);
      if (kind <= 1) this.#kill(node, kind === 1);
      else if (kind === 2) {
        // All at once.
        for (const each of this.nodes) this.#kill(each, env.random() < 0.5);
      } else if (kind === 3) {
        this.happened.networkCuts++;
        this.world.network.cut(node.host, other.host);
        env.setTimer(env.random() * 2_500, () => this.world.network.heal(node.host, other.host));
      } else if (kind === 4) {
        for (const each of this.nodes) {
          if (each === node) continue;
          this.world.network.cut(node.host, each.host);
          env.setTimer(env.random() * 2_500, () => this.world.network.heal(node.host, each.host));
        }
      } else if (kind === 5) this.world.network.closeConnections(node.host, other.host);
      else if (kind === 6 && node.life !== undefined && !node.life.dead) {
        this.happened.expiries++;
        if (this.print) console.log(`expire ${node.host} ${node.life.id}`);
        this.world.metastoreServer.cutOff(node.life.platform.sessions[0]!, sessionMs, env.random() * 1_500);
      } else if (kind === 7) {
        this.happened.outages++;
        if (this.print) console.log(`outage ${node.host}`);
        this.world.metastoreServer.setReachable(false);
        env.setTimer(env.random() * 4_000, () => this.world.metastoreServer.setReachable(true));
      }
      for (const each of this.nodes) if (each.life?.dead && env.random() < 0.6) await this.#restart(each);
    }
  }

  #kill(node: Node, powerCut: boolean): void {
    if (this.print) console.log(`kill ${node.host} ${node.life?.id} ${powerCut}`);
    const { life } = node;
    if (life === undefined || life.dead) return;
    this.happened.kills++;
    life.dead = true;
    life.close();
    life.platform.kill();
    // A killed process's files are as it left them; its stores are dead like its memory.
    if (powerCut) this.happened.powerCuts++;
    this.world.powerCut(node.host, powerCut ? undefined : () => 0.999_999);
  }

  async #restart(node: Node): Promise<void> {
    this.env.spawn(`start ${node.host}`, () => this.start(node));
  }

  async #heal(): Promise<void> {
    this.world.metastoreServer.setReachable(true);
    for (const a of this.nodes) for (const b of this.nodes) if (a !== b) this.world.network.heal(a.host, b.host);
    for (const node of this.nodes) if (node.life?.dead) await this.#restart(node);
  }

  #allThere(): boolean {
    const leader = this.nodes.find(({ life }) => life?.replica?.leads)?.life?.replica?.status();
    if (leader?.inSync.length !== this.nodes.length) return false;
    return this.nodes.every(({ life }) => (life?.replica?.status().applied ?? 0) > this.committed.length - 200);
  }

  #checkEnd(): void {
    const places = new Map<number, number>();
    this.committed.forEach((value, offset) => {
      if (value === 0) return;
      if (places.has(value)) this.fail(`${value} is there twice`);
      places.set(value, offset);
    });
    for (const [value, offset] of this.acked)
      if (places.get(value) !== offset) this.fail(`${value} was acknowledged at ${offset}, is at ${places.get(value)}`);
    if (!this.#allThere()) this.fail(`not all have caught up: ${this.#state()}`);
    for (const { life } of this.nodes) life?.close();
  }
}

if (import.meta.main) {
  const [from, to, print] = process.argv.slice(2).map(Number) as [number, number, number];
  const sums: Record<string, number> = {};
  for (let seed = from; seed < to; seed++) {
    try {
      const result = await runSeed(seed, print === 1);
      for (const [key, value] of Object.entries(result)) sums[key] = (sums[key] ?? 0) + value;
    } catch (error) {
      process.stdout.write(`${(error as Error).message}\n`);
      sums["failed"] = (sums["failed"] ?? 0) + 1;
      if (print === 1) process.stdout.write(`${(error as Error).stack}\n`);
    }
  }
  process.stdout.write(`${JSON.stringify(sums)}\n`);
}
