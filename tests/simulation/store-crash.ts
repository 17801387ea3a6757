// One store under random appends, flushes and power cuts, from a seed. Used by store-crash.test.ts; also run by hand: `bun tests/simulation/store-crash.ts 1 2000`.
//
// The host below is the smallest user of the data plane's lower half: two groups with depots, a counter per partition in place of PStates, clients with
// tokens that send again after a crash. Guards against: acknowledged records lost, doubled, reordered or invented; visible records that vanish; counters that are
// not the fold over their depot; a log that grows for ever.
import type { DepotGroup } from "../../src/depot/depot-store.ts";
import { openDepots } from "../../src/depot/depot-store.ts";
import type { DepotPartition } from "../../src/depot/partition.ts";
import { DEPOT_APPEND, PSTATE_WRITES } from "../../src/replication/entry.ts";
import { StoreFlusher } from "../../src/replication/flush.ts";
import { GroupReplog } from "../../src/replication/replog.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import type { KvOp } from "../../src/storage/kv.ts";
import { type MemoryKvOpener, memoryKv } from "../../src/storage/kv-memory.ts";
import { openStore, type RecoveredStore } from "../../src/storage/store.ts";

const groupCount = 2;
const taskCount = 4;
const depots = [
  { index: 0, name: "*a", global: false },
  { index: 1, name: "*b", global: true },
];

/** What one client has sent to one partition. */
interface Sent {
  readonly seq: number;
  readonly ids: number[];
  acked: boolean;
}

/** One partition's history as the outside knows it. */
class History {
  /** By client. */
  readonly sent: Sent[][] = [[], []];
  readonly nextSeq = [0, 0];
  /** Ids in the order in which they were seen as readable: they stay. */
  visible: number[] = [];
  readonly issued = new Set<number>();
}

const counterKey = (depot: number, task: number) => Uint8Array.of(0x58, depot, task);

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

const readU32 = (bytes: Uint8Array, at = 0): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

/** Counters of one group: what stands in for PStates. Entry: depot u8, task u8, count u32. */
class Counters {
  readonly values = new Map<string, number>();
  #dirty = new Map<string, KvOp>();

  get unflushedBytes(): number {
    return this.#dirty.size * 10;
  }

  apply(depot: number, task: number, count: number): void {
    this.values.set(`${depot}/${task}`, count);
    this.#dirty.set(`${depot}/${task}`, { type: "put", key: counterKey(depot, task), value: u32(count) });
  }

  collect() {
    const dirty = this.#dirty;
    this.#dirty = new Map();
    return {
      ops: [...dirty.values()],
      done: () => {},
      failed: () => {
        this.#dirty = new Map([...dirty, ...this.#dirty]);
      },
    };
  }
}

interface Life {
  readonly env: SimulatedEnv;
  readonly store: RecoveredStore;
  readonly replogs: GroupReplog[];
  readonly depots: DepotGroup[];
  readonly counters: Counters[];
  readonly flusher: StoreFlusher;
}

export interface SeedResult {
  readonly lives: number;
  readonly appends: number;
  readonly duplicates: number;
  readonly segmentsRecycled: number;
  readonly segmentsBegun: number;
  readonly inlineSyncs: number;
  readonly asyncSyncs: number;
  readonly tornBytes: number;
}

export async function runSeed(seed: number): Promise<SeedResult> {
  return new Scenario(seed).run();
}

class Scenario {
  readonly #seed: number;
  readonly #chance: SimulatedEnv;
  readonly #disk: MemoryDisk;
  readonly #kv: MemoryKvOpener;
  readonly #histories = new Map<string, History>();
  #env: SimulatedEnv;
  /** Operations until everything fails; Infinity in the calm. */
  #untilCut = Number.POSITIVE_INFINITY;
  #syncFailed = false;
  #slowSyncs = false;
  #copyBytes = 1;
  #nextId = 1;
  #live: Life | undefined;
  readonly #result = {
    lives: 0,
    appends: 0,
    duplicates: 0,
    segmentsRecycled: 0,
    segmentsBegun: 0,
    inlineSyncs: 0,
    asyncSyncs: 0,
    tornBytes: 0,
  };

  constructor(seed: number) {
    this.#seed = seed;
    this.#chance = new SimulatedEnv({ seed });
    this.#env = this.#chance;
    this.#disk = new MemoryDisk({
      fault: (operation) => this.#operation(operation),
      syncDelay: async () => {
        if (this.#slowSyncs) await this.#env.sleep(this.#pick(4));
      },
    });
    this.#kv = memoryKv({ disk: this.#disk, fault: () => this.#operation() });
    for (const { index, global } of depots)
      for (let task = 0; task < (global ? 1 : taskCount); task++)
        this.#histories.set(`${index}/${task}`, new History());
  }

  async run(): Promise<SeedResult> {
    const lives = 3 + this.#pick(5);
    // The memory Kv's identity is a file that it cannot write atomically: it is made in the calm.
    this.#disk.mkdir("/store/kv");
    await (await this.#kv.open("/store/kv")).close();
    for (let life = 0; life < lives; life++) {
      const last = life === lives - 1;
      this.#env = new SimulatedEnv({ seed: this.#pick(2 ** 31), logLevel: "error", onFailure: () => {} });
      this.#slowSyncs = this.#pick(2) === 1;
      this.#copyBytes = this.#pick(2) === 1 ? 1 : 10_000;
      // Now and then the cut comes while the store opens.
      this.#untilCut = last ? Number.POSITIVE_INFINITY : this.#pick(this.#pick(4) === 0 ? 12 : 250);
      try {
        await this.#env.complete(this.#live_(last));
      } catch (error) {
        if (this.#untilCut > 0)
          throw new Error(`seed ${this.#seed}, life ${life}: ${(error as Error).message}`, { cause: error });
      }
      this.#die();
    }
    return this.#result;
  }

  #operation(operation = "kv"): void {
    if (--this.#untilCut > 0) return;
    // A sync that failed while the machine goes on is another fault than a crash: its bytes would stay readable and never be durable.
    this.#syncFailed ||= operation === "sync";
    throw new Error("the power was cut");
  }

  /** Uniform in 0 … n-1. */
  #pick(n: number): number {
    return Math.floor(this.#chance.random() * n);
  }

  #die(): void {
    const counters = this.#live?.store.log.counters;
    this.#result.segmentsRecycled += counters?.segmentsRecycled ?? 0;
    this.#result.inlineSyncs += counters?.inlineSyncs ?? 0;
    this.#result.asyncSyncs += counters?.asyncSyncs ?? 0;
    this.#live = undefined;
    this.#untilCut = Number.POSITIVE_INFINITY;
    if (this.#pick(4) > 0 || this.#syncFailed) {
      this.#syncFailed = false;
      this.#disk.powerCut(() => this.#chance.random(), 0.3);
      this.#kv.powerCut(() => this.#chance.random());
    } else this.#kv.powerCut(() => 0.999999); // kill -9: what was written stays
  }

  async #live_(last: boolean): Promise<void> {
    const live = await this.#open();
    this.#live = live;
    this.#result.lives++;
    this.#check(live);
    this.#sendAgain(live);
    for (let step = 0; step < 30 + this.#pick(80); step++) await this.#step(live);
    if (!last) return;
    // Calm: everything lands, is flushed, and the log has let go of nearly all.
    live.store.log.commit(false);
    await this.#env.sleep(50);
    this.#sendAgain(live);
    live.store.log.commit(false);
    await this.#env.sleep(50);
    this.#check(live);
    for (const history of this.#histories.values())
      for (const sent of history.sent.flat())
        if (!sent.acked) throw new Error(`append ${sent.seq} was never acknowledged`);
    await live.flusher.close();
    const segments = this.#disk.list("/store/log").filter((name) => name.endsWith(".log"));
    if (segments.length > 1) throw new Error(`the log still holds ${segments}`);
    await live.store.log.close();
    await live.store.kv.close();
    const again = await this.#open();
    if (again.store.recovery.entries !== 0)
      throw new Error(`${again.store.recovery.entries} entries after a clean close`);
    this.#check(again);
  }

  async #open(): Promise<Life> {
    const env = this.#env;
    const opened = await openStore({ env, disk: this.#disk, kv: this.#kv, dir: "/store", segmentSizeBytes: 3000 });
    const groups: DepotGroup[] = [];
    const counters: Counters[] = [];
    for (let group = 0; group < groupCount; group++) {
      const tasks = [group, group + groupCount];
      groups.push(
        await openDepots({
          disk: this.#disk,
          kv: opened.kv,
          dir: opened.depotsDir,
          tasks,
          depots,
          segmentSizeBytes: 1500,
          keptBytes: 300,
          copyBytes: this.#copyBytes,
        }),
      );
      const counter = new Counters();
      for (const { index } of depots)
        for (const task of tasks) {
          const value = opened.kv.getSync(counterKey(index, task));
          if (value !== undefined) counter.values.set(`${index}/${task}`, readU32(value));
        }
      counters.push(counter);
    }
    const store = await opened.recover(({ group, kind, payload }, applied) => {
      if (kind === DEPOT_APPEND) groups[group]!.applyEntry(payload);
      else if (!applied) counters[group]!.apply(payload[0]!, payload[1]!, readU32(payload, 2));
    });
    this.#result.tornBytes += store.recovery.tornBytes;
    const { kv, log } = store;
    const flusher = new StoreFlusher({
      env,
      kv,
      log,
      intervalMs: 7,
      depotSyncMs: 20,
      depotSyncBytes: 6000,
      onFailed: () => {},
    });
    const replogs = groups.map((depotGroup, group) => {
      const replog = new GroupReplog({ group, log, epoch: 1, end: store.groupEnd(group) });
      flusher.add(group, { replog, depots: depotGroup, pstates: counters[group]! }, opened.positions(group));
      return replog;
    });
    log.onDurable = (upTo) => {
      for (const replog of replogs) replog.durableUpTo(upTo);
    };
    return { env, store, replogs, depots: groups, counters, flusher };
  }

  async #step(live: Life): Promise<void> {
    const choice = this.#pick(10);
    if (choice < 6) {
      for (let i = this.#pick(4); i >= 0; i--) this.#append(live);
      live.store.log.commit(this.#pick(2) === 0);
    } else if (choice === 6) await live.env.sleep(this.#pick(6));
    else if (choice === 7) {
      if (this.#pick(2) === 0) await live.flusher.flushWholly();
      else await live.flusher.flushNow();
      if (this.#pick(2) === 0) {
        const before = live.store.log.counters.segmentsCreated + live.store.log.counters.segmentsRecycled;
        live.store.log.beginSegment(100);
        const { segmentsCreated, segmentsRecycled } = live.store.log.counters;
        if (segmentsCreated + segmentsRecycled > before) this.#result.segmentsBegun++;
      }
    } else if (choice === 8) this.#read(live);
    else this.#sendDuplicate(live);
    this.#noteVisible(live);
  }

  #partitionAt(live: Life, name: string): DepotPartition {
    const [depot, task] = name.split("/").map(Number) as [number, number];
    return live.depots[task % groupCount]!.partition(depot, task)!;
  }

  #randomPartition(): [string, History] {
    return [...this.#histories][this.#pick(this.#histories.size)]!;
  }

  #append(live: Life): void {
    const [name, history] = this.#randomPartition();
    const client = this.#pick(2);
    const count = 1 + this.#pick(3);
    const ids = Array.from({ length: count }, () => this.#nextId++);
    for (const id of ids) history.issued.add(id);
    const sent: Sent = { seq: history.nextSeq[client]!, ids, acked: false };
    history.nextSeq[client]! += count;
    history.sent[client]!.push(sent);
    this.#send(live, name, client, sent);
  }

  #send(live: Life, name: string, client: number, sent: Sent): void {
    const [depot, task] = name.split("/").map(Number) as [number, number];
    const partition = this.#partitionAt(live, name);
    const group = task % groupCount;
    const replog = live.replogs[group]!;
    const records = sent.ids.map((id) => {
      // Record: length, id, filler of a length that the id gives.
      const record = new Uint8Array(8 + (id % 60));
      record.set(u32(record.length - 4), 0);
      record.set(u32(id), 4);
      return record;
    });
    const token = { client: new Uint8Array(16).fill(client + 1), seq: sent.seq };
    const { duplicate } = partition.append(
      replog,
      Buffer.concat(records),
      sent.ids.length,
      token,
      live.env.now(),
      () => {
        sent.acked = true;
      },
    );
    this.#result.appends++;
    if (duplicate) {
      this.#result.duplicates++;
      return;
    }
    const count = partition.appendEnd;
    replog.append(PSTATE_WRITES, [Uint8Array.of(depot, task), u32(count)], () =>
      live.counters[group]!.apply(depot, task, count),
    );
  }

  /** What clients do after trouble: everything that is open, in order. */
  #sendAgain(live: Life): void {
    for (const [name, history] of this.#histories)
      history.sent.forEach((all, client) => {
        for (const sent of all) if (!sent.acked) this.#send(live, name, client, sent);
      });
    live.store.log.commit(false);
  }

  #sendDuplicate(live: Life): void {
    const [name, history] = this.#randomPartition();
    const client = this.#pick(2);
    const recent = history.sent[client]!.slice(-20);
    if (recent.length > 0) this.#send(live, name, client, recent[this.#pick(recent.length)]!);
  }

  #idsOf(partition: DepotPartition, from: number, to: number): number[] {
    const ids: number[] = [];
    for (let offset = from; offset < to; ) {
      const views = partition.read(offset, to, 1 + this.#pick(400));
      for (const view of views) {
        if (view.offset !== offset++) throw new Error(`read ${view.offset} in place of ${offset - 1}`);
        const id = readU32(view.bytes, view.start);
        if (view.end - view.start !== 4 + (id % 60)) throw new Error(`record ${id} has ${view.end - view.start} bytes`);
        ids.push(id);
      }
    }
    return ids;
  }

  #read(live: Life): void {
    const [name, history] = this.#randomPartition();
    const partition = this.#partitionAt(live, name);
    const from = this.#pick(partition.endOffset + 1);
    const to = from + this.#pick(partition.endOffset - from + 1);
    const expected = history.visible.slice(from, to);
    const ids = this.#idsOf(partition, from, Math.min(to, history.visible.length));
    if (ids.join() !== expected.slice(0, ids.length).join())
      throw new Error(`${name} [${from}, ${to}) reads ${ids}, was ${expected}`);
    if (from < to) {
      const time = partition.appendTimeOf(from);
      const first = partition.offsetAfterTimestamp(time);
      if (first > from || partition.appendTimeOf(first) !== time)
        throw new Error(`${name}: offset ${from} of ${time} found at ${first}`);
    }
  }

  #noteVisible(live: Life): void {
    for (const [name, history] of this.#histories) {
      const partition = this.#partitionAt(live, name);
      if (partition.endOffset > history.visible.length)
        history.visible.push(...this.#idsOf(partition, history.visible.length, partition.endOffset));
    }
  }

  #check(live: Life): void {
    for (const [name, history] of this.#histories) {
      const partition = this.#partitionAt(live, name);
      const ids = this.#idsOf(partition, partition.startOffset, partition.endOffset);
      const places = new Map(ids.map((id, at) => [id, at]));
      if (places.size !== ids.length) throw new Error(`${name}: a record is there twice: ${ids}`);
      for (const id of ids) if (!history.issued.has(id)) throw new Error(`${name}: record ${id} was never sent`);
      if (history.visible.join() !== ids.slice(0, history.visible.length).join())
        throw new Error(`${name}: had ${history.visible}, has ${ids}`);
      for (const all of history.sent) {
        let before = -1;
        for (const sent of all)
          for (const id of sent.ids) {
            const at = places.get(id);
            if (at === undefined && sent.acked) throw new Error(`${name}: acknowledged record ${id} is lost`);
            if (at !== undefined && at <= before)
              throw new Error(`${name}: record ${id} stands before its predecessor`);
            before = at ?? before;
          }
      }
      history.visible = ids;
      this.#checkCounter(live, name, partition);
    }
  }

  /** The counter's entry follows that of the records: one tail may be missing, nothing else. */
  #checkCounter(live: Life, name: string, partition: DepotPartition): void {
    const counter = live.counters[partition.task % groupCount]!.values.get(name) ?? 0;
    const missing = partition.endOffset - counter;
    if (missing < 0 || missing > 3) throw new Error(`${name}: ${partition.endOffset} records, counted ${counter}`);
  }
}

if (import.meta.main) {
  const [from, to] = process.argv.slice(2).map(Number) as [number, number];
  const sums: Record<string, number> = {};
  for (let seed = from; seed < to; seed++) {
    const result = await runSeed(seed);
    for (const [key, value] of Object.entries(result)) sums[key] = (sums[key] ?? 0) + value;
  }
  process.stdout.write(`${JSON.stringify(sums)}\n`);
}
