// Reads of one engine: depot partitions, PStates by path, and proxies on them. Only what is applied is seen.
import { messageOf, RamaError } from "../base/errors.ts";
import type { DepotControl } from "../depot/control-entry.ts";
import type { DepotPartition } from "../depot/partition.ts";
import { type PathRoot, ReadSession } from "../paths/indexed.ts";
import { type ConsumersNeed, DepotFetches } from "./depot-fetches.ts";
import type { EngineFetch, EngineSelect } from "./engine-api.ts";
import type { EngineCore } from "./engine-core.ts";
import { type EngineWatch, ProxyHub, type Subscription } from "./proxies.ts";
import type { RunQueue } from "./run-queue.ts";

export class EngineReads {
  readonly #core: EngineCore;
  readonly #queue: RunQueue;
  readonly #proxies: ProxyHub;
  readonly #fetches: DepotFetches;
  /** Of selects that miss nothing; one that does takes it along, with what it loads. */
  #session = new ReadSession();
  readonly #externals = new Map<number, PathRoot>();

  constructor(core: EngineCore, queue: RunQueue, note: (partition: DepotPartition, control: DepotControl) => void) {
    this.#core = core;
    this.#queue = queue;
    this.#proxies = this.#makeProxies();
    this.#fetches = new DepotFetches(core.options.env, note);
  }

  partitionInfo(depot: number, task: number): { startOffset: number; endOffset: number } {
    const { startOffset, endOffset } = this.#depotPartition(depot, task);
    return { startOffset, endOffset };
  }

  /** Records of [from, to), encoded; as many as one answer should hold. OFFSET_OUT_OF_RANGE. */
  readDepot(depot: number, task: number, from: number, to: number): Uint8Array[] {
    const views = this.#depotPartition(depot, task).read(from, to, 16 * 1024 * 1024);
    return views.map(({ bytes, start, end }) => bytes.subarray(start, end));
  }

  /** Answered at once, or later: then returns what drops it. */
  fetchDepot(depot: number, task: number, fetch: EngineFetch): (() => void) | undefined {
    const partition = this.#depotPartition(depot, task);
    if (this.#core.closing) throw new RamaError("MOVED", "this engine is closing", { task });
    return this.#fetches.add(partition, fetch);
  }

  /** What topologies of other modules may still fetch. */
  neededElsewhere(partition: DepotPartition): ConsumersNeed {
    return this.#fetches.need(partition);
  }

  /** Offset of the first record appended at `ms` or later. */
  offsetAt(depot: number, task: number, ms: number): number {
    return this.#depotPartition(depot, task).offsetAfterTimestamp(ms);
  }

  /** Entries are applied: partitions may have grown. */
  applied(): void {
    this.#fetches.applied();
  }

  rejectFetches(error: RamaError): void {
    this.#fetches.reject(error);
  }

  #depotPartition(depot: number, task: number): DepotPartition {
    const definition = this.#core.options.module.definition.depots[depot];
    if (definition === undefined) throw new RamaError("UNKNOWN_OBJECT", `the module has no depot ${depot}`, { depot });
    const error = this.#core.partitionError(definition.name, task, (found) => found.depots[depot]);
    if (error !== null) throw error;
    return this.#core.tasks[task]!.depots[depot]!;
  }

  /** At once when nothing waits; in the clients' share of the thread otherwise. */
  select(select: EngineSelect): void {
    if (!this.#core.loop.running && this.#queue.length === 0) this.#selectNow(select);
    else this.#core.clientJob(() => this.#selectNow(select));
  }

  #selectNow(select: EngineSelect): void {
    const definition = this.#core.options.module.definition.pstates[select.pstate];
    const error =
      definition === undefined
        ? new RamaError("UNKNOWN_OBJECT", `the module has no PState ${select.pstate}`, { pstate: select.pstate })
        : this.#core.partitionError(definition.name, select.task, (found) => found.pstates[select.pstate]);
    if (error !== null) {
      select.reply(error, []);
      return;
    }
    let rows: unknown[];
    try {
      rows = select.select(this.#external(select.pstate, select.task), this.#session);
    } catch (thrown) {
      if (!this.#session.missed) {
        select.reply(readError(thrown, definition!.name), []);
        return;
      }
      rows = [];
    }
    if (!this.#session.missed) select.reply(null, rows);
    else {
      const session = this.#session;
      this.#session = new ReadSession();
      this.#externals.clear();
      this.#core.options.env.spawn("select", () => this.#selectLater(select, definition!.name, session));
    }
  }

  #external(pstate: number, task: number): PathRoot {
    const key = pstate * 65536 + task;
    let root = this.#externals.get(key);
    if (root === undefined) {
      root = this.#core.tasks[task]!.pstates[pstate]!.external(this.#session);
      this.#externals.set(key, root);
    }
    return root;
  }

  async #selectLater(select: EngineSelect, name: string, session: ReadSession): Promise<void> {
    const root = this.#core.tasks[select.task]!.pstates[select.pstate]!.external(session);
    try {
      await session.load();
      for (;;) {
        let rows: unknown[] = [];
        try {
          rows = select.select(root, session);
        } catch (thrown) {
          if (!session.missed) throw thrown;
        }
        if (!session.missed) return select.reply(null, rows);
        await session.load();
      }
    } catch (error) {
      select.reply(readError(error, name), []);
    }
  }

  /** Tells the sink what the path navigates to, then each change of it, until the subscription is closed. */
  watch(watch: EngineWatch): Subscription {
    return this.#proxies.open(watch);
  }

  #makeProxies(): ProxyHub {
    const { definition } = this.#core.options.module;
    return new ProxyHub({
      env: this.#core.options.env,
      partition: (pstate, task) => {
        const name = definition.pstates[pstate]?.name ?? `PState ${pstate}`;
        return (
          this.#core.partitionError(name, task, (found) => found.pstates[pstate]) ??
          this.#core.tasks[task]!.pstates[pstate]!
        );
      },
      select: (select) => this.select(select),
      selectNow: (select) => this.#selectNow(select),
      push: (job) => this.#core.clientJob(job),
      limit: () => this.#core.view.number("pstate.proxy.limit"),
      queueLimit: (pstate) => this.#core.view.number("pstate.reactivity.queue.limit", definition.pstates[pstate]!.name),
    });
  }
}

function readError(error: unknown, pstate: string): RamaError {
  if (error instanceof RamaError) return error;
  return new RamaError("USER_CODE_FAILED", `reading ${pstate}: ${messageOf(error)}`, { pstate }, error);
}
