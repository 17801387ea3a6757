// The conductor's part in who leads: looks now and then whether the leaders of each replicated module could be spread better over its nodes, has them balanced when that has
// been so for a while, and keeps the record of the node on which none shall be (`disallowLeaders`).
import { decodeControl, encodeControl } from "../../base/codec.ts";
import type { Env, Timer } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import type { ClusterStore } from "../../cluster/cluster-store.ts";
import { type LeaderPlaces, type LeaderSwitch, leaderSwitches, strandedGroups } from "../../cluster/leader-balance.ts";
import type { Platform } from "../../net/platform.ts";
import { RpcClient } from "../../net/rpc.ts";
import type { ModuleRecord } from "../../protocol/cluster-records.ts";
import type { LeadersAnswer, ResignLeader } from "../../protocol/conductor.ts";
import { RESIGN_LEADER } from "../../protocol/table.ts";

const lookEveryMs = 5_000;
/** A process that ends again soon should not have moved leaders twice. */
const balanceAfterMs = 20_000;
const connectTimeoutMs = 1_000;
/** More than a leader takes to hand over or to give up. */
const handOverTimeoutMs = 6_000;

export interface LeadersOptions {
  readonly env: Env;
  readonly store: ClusterStore;
  /** Resolves with the number of hand-overs. */
  readonly balance: (moduleName: string) => Promise<number>;
}

export class Leaders {
  readonly #options: LeadersOptions;
  /** By module: since when its leaders could be spread better. */
  readonly #unevenSince = new Map<string, number>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: LeadersOptions) {
    this.#options = options;
    this.#lookLater();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** SUPERVISOR_NOT_FOUND, LEADERS_DISALLOWED. */
  async disallow(supervisorId: string): Promise<LeadersAnswer> {
    const { env, store } = this.#options;
    const ids = (await store.supervisors()).map(({ id }) => id);
    if (!ids.includes(supervisorId)) {
      const message = `no supervisor ${supervisorId} runs; there are: ${ids.join(", ") || "none"}`;
      throw new RamaError("SUPERVISOR_NOT_FOUND", message, { supervisorId });
    }
    await store.setLeaderless({ supervisorId, sinceMs: env.now() });
    return this.#balanceAll();
  }

  /** LEADERS_DISALLOWED: another node is the one without leaders. */
  async allow(supervisorId: string): Promise<LeadersAnswer> {
    const { store } = this.#options;
    const present = await store.leaderless();
    if (!(await store.removeLeaderless(supervisorId))) {
      const where = present === undefined ? "no node" : present.supervisorId;
      const message = `leaders are allowed on ${supervisorId}; they are disallowed on ${where}`;
      throw new RamaError("LEADERS_DISALLOWED", message, { supervisorId });
    }
    return this.#balanceAll();
  }

  async #balanceAll(): Promise<LeadersAnswer> {
    const { store, balance } = this.#options;
    let moved = 0;
    const stay: { module: string; groups: readonly number[] }[] = [];
    for (const record of await store.modules()) {
      if (!isReplicated(record)) continue;
      moved += await balance(record.name);
      const { stranded } = await leadersOf(store, record);
      if (stranded.length > 0) stay.push({ module: record.name, groups: stranded });
    }
    return { moved, stay };
  }

  #lookLater(): void {
    if (this.#closed) return;
    const { env } = this.#options;
    this.#timer = env.setTimer(lookEveryMs, () =>
      env.spawn("are leaders spread evenly", async () => {
        try {
          await this.#look();
        } catch (error) {
          if (!(error instanceof RamaError)) throw error;
          env.log.debug("who leads is not known now", { error: error.message });
        }
        this.#lookLater();
      }),
    );
  }

  async #look(): Promise<void> {
    const { env, store, balance } = this.#options;
    const records = await store.modules();
    for (const record of records) {
      if (!isReplicated(record) || record.state !== "[:running]") continue;
      const { switches, stranded } = await leadersOf(store, record);
      if (switches.length === 0) {
        this.#unevenSince.delete(record.name);
        continue;
      }
      const since = this.#unevenSince.get(record.name) ?? env.monotonicMs();
      this.#unevenSince.set(record.name, since);
      const leaves = switches.some(({ group }) => stranded.includes(group));
      if (!leaves && env.monotonicMs() - since < balanceAfterMs) continue;
      this.#unevenSince.delete(record.name);
      await balance(record.name);
    }
    for (const name of this.#unevenSince.keys())
      if (!records.some((record) => record.name === name)) this.#unevenSince.delete(name);
  }
}

const isReplicated = (record: ModuleRecord): boolean => record.instances.some((each) => each.replicationFactor > 1);

/** What could be better in the instance that serves, and which groups the node without leaders still leads. */
export async function leadersOf(
  store: ClusterStore,
  record: ModuleRecord,
): Promise<{ readonly switches: readonly LeaderSwitch[]; readonly stranded: readonly number[] }> {
  const instance = record.instances.find(({ id }) => id === record.readTarget);
  if (instance === undefined || instance.replicationFactor < 2) return { switches: [], stranded: [] };
  const [groups, live, leaderless] = await Promise.all([
    store.groups(instance),
    store.liveMembers(instance),
    store.leaderless(),
  ]);
  const nodeOf = new Map(instance.placement.map(({ workerIndex, supervisorId }) => [workerIndex, supervisorId]));
  const places: LeaderPlaces = { groups, nodeOf, live, disallowed: leaderless?.supervisorId };
  return { switches: leaderSwitches(places), stranded: strandedGroups(places) };
}

/** Asks the worker that leads the group. LEADER_STAYS, MOVED; CONNECT_FAILED, TIMEOUT: what has become of it the group's record tells. */
export async function handOver(
  { env, transport }: Platform,
  store: ClusterStore,
  record: ModuleRecord,
  { group, from, to }: LeaderSwitch,
): Promise<void> {
  const worker = (await store.workers(record.readTarget)).get(from);
  if (worker === undefined || worker.helloPort === 0)
    throw new RamaError("MOVED", `worker ${from} is not there`, { group });
  const client = new RpcClient(env, transport, { host: worker.host, port: worker.helloPort }, { connectTimeoutMs });
  try {
    const ask: ResignLeader = { group, to };
    decodeControl(await client.call(RESIGN_LEADER, encodeControl(ask), handOverTimeoutMs));
    env.log.debug("a leader has handed over", { module: record.name, group, from, to });
  } finally {
    client.close();
  }
}
