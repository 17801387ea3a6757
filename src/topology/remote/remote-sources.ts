// The sources of one topology on one engine that are not depots of its own module: finds out how many partitions there are, gives each to its task, fixes where it
// begins. Partitions that have been read before are there from the start, wherever the other side is; new ones as soon as it says where they stand.
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Mirrors } from "../../client/mirrors.ts";
import type { CompiledSource, CompiledTopology } from "../../dataflow/compiled.ts";
import { mirrorTask } from "../../dataflow/mirrors.ts";
import type { SourceDefinition, StartFrom } from "../../module/definition.ts";
import { checkExternalDepot, type ExternalDepot } from "../../task/external-depot.ts";
import type { Task } from "../../task/task.ts";
import { lowLatencyJobs } from "../../task/run-queue.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import { startOffsetOf } from "../start-offset.ts";
import { ExternalFeed } from "./external-feed.ts";
import { type Feed, RemoteLog } from "./remote-log.ts";

/** One partition of such a depot, as a source of the topology. */
export interface RemotePartition {
  readonly compiled: CompiledSource;
  readonly definition: SourceDefinition;
  /** Var of the depot. */
  readonly name: string;
  /** The same in every version of the module that reads the same depot. */
  readonly identity: string;
  readonly partition: number;
  /** The local task that has it. */
  readonly task: Task;
  /** Stable number of the source's name in the store. */
  readonly id: number;
  /** That of its dead letters. */
  readonly lettersId: number;
  readonly log: RemoteLog;
}

/** The topology. */
export interface RemoteOwner {
  /** Partitions of which there is progress. */
  partitionsKnown(sourceId: number): readonly number[];
  /** In a turn. `first`: where a partition begins that has no progress. */
  addRemote(remote: RemotePartition, first: number | undefined): void;
  /** Records have come; outside of turns. */
  remoteGrown(): void;
}

interface RemoteSource {
  readonly compiled: CompiledSource;
  readonly definition: SourceDefinition;
  readonly name: string;
  readonly identity: string;
  readonly id: number;
  readonly lettersId: number;
  readonly added: Set<number>;
}

/** How long an engine waits for a new source's depot to say where it stands, before it serves without. */
const beginMs = 10_000;
/** How often the number of partitions is asked for. */
const countEveryMs = 30_000;
const retryFirstMs = 100;
const retryMostMs = 5000;

export class RemoteSources {
  readonly #host: RuntimeHost;
  readonly #topology: CompiledTopology;
  readonly #owner: RemoteOwner;
  readonly #sources: readonly RemoteSource[];
  readonly #logs: RemoteLog[] = [];
  /** By source or partition: what is wrong with it at present. */
  readonly #troubles = new Map<string, string>();
  readonly #closed = new AbortController();
  #begun: Promise<void> = Promise.resolve();

  constructor(host: RuntimeHost, topology: CompiledTopology, owner: RemoteOwner) {
    this.#host = host;
    this.#topology = topology;
    this.#owner = owner;
    const { sources } = host.module.definition.topologies[topology.index]!;
    this.#sources = topology.sources.flatMap((compiled) => {
      const definition = sources[compiled.source]!;
      const { depot } = definition;
      if (depot.kind === "own") return [];
      const identity = this.#identity(depot.kind, depot.name);
      const id = host.nameId(`source ${topology.name} ${identity} ${definition.sourceId}`);
      const lettersId = host.nameId(`dead letters ${topology.name} ${identity} ${definition.sourceId}`);
      return [{ compiled, definition, name: depot.name, identity, id, lettersId, added: new Set<number>() }];
    });
  }

  #identity(kind: "mirror" | "external", name: string): string {
    if (kind === "external") return `external ${name}`;
    const { module, object } = this.#host.module.definition.mirrors.find((mirror) => mirror.name === name)!;
    return `mirror ${module} ${object}`;
  }

  has(sourceId: number): boolean {
    return this.#sources.some(({ id }) => id === sourceId);
  }

  hasLetters(boxId: number): boolean {
    return this.#sources.some(({ lettersId }) => lettersId === boxId);
  }

  /** What cannot be read at present, and why. */
  get trouble(): string | null {
    for (const trouble of this.#troubles.values()) return trouble;
    return null;
  }

  /** In a turn, after recovery. */
  start(): void {
    const { env } = this.#host;
    const firsts = this.#sources.map((source) => {
      const known = this.#owner.partitionsKnown(source.id);
      for (const partition of known) this.#add(source, partition, undefined);
      return new Promise<void>((resolve) => {
        env.spawn(`partitions of ${source.name}`, () => this.#follow(source, known, resolve));
      });
    });
    if (firsts.length === 0) return;
    this.#begun = Promise.race([Promise.all(firsts), env.sleep(beginMs, this.#closed.signal)]).then(() => undefined);
  }

  /** Resolves when all sources have begun, or have not for a while. */
  begun(): Promise<void> {
    return this.#begun;
  }

  /** Looks for new partitions, for good. */
  async #follow(source: RemoteSource, known: readonly number[], begun: () => void): Promise<void> {
    const { env } = this.#host;
    let failures = 0;
    // Those from here on were not there when the source began.
    let later = known.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...known) + 1;
    while (!this.#closed.signal.aborted) {
      let pauseMs = countEveryMs;
      try {
        const count = await this.#count(source);
        if (later === Number.POSITIVE_INFINITY) later = count;
        for (let partition = 0; partition < count; partition++)
          await this.#begin(source, partition, partition >= later);
        failures = 0;
        this.#troubles.delete(source.name);
        await this.#inTurn(begun);
      } catch (error) {
        if (this.#closed.signal.aborted) break;
        this.#troubled(source.name, `${source.name} cannot be read: ${messageOf(error)}`);
        if (known.length > 0) begun();
        pauseMs = Math.min(retryMostMs, retryFirstMs * 2 ** failures++);
      }
      await env.sleep(pauseMs, this.#closed.signal);
    }
    begun();
  }

  async #count({ definition, name }: RemoteSource): Promise<number> {
    if (definition.depot.kind === "mirror") {
      const mirrors = this.#mirrors();
      return mirrors.partitionsLater(mirrors.named(name).index);
    }
    const count = Number(await this.#external(name, this.#host.groups[0]!.tasks[0]!).getNumPartitions());
    if (Number.isSafeInteger(count) && count >= 0) return count;
    throw new RamaError("USER_CODE_FAILED", `getNumPartitions of ${name} gives no number`, { object: name });
  }

  #mirrors(): Mirrors {
    const { mirrors } = this.#host;
    if (mirrors === undefined)
      throw new RamaError("NOT_ALLOWED_HERE", "there is no cluster whose modules could be read");
    return mirrors;
  }

  #external(name: string, task: Task): ExternalDepot {
    const { index } = this.#host.module.definition.globals.find((each) => each.name === name)!;
    return checkExternalDepot(name, task.globals[index], this.#topology.name);
  }

  /** Where a partition of this engine begins, when it is new. */
  async #begin(source: RemoteSource, partition: number, later: boolean): Promise<void> {
    if (source.added.has(partition) || this.#taskOf(partition) === undefined) return;
    const { startFrom } = source.definition;
    const from: StartFrom = later && startFrom.kind === "end" ? { kind: "beginning" } : startFrom;
    const feed = this.#feed(source, partition);
    const nowMs = this.#host.env.now();
    const positions = await feed.positions();
    const after = await timeOf(from, nowMs, feed);
    const first = startOffsetOf(from, { ...positions, offsetAfterTimestamp: () => after }, nowMs);
    await this.#inTurn(() => this.#add(source, partition, first));
  }

  #inTurn(fn: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.#host.loop.push(lowLatencyJobs, {
        run: () => {
          if (!this.#closed.signal.aborted) fn();
          resolve();
          return undefined;
        },
      });
    });
  }

  #taskOf(partition: number): Task | undefined {
    return this.#host.taskAt(mirrorTask(partition, this.#host.context.info.numTasks));
  }

  #feed({ definition, name }: RemoteSource, partition: number): Feed {
    const { env, classes } = this.#host;
    if (definition.depot.kind === "mirror") {
      const mirrors = this.#mirrors();
      const consumer = `${this.#host.context.info.moduleName} ${this.#topology.name} ${definition.sourceId}`;
      return mirrors.feed(mirrors.named(name).index, partition, consumer);
    }
    const depot = this.#external(name, this.#taskOf(partition)!);
    return new ExternalFeed({
      env,
      depot,
      name,
      partition,
      classes,
      ranged: this.#topology.kind === "microbatch",
    });
  }

  #add(source: RemoteSource, partition: number, first: number | undefined): void {
    const task = this.#taskOf(partition);
    if (task === undefined || source.added.has(partition)) return;
    source.added.add(partition);
    const name = `partition ${partition} of ${source.name}`;
    const log = new RemoteLog({
      env: this.#host.env,
      feed: this.#feed(source, partition),
      name,
      grown: () => {
        if (!this.#closed.signal.aborted) this.#owner.remoteGrown();
      },
      troubled: (trouble) => {
        if (trouble === null) this.#troubles.delete(name);
        else this.#troubled(name, trouble);
      },
    });
    this.#logs.push(log);
    this.#owner.addRemote({ ...source, identity: `${source.identity}@${partition}`, partition, task, log }, first);
  }

  #troubled(what: string, trouble: string): void {
    if (this.#host.mirrors?.closed === true) return;
    if (!this.#troubles.has(what)) {
      this.#host.env.log.warn("a source cannot be read; it is tried again", {
        topology: this.#topology.name,
        why: trouble,
      });
    }
    this.#troubles.set(what, trouble);
  }

  close(): void {
    this.#closed.abort();
    for (const log of this.#logs) log.close();
  }
}

/** What of `from` has to be asked for. */
async function timeOf(from: StartFrom, nowMs: number, feed: Feed): Promise<number> {
  if (from.kind === "afterTimestamp") return feed.offsetAfterTimestamp(from.epochMs);
  if (from.kind === "ago" && from.unit === "MILLIS") return feed.offsetAfterTimestamp(nowMs - from.amount);
  return 0;
}
