// A query topology on one engine: invokes that start here, events of invokes that came here. Reads committed state only and writes nothing but its temporary
// state, so nothing of it waits for the disk: hops leave and answers go out in the turn that makes them.
import type { Timer } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { TopologyStatus } from "../../task/engine-api.ts";
import { Event, type EventDetail } from "../../task/event.ts";
import { type ArrivedEvent, noOrigin, type TreeRef } from "../../task/event-codec.ts";
import { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import { appendAway } from "../../task/append-away.ts";
import type { QueryRuntime, RuntimeHost } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import { BatchRun } from "../batch/batch-run.ts";
import { PhasePart, type PhaseTree, type RunTree, runOf } from "../batch/phase-tree.ts";
import { engineGone } from "../../task/query-calls.ts";
import { clientJobs } from "../../task/run-queue.ts";
import { yieldingSelect } from "../yielding-select.ts";
import { Invoke, type InvokeOwner } from "./gather.ts";
import { QueryRunner } from "./invoke.ts";

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export class QueryTopology implements QueryRuntime, InvokeOwner {
  readonly topology: CompiledTopology;
  readonly subscribed: ReadonlySet<number> = new Set();
  readonly progress = undefined;
  readonly #host: RuntimeHost;
  readonly #runners = new Map<number, QueryRunner>();
  /** By number of the run, oldest first. */
  readonly #invokes = new Map<number, Invoke>();
  /** By number of the tree: phases of the invokes here. */
  readonly #phases = new Map<number, PhaseTree>();
  /** Runs of invokes that started on other engines. */
  /** By run: what began elsewhere and has sent events on from here, and to which tasks. */
  readonly #guestsAway = new Map<number, { readonly ref: TreeRef; readonly visited: Set<number> }>();
  readonly #guests = new Map<number, BatchRun>();
  readonly numTasks: number;
  readonly allHere: boolean;
  combinerLimit = 1000;
  #nextRun: number;
  #timeoutMs = 30000;
  #timer: Timer | undefined = undefined;
  #answered = 0;
  #failures = 0;
  #lastError: string | null = null;
  #closed = false;

  constructor(host: RuntimeHost, topology: CompiledTopology) {
    this.#host = host;
    this.topology = topology;
    this.#nextRun = Math.floor(host.env.random() * 2 ** 39);
    const { numTasks, numThreads } = host.context.info;
    this.numTasks = numTasks;
    this.allHere = host.groups.length === numThreads;
    for (const group of host.groups) {
      this.#runners.set(
        group.id,
        new QueryRunner(this, host, topology, new RunContext(host.context, topology, undefined)),
      );
    }
    host.options.follow(() => {
      this.combinerLimit = host.options.number("topology.combiner.limit", topology.name);
      this.#timeoutMs = host.options.number("topology.query.timeout.millis", topology.name);
    });
  }

  invokeHere(task: Task, args: readonly unknown[], reply: (error: RamaError | null, value: unknown) => void): void {
    const { name } = this.topology;
    const wanted = this.#host.module.definition.topologies[this.topology.index]!.inputs.length;
    if (args.length !== wanted) {
      const message = `query ${name} takes ${wanted} arguments, got ${args.length}`;
      reply(new RamaError("WRONG_ARGUMENT_COUNT", message, { query: name, wanted, given: args.length }), undefined);
      return;
    }
    const run = new BatchRun(this.#nextRun++, this.#host.env.monotonicMs());
    const invoke = new Invoke(this, run, task.id, name, reply);
    this.#invokes.set(run.number, invoke);
    this.#watch();
    const event = new Event("send", this.topology.query!.stage, task.id, [...args]);
    event.tree = invoke;
    this.runnerOf(task).push(event);
  }

  runnerOf(task: Task): QueryRunner {
    return this.#runners.get(task.group)!;
  }

  /** The invoke that the tree belongs to, where it started on this engine. */
  invokeOf(tree: RunTree): Invoke | undefined {
    return this.#invokes.get(tree.run.number);
  }

  isHere(task: number): boolean {
    return this.#host.taskAt(task) !== undefined;
  }

  // ---- ends (InvokeOwner)

  phaseBegan(tree: PhaseTree): void {
    this.#phases.set(tree.ref.tree, tree);
  }

  phaseEnded(tree: PhaseTree): void {
    this.#phases.delete(tree.ref.tree);
  }

  /** The tree of that number that began here. */
  #treeOf(number: number): Invoke | PhaseTree | undefined {
    const phase = this.#phases.get(number);
    if (phase !== undefined) return phase;
    const invoke = this.#invokes.get(runOf(number));
    return invoke?.ref.tree === number ? invoke : undefined;
  }

  random(): number {
    return this.#host.env.random();
  }

  invokeEnded(invoke: Invoke, error: RamaError | null): void {
    this.#invokes.delete(invoke.run.number);
    for (const [number, phase] of this.#phases) {
      if (phase.run !== invoke.run) continue;
      phase.dead = true;
      this.#phases.delete(number);
    }
    for (const task of invoke.visited) this.#host.sender.forget(this.topology.index, task, invoke.ref);
    if (error === null) this.#answered++;
    else {
      this.#failures++;
      this.#lastError = error.message;
    }
    invoke.reply(error, invoke.results[0]);
  }

  partEnded(part: PhasePart): void {
    const home = this.#treeOf(part.ref.tree);
    if (home !== undefined) home.answered(part.ack.answer);
    else if (!this.isHere(part.ref.task)) this.#host.sender.ack(this.topology.index, part.ref, part.ack.answer, []);
  }

  partFailed(part: PhasePart, error: unknown): void {
    const known = userError(error, this.topology, 0);
    const home = this.#treeOf(part.ref.tree);
    if (home !== undefined) home.abort(known);
    else if (!this.isHere(part.ref.task)) this.#host.sender.failure(this.topology.index, part.ref, known);
  }

  /** Invokes past their time fail; temporary state that nobody forgot goes. */
  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#host.env.setTimer(Math.max(10, Math.min(1000, this.#timeoutMs / 4)), () => {
      this.#timer = undefined;
      this.#expire();
      if (this.#invokes.size > 0 || this.#guests.size > 0) this.#watch();
    });
  }

  #expire(): void {
    const nowMs = this.#host.env.monotonicMs();
    for (const invoke of this.#invokes.values()) {
      if (nowMs - invoke.run.sinceMs < this.#timeoutMs) break;
      const { name } = this.topology;
      invoke.abort(new RamaError("TIMEOUT", `query ${name} took longer than ${this.#timeoutMs} ms`, { query: name }));
    }
    for (const [number, { sinceMs }] of this.#guests) {
      if (nowMs - sinceMs < 2 * this.#timeoutMs) break;
      this.#guests.delete(number);
      this.#guestsAway.delete(number);
    }
  }

  // ---- from other engines

  event({ stage, task, ref, event, vars }: ArrivedEvent): void {
    if (stage >= this.topology.stages.length) return;
    const number = runOf(ref.tree);
    let run = this.#invokes.get(number)?.run ?? this.#guests.get(number);
    if (run === undefined) {
      // An invoke of this engine that has ended: nobody waits any more.
      if (this.isHere(ref.task)) return;
      run = new BatchRun(number, this.#host.env.monotonicMs());
      this.#guests.set(number, run);
      this.#watch();
    }
    const next = new Event("send", stage, task, vars);
    next.tree = new PhasePart(this, run, ref, event);
    this.runnerOf(this.#host.taskAt(task)!).push(next);
  }

  ack(_task: number, tree: number, answer: number): void {
    this.#treeOf(tree)?.answered(answer);
  }

  failure(_task: number, tree: number, error: RamaError): void {
    this.#treeOf(tree)?.abort(error);
  }

  forget(ref: TreeRef): void {
    this.#guests.delete(runOf(ref.tree));
    this.#guestsAway.delete(runOf(ref.tree));
  }

  /** Invokes of this engine that have been there fail; of those that began elsewhere their own engine is told. */
  peerGone(tasks: ReadonlySet<number>): void {
    const { name } = this.topology;
    for (const invoke of [...this.#invokes.values()]) {
      const task = [...invoke.visited].find((each) => tasks.has(each));
      if (task !== undefined) invoke.abort(engineGone(name, task));
    }
    for (const [number, { ref, visited }] of this.#guestsAway) {
      const task = [...visited].find((each) => tasks.has(each));
      if (task === undefined) continue;
      this.#guestsAway.delete(number);
      this.#host.sender.failure(this.topology.index, ref, engineGone(name, task));
    }
    this.#host.loop.wake();
  }

  // ---- what events ask for besides hops on this engine

  /** Takes an event to its task, as one of the tree. */
  dispatch(event: Event, tree: RunTree): void {
    const task = this.#host.taskAt(event.task);
    if (task === undefined) {
      this.leave(event, tree);
      return;
    }
    tree.born();
    event.tree = tree;
    this.runnerOf(task).push(event);
  }

  leave(event: Event, tree: RunTree): void {
    const vars = encodeValue(event.vars, this.#host.classes);
    const ref = tree.leave();
    const invoke = this.invokeOf(tree);
    if (invoke !== undefined) invoke.visited.add(event.task);
    else this.#guestLeaves(tree, event.task);
    const { stage, task } = event;
    this.#host.sender.event(this.topology.index, { stage, task, ref, event: ref.event, origin: noOrigin }, vars);
  }

  #guestLeaves(tree: RunTree, task: number): void {
    const { number } = tree.run;
    const away = this.#guestsAway.get(number);
    if (away !== undefined) away.visited.add(task);
    else this.#guestsAway.set(number, { ref: tree.ref, visited: new Set([task]) });
  }

  later(event: Event, tree: RunTree, task: Task): void {
    tree.born();
    switch (event.kind) {
      case "defer":
        this.runnerOf(task).push(event);
        return;
      case "await": {
        const { promise, at } = event.detail as DetailOf<"promise">;
        promise.then(
          (value) => this.#resume(event, tree, task, value ?? null),
          (error) => tree.failed(userError(error, this.topology, at)),
        );
        return;
      }
      case "select":
        this.#host.env.spawn("yielding select", () => this.#select(event, tree, task));
        return;
      case "invoke":
        this.#invoke(event, tree, task);
        return;
      default:
        this.#append(event, tree, task);
    }
  }

  #resume(event: Event, tree: RunTree, task: Task, value: unknown): void {
    const next = new Event("send", event.stage, task.id, [...event.vars, value]);
    next.tree = tree;
    this.runnerOf(task).push(next);
  }

  async #select(event: Event, tree: RunTree, task: Task): Promise<void> {
    const detail = event.detail as DetailOf<"select">;
    try {
      await yieldingSelect(this.#host, task, detail, {
        rows: (rows) => {
          if (tree.dead) return false;
          for (const row of rows) {
            tree.born();
            this.#resume(event, tree, task, row);
          }
          return true;
        },
        yielded: () =>
          new Promise((resolve) => {
            this.#host.loop.push(clientJobs, {
              run: () => {
                resolve();
                return undefined;
              },
            });
          }),
      });
      tree.ended();
    } catch (error) {
      tree.failed(userError(error, this.topology, detail.at));
    }
  }

  #invoke(event: Event, tree: RunTree, task: Task): void {
    const { query, args, at } = event.detail as DetailOf<"query">;
    const reply = (error: RamaError | null, value: unknown) => {
      if (error === null) this.#resume(event, tree, task, value);
      else tree.failed(userError(error, this.topology, at));
    };
    this.#host.invoke({ query, args, reply }, task.id);
  }

  #append(event: Event, tree: RunTree, task: Task): void {
    const { depot, record, level, at } = event.detail as DetailOf<"depot">;
    const bytes = encodeValue(record, this.#host.classes);
    const next = new Event("send", event.stage, task.id, event.vars);
    next.tree = tree;
    const go = () => (event.stage >= 0 ? this.runnerOf(task).push(next) : tree.ended());
    if (typeof depot !== "number") {
      appendAway(this.#host, depot, bytes, level, (error) =>
        error === null ? go() : tree.failed(userError(error, this.topology, at)),
      );
      return;
    }
    this.#host.appendRecord(task, depot, bytes, level, (error, _offset, _returns, failures) => {
      const failed = error ?? failures?.get(0) ?? null;
      if (failed === null) go();
      else tree.failed(userError(failed, this.topology, at));
    });
  }

  // ---- life

  sourceCount(): number {
    return 0;
  }

  start(): void {}
  appended(): void {}
  attach(): void {}
  full(): boolean {
    return false;
  }

  applied(): void {}

  tick(_depot: number, done: (error: RamaError | null) => void): void {
    done(null);
  }

  pause(): void {}
  resume(): void {}

  status(): TopologyStatus {
    const executing = this.#invokes.size;
    return {
      name: this.topology.name,
      kind: "query",
      paused: false,
      processed: this.#answered,
      executing,
      failures: this.#failures,
      lastError: this.#lastError,
      blocked: null,
      deadLetters: 0,
    };
  }

  readonly behind = false;

  abort(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const invoke of [...this.#invokes.values()])
      invoke.abort(new RamaError("MODULE_NOT_RUNNING", "the engine stops"));
  }
}
