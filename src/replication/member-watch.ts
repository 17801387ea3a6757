// Which workers that share task groups with this one have a process now, and where: each writes an ephemeral node of its own, which goes with its session.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Metastore, NodeValue } from "../metastore/metastore.ts";
import { fromNode, toNode, tree } from "../metastore/tree.ts";
import type { Leaderless } from "../protocol/cluster-records.ts";
import type { Member } from "./group-record.ts";

export interface MemberRecord {
  readonly member: Member;
  /** Another one for each process. */
  readonly life: string;
  readonly host: string;
  /** Id of the supervisor that runs it. */
  readonly node?: string;
  /** Engine port by task group. */
  readonly groupPorts: Readonly<Record<string, number>>;
}

export interface MemberWatchOptions {
  readonly env: Env;
  readonly metastore: Metastore;
  readonly dataId: string;
  readonly self: MemberRecord;
  /** Workers that hold any of its groups. */
  readonly members: readonly Member[];
}

const retryMs = 200;

export class MemberWatch {
  readonly #options: MemberWatchOptions;
  readonly #stop = new AbortController();
  readonly #live = new Map<Member, MemberRecord>();
  readonly #listeners = new Set<() => void>();
  #stands = false;
  /** Node that shall lead nothing. */
  #leaderless: string | undefined;

  constructor(options: MemberWatchOptions) {
    this.#options = options;
  }

  get live(): ReadonlyMap<Member, MemberRecord> {
    return this.#live;
  }

  /** Live members that should not lead while another may. */
  get excluded(): ReadonlySet<Member> {
    const node = this.#leaderless;
    if (node === undefined) return new Set();
    return new Set([...this.#live.values()].filter((record) => record.node === node).map(({ member }) => member));
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves when this worker's own node stands. METASTORE_UNAVAILABLE. */
  async start(): Promise<void> {
    const { env, metastore, dataId, self, members } = this.#options;
    const path = tree.member(dataId, self.member);
    // The node of an earlier process of this worker may outlive it by its session's timeout; its stores are ours now.
    await metastore.remove(path);
    await this.#create();
    this.#stands = true;
    for (const member of members) env.spawn(`member ${member}`, () => this.#watch(member));
    env.spawn("the node without leaders", () => this.#watchLeaderless());
  }

  async #create(): Promise<void> {
    const { metastore, dataId, self } = this.#options;
    await metastore.create(tree.member(dataId, self.member), toNode(self), { ephemeral: true });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    const { metastore, dataId, self } = this.#options;
    try {
      await metastore.remove(tree.member(dataId, self.member));
    } catch (error) {
      // It goes with the session.
      if (!(error instanceof RamaError)) throw error;
    }
  }

  /** For a process that is played dead. */
  abort(): void {
    this.#stop.abort();
  }

  #watch(member: Member): Promise<void> {
    return this.#follow(tree.member(this.#options.dataId, member), async (node) => {
      if (node === undefined) this.#live.delete(member);
      else this.#live.set(member, fromNode<MemberRecord>(node.data));
      for (const listener of this.#listeners) listener();
      if (node === undefined && member === this.#options.self.member && this.#stands) await this.#create();
    });
  }

  #watchLeaderless(): Promise<void> {
    return this.#follow(tree.leaderless, async (node) => {
      const before = this.#leaderless;
      this.#leaderless = node === undefined ? undefined : fromNode<Leaderless>(node.data).supervisorId;
      if (this.#leaderless !== before) for (const listener of this.#listeners) listener();
    });
  }

  async #follow(path: string, seen: (node: NodeValue | undefined) => Promise<void>): Promise<void> {
    const { env, metastore } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const node of metastore.watch(path, signal)) await seen(node);
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        await env.sleep(retryMs, signal);
      }
    }
  }
}
