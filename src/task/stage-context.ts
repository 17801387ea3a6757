// What compiled stages are given (dataflow/compiled.ts). One per topology and task group; `enter` turns it to a task, `begin` to an event. Nothing that a
// stage asks for happens here: it gathers in `out`, and the runner takes it when the event has ended well, or drops it when it threw.
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import type { BatchContext } from "../dataflow/batch/sinks.ts";
import type { AckLevelName, MirrorAccess, MirrorPartition, StageContext } from "../dataflow/compiled.ts";
import type { ModuleDefinition, ModuleInstanceInfo } from "../module/definition.ts";
import type { PStatePartition, PStateTransaction } from "../pstate/contract.ts";
import { type PathRoot, ReadSession } from "../paths/indexed.ts";
import { Event } from "./event.ts";
import type { EngineEvents } from "./event-hook.ts";
import type { StuckNote } from "./stuck-note.ts";
import type { Task } from "./task.ts";

/** What a context needs of its engine. */
export interface ContextHost {
  readonly definition: ModuleDefinition;
  readonly info: ModuleInstanceInfo;
  readonly note: StuckNote;
  readonly events?: EngineEvents | undefined;
  /** Objects of other modules. */
  readonly mirrors?: MirrorAccess | undefined;
  random(): number;
  nowMs(): number;
  monotonicMs(): number;
  print(line: string): void;
}

export interface ContextTopology {
  readonly index: number;
  readonly name: string;
  readonly kind: "stream" | "microbatch" | "query";
}

export class RunContext implements StageContext {
  taskId = -1;
  microbatchId: number | undefined = undefined;
  readonly topologyType: "stream" | "microbatch" | "query";
  readonly numTasks: number;
  readonly moduleInstanceInfo: ModuleInstanceInfo;
  readonly session = new ReadSession();
  readonly events: EngineEvents | undefined;
  /** What the running event asked for, in order. */
  out: Event[] = [];
  /** ackReturn values of the running event. */
  returns: unknown[] = [];
  /** result(…) values of the running event. */
  results: unknown[] = [];
  /** Monotonic start of the batch that runs: a batch that held the thread for long is overtime as a whole. */
  startedMs = 0;
  overtimeMs = 5;
  /** Query: start task of the invoke that runs. */
  origin = -1;
  /** Query, microbatch: temporary state of the invoke or attempt that runs. */
  temporaries: ((index: number, taskId: number) => PathRoot) | undefined = undefined;

  /** Query, microbatch: what batch blocks need. */
  batch: BatchContext | undefined = undefined;

  readonly #host: ContextHost;
  readonly #topology: ContextTopology;
  readonly #transaction: PStateTransaction | undefined;
  readonly #note: StuckNote;
  #task: Task | undefined = undefined;
  readonly #rootsByTask = new Map<number, (PathRoot | undefined)[]>();
  #roots: (PathRoot | undefined)[] = [];
  #shuffled: number[] = [];

  constructor(host: ContextHost, topology: ContextTopology, transaction: PStateTransaction | undefined) {
    this.#host = host;
    this.#topology = topology;
    this.#transaction = transaction;
    this.#note = host.note;
    this.events = host.events;
    this.topologyType = topology.kind;
    this.numTasks = host.info.numTasks;
    this.moduleInstanceInfo = host.info;
  }

  get at(): number {
    return this.#note.node;
  }

  set at(node: number) {
    this.#note.node = node;
  }

  /** From here on events run on `task`. */
  enter(task: Task): void {
    if (this.#task === task) return;
    this.#task = task;
    this.taskId = task.id;
    let roots = this.#rootsByTask.get(task.id);
    if (roots === undefined) {
      roots = new Array(task.pstates.length).fill(undefined);
      this.#rootsByTask.set(task.id, roots);
    }
    this.#roots = roots;
  }

  /** Forgets what the last event asked for. */
  begin(): void {
    if (this.out.length > 0) this.out = [];
    if (this.returns.length > 0) this.returns = [];
    if (this.results.length > 0) this.results = [];
  }

  get mirrors(): MirrorAccess | undefined {
    return this.#host.mirrors;
  }

  random(): number {
    return this.#host.random();
  }

  nowMs(): number {
    return this.#host.nowMs();
  }

  print(line: string): void {
    this.#host.print(line);
  }

  // ---- state

  root(pstate: number): PathRoot {
    return this.#roots[pstate] ?? this.#open(pstate);
  }

  #open(pstate: number): PathRoot {
    const partition = this.#partition(pstate);
    const owned = this.#host.definition.pstates[pstate]!.topology === this.#topology.index;
    const root =
      owned && this.#transaction !== undefined
        ? partition.owner(this.#transaction, this.session)
        : partition.external(this.session);
    this.#roots[pstate] = root;
    return root;
  }

  #partition(pstate: number): PStatePartition {
    const partition = this.#task!.pstates[pstate];
    if (partition !== undefined) return partition;
    const name = this.#host.definition.pstates[pstate]?.name;
    throw new RamaError("BAD_PARTITION", `${name} has no partition on task ${this.taskId}: go to its task first`, {
      pstate: name,
      task: this.taskId,
    });
  }

  temporary(index: number): PathRoot {
    if (this.temporaries === undefined) throw new RamaError("NOT_ALLOWED_HERE", "this topology has no temporary state");
    return this.temporaries(index, this.taskId);
  }

  transformMark(): number {
    return this.#transaction?.mark() ?? 0;
  }

  transformMissed(mark: number): void {
    this.#transaction?.rollbackTo(mark);
  }

  clear(pstate: number): void {
    this.#partition(pstate).clear(this.#transaction!);
  }

  global(index: number): unknown {
    return this.#task!.globals[index];
  }

  // ---- going on

  send(stage: number, task: number, vars: unknown[]): void {
    if (!(task >= 0 && task < this.numTasks && Number.isInteger(task))) {
      throw new RamaError("BAD_PARTITION", `task ${task} is not in [0, ${this.numTasks})`, {
        task,
        tasks: this.numTasks,
      });
    }
    this.out.push(new Event("send", stage, task, vars));
  }

  sendAll(stage: number, vars: unknown[]): void {
    for (let task = 0; task < this.numTasks; task++) this.out.push(new Event("send", stage, task, vars.slice()));
  }

  shuffleTask(): number {
    if (this.#shuffled.length === 0) this.#shuffled = shuffled(this.numTasks, this.#host);
    return this.#shuffled.pop()!;
  }

  originTask(): number {
    return this.origin;
  }

  pathTask(pstate: number, key: unknown): number {
    return taskOfKey(this.#host.definition, pstate, key, this.numTasks);
  }

  defer(stage: number, vars: unknown[]): void {
    this.out.push(new Event("defer", stage, this.taskId, vars));
  }

  overtime(): boolean {
    return this.#host.monotonicMs() - this.startedMs > this.overtimeMs;
  }

  awaitPromise(stage: number, vars: unknown[], promise: Promise<unknown>): void {
    // The event may still fail: then nobody waits for the promise, and its rejection must have an owner.
    promise.catch(() => {});
    this.out.push(new Event("await", stage, this.taskId, vars, { promise, at: this.at }));
  }

  selectYielding(
    stage: number,
    vars: unknown[],
    pstate: number,
    select: (root: PathRoot, session: ReadSession) => unknown[],
    pageSize = -1,
  ): void {
    this.out.push(new Event("select", stage, this.taskId, vars, { pstate, select, pageSize, at: this.at }));
  }

  invokeQuery(stage: number, vars: unknown[], query: number, args: unknown[]): void {
    this.out.push(new Event("invoke", stage, this.taskId, vars, { query, args, at: this.at }));
  }

  appendToDepot(
    stage: number,
    vars: unknown[],
    depot: number | MirrorPartition,
    record: unknown,
    level: AckLevelName,
  ): void {
    this.out.push(new Event("append", stage, this.taskId, vars, { depot, record, level, at: this.at }));
  }

  ackReturn(value: unknown): void {
    if (value !== null && value !== undefined) this.returns.push(value);
  }

  result(value: unknown): void {
    this.results.push(value);
  }
}

function shuffled(tasks: number, host: ContextHost): number[] {
  const order = Array.from({ length: tasks }, (_, task) => task);
  for (let i = tasks - 1; i > 0; i--) {
    const j = Math.floor(host.random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** The task whose partition of PState `pstate` holds `key`. */
export function taskOfKey(definition: ModuleDefinition, pstate: number, key: unknown, tasks: number): number {
  const { global, keyPartitioner, name } = definition.pstates[pstate]!;
  if (global) return 0;
  if (keyPartitioner === undefined) return taskOf(key, tasks);
  const task = keyPartitioner(tasks, key);
  if (Number.isInteger(task) && task >= 0 && task < tasks) return task;
  throw new RamaError("BAD_PARTITION", `the key partitioner of ${name} returned ${task}, outside [0, ${tasks})`, {
    pstate: name,
    task,
    tasks,
  });
}
