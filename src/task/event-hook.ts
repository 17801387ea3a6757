// The event hook of tests (`InProcessCluster.withEventHook`): told what tasks do, one thing at a time, and able to fail some of it. `EventHooks` is the cluster's, with
// the hook of the moment; `EngineEvents` is one module's, which engines tell. A worker process has neither.
//
// What a path reads is kept until the path is through: if a page from disk was missing it is evaluated again, and only the last time counts. So what is
// counted does not depend on what is in memory.
import type { CompiledTopology } from "../dataflow/compiled.ts";
import type { ModuleDefinition } from "../module/definition.ts";
import type { PStatePartition } from "../pstate/contract.ts";
import type { PStateObserver } from "../pstate/observer.ts";
import type { Event } from "./event.ts";

export type EventType =
  | "pstate-read"
  | "pstate-iterator"
  | "pstate-iterator-read"
  | "pstate-commit"
  | "depot-append"
  | "depot-read"
  | "partitioner"
  | "topology-event"
  | "local-select"
  | "streaming-complete"
  | "microbatch-attempt";

/** What has no meaning for a type is absent. */
export interface EventData {
  readonly module: string;
  readonly topology?: string;
  /** The depot or PState. */
  readonly object?: string;
  readonly taskId?: number;
  /** topology-event */
  readonly topologyType?: "stream" | "microbatch" | "query";
  /** local-select */
  readonly allowYield?: boolean;
  /** pstate-commit: stored keys that changed. */
  readonly writes?: number;
  /** microbatch-attempt */
  readonly phase?: "prime" | "process" | "prepare" | "decide";
  readonly microbatchId?: number;
  /** partitioner: where it leads. */
  readonly toTaskId?: number;
  /** depot-append, streaming-complete: of the record; depot-read: of the first. */
  readonly offset?: number;
  /** depot-read: how many came. */
  readonly records?: number;
}

/** "fail" fails the record or the phase, for the types `topology-event`, `streaming-complete`, `microbatch-attempt`. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only looks returns nothing
export type EventHook = (type: EventType, data: EventData) => "fail" | undefined | void;

export class EventHooks {
  hook: EventHook | undefined = undefined;
  /** The first error that the hook has thrown. */
  error: { readonly thrown: unknown } | undefined = undefined;

  /** True: it shall fail. */
  tell(type: EventType, data: EventData): boolean {
    try {
      return this.hook?.(type, data) === "fail";
    } catch (thrown) {
      this.error ??= { thrown };
      return false;
    }
  }
}

/** The stage that runs at the moment, and its node. */
interface Running {
  readonly topology: CompiledTopology;
  readonly x: { readonly at: number; readonly taskId: number };
}

export class EngineEvents implements PStateObserver {
  readonly #hooks: EventHooks;
  readonly #definition: ModuleDefinition;
  /** What the path under way has read. */
  #path: { readonly type: EventType; readonly data: EventData }[] = [];
  #missed = false;
  #running: Running | undefined = undefined;

  constructor(hooks: EventHooks, definition: ModuleDefinition) {
    this.#hooks = hooks;
    this.#definition = definition;
  }

  get on(): boolean {
    return this.#hooks.hook !== undefined;
  }

  tell(type: EventType, data: Omit<EventData, "module">): boolean {
    this.#endPath();
    return this.#hooks.tell(type, { module: this.#definition.name, ...data });
  }

  // ---- stages

  /** True: the event shall fail. */
  eventBegins({ name: topology, kind: topologyType }: CompiledTopology, taskId: number): boolean {
    return this.tell("topology-event", { topology, topologyType, taskId });
  }

  stageRuns(running: Running): void {
    this.#running = running;
  }

  stageRests(): void {
    this.#endPath();
    this.#running = undefined;
  }

  /** What an event that has ended well asks for. */
  eventAsked(topology: string, taskId: number, out: readonly Event[]): void {
    for (const { kind, task, detail } of out) {
      if (kind === "send") this.tell("partitioner", { topology, taskId, toTaskId: task });
      else if (kind === "select" && detail !== undefined && "pstate" in detail) {
        const object = this.#definition.pstates[detail.pstate]!.name;
        this.tell("local-select", { topology, object, taskId, allowYield: true });
      }
    }
  }

  // ---- depots

  appended(object: string, taskId: number, first: number, count: number): void {
    if (!this.on) return;
    for (let offset = first; offset < first + count; offset++) this.tell("depot-append", { object, taskId, offset });
  }

  depotRead(object: string, taskId: number, offset: number, records: number): void {
    if (this.on) this.tell("depot-read", { object, taskId, offset, records });
  }

  // ---- PStates

  pathBegan(partition: PStatePartition): void {
    this.#endPath();
    if (this.#running === undefined) return;
    const { topology, x } = this.#running;
    const what = topology.lines[x.at]?.what ?? "";
    if (what.startsWith("localSelect(") || what.startsWith("select("))
      this.#keep("local-select", partition, { allowYield: false });
  }

  read(partition: PStatePartition): void {
    this.#keep("pstate-read", partition);
  }

  ranged(partition: PStatePartition, elements: number): void {
    this.#keep("pstate-iterator", partition);
    for (let i = 0; i < elements; i++) this.#keep("pstate-iterator-read", partition);
  }

  missed(): void {
    this.#missed = true;
  }

  #keep(type: EventType, { spec, taskId }: PStatePartition, more?: Partial<EventData>): void {
    const topology = this.#running === undefined ? {} : { topology: this.#running.topology.name };
    // Reads of clients end with the turn of the JavaScript engine in which they ran.
    if (this.#path.length === 0) void Promise.resolve().then(() => this.#endPath());
    const data = { module: this.#definition.name, ...topology, object: spec.name, taskId, ...more };
    this.#path.push({ type, data });
  }

  #endPath(): void {
    const path = this.#path;
    const missed = this.#missed;
    this.#missed = false;
    if (path.length === 0) return;
    this.#path = [];
    if (!missed) for (const { type, data } of path) this.#hooks.tell(type, data);
  }

  committed({ spec, taskId }: PStatePartition, writes: number): void {
    const owner = this.#definition.pstates.find(({ name }) => name === spec.name)?.topology;
    const topology = owner === undefined ? {} : { topology: this.#definition.topologies[owner]!.name };
    this.tell("pstate-commit", { ...topology, object: spec.name, taskId, writes });
  }
}

/** What an event, record or phase fails with when the hook says so. */
export function failedByHook(type: EventType): Error {
  return new Error(`the event hook failed this ${type}`);
}
