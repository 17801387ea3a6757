// A query topology on one engine: invokes that start here, events of invokes that came here. Reads committed state only and writes nothing but its temporary
// state, so nothing of it waits for the disk: hops leave and answers go out in the turn that makes them.
import type { Timer } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import { ReadSession } from "../../paths/indexed.ts";
import type { TopologyStatus } from "../../task/engine-api.ts";
import { Event, type EventDetail } from "../../task/event.ts";
import { type ArrivedEvent, noOrigin, type TreeRef } from "../../task/event-codec.ts";
import { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import type { QueryRuntime, RuntimeHost } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import { Invoke, type InvokeOwner, InvokePart, type InvokeTree, type Temporaries } from "./gather.ts";
import { QueryRunner } from "./invoke.ts";

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export class QueryTopology implements QueryRuntime, InvokeOwner {
  readonly topology: CompiledTopology;
  readonly subscribed: ReadonlySet<number> = new Set();
  readonly progress = undefined;
  readonly #host: RuntimeHost;
  readonly #runners = new Map<number, QueryRunner>();
  /** By number, oldest first. */
  readonly #invokes = new Map<number, Invoke>();
  readonly #temporaries = new Map<number, { readonly values: Temporaries; readonly sinceMs: number }>();
  #nextInvoke: number;
  #timeoutMs = 30000;
  #timer: Timer | undefined = undefined;
  #answered = 0;
  #failures = 0;
  #lastError: string | null = null;
  #closed = false;

  constructor(host: RuntimeHost, topology: CompiledTopology) {
    this.#host = host;
    this.topology = topology;
    this.#nextInvoke = Math.floor(host.env.random() * 2 ** 40) * 2 ** 12;
    for (const group of host.groups) {
      this.#runners.set(
        group.id,
        new QueryRunner(this, host, topology, new RunContext(host.context, topology, undefined)),
      );
    }
    host.options.follow(() => {
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
    const tree = this.#nextInvoke++;
    const invoke = new Invoke(this, { task: task.id, tree }, name, this.#host.env.monotonicMs(), reply, args);
    this.#invokes.set(tree, invoke);
    this.#watch();
    const event = new Event("send", this.topology.query!.stage, task.id, [...args]);
    event.tree = invoke;
    this.runnerOf(task).push(event);
  }

  runnerOf(task: Task): QueryRunner {
    return this.#runners.get(task.group)!;
  }

  /** The invoke itself, where it started on this engine. */
  invokeOf(tree: InvokeTree): Invoke | undefined {
    return tree instanceof Invoke ? tree : this.#invokes.get(tree.ref.tree);
  }

  temporariesOf(tree: InvokeTree): Temporaries {
    const known = this.#temporaries.get(tree.ref.tree);
    if (known !== undefined) return known.values;
    const values: Temporaries = new Map();
    this.#temporaries.set(tree.ref.tree, { values, sinceMs: this.#host.env.monotonicMs() });
    this.#watch();
    return values;
  }

  // ---- ends (InvokeOwner)

  /** Code after an aggregation runs once on each of its tasks, also where no row came. */
  nextPhase(invoke: Invoke): boolean {
    const phase = this.topology.query!.phases?.[invoke.phase++];
    if (phase === undefined) return false;
    const { numTasks } = this.#host.context.info;
    const first = phase.on === "origin" ? invoke.ref.task : 0;
    const last = phase.on === "all" ? numTasks - 1 : first;
    for (let id = first; id <= last; id++) {
      const event = new Event("send", phase.stage, id, [...invoke.args]);
      event.tree = invoke;
      const task = this.#host.taskAt(id);
      if (task === undefined) {
        this.leave(event, invoke);
        continue;
      }
      invoke.born();
      this.runnerOf(task).push(event);
    }
    return true;
  }

  random(): number {
    return this.#host.env.random();
  }

  invokeEnded(invoke: Invoke, error: RamaError | null): void {
    this.#invokes.delete(invoke.ref.tree);
    this.#temporaries.delete(invoke.ref.tree);
    for (const task of invoke.visited) this.#host.sender.forget(this.topology.index, task, invoke.ref);
    if (error === null) this.#answered++;
    else {
      this.#failures++;
      this.#lastError = error.message;
    }
    invoke.reply(error, invoke.results[0]);
  }

  partEnded(part: InvokePart): void {
    const invoke = this.#invokes.get(part.ref.tree);
    if (invoke !== undefined) invoke.answered(part.ack.answer);
    else this.#host.sender.ack(this.topology.index, part.ref, part.ack.answer, []);
  }

  partFailed(part: InvokePart, error: unknown): void {
    const known = userError(error, this.topology, 0);
    const invoke = this.#invokes.get(part.ref.tree);
    if (invoke !== undefined) invoke.abort(known);
    else this.#host.sender.failure(this.topology.index, part.ref, known);
  }

  /** Invokes past their time fail; temporary state that nobody forgot goes. */
  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#host.env.setTimer(Math.max(10, Math.min(1000, this.#timeoutMs / 4)), () => {
      this.#timer = undefined;
      this.#expire();
      if (this.#invokes.size > 0 || this.#temporaries.size > 0) this.#watch();
    });
  }

  #expire(): void {
    const nowMs = this.#host.env.monotonicMs();
    for (const invoke of this.#invokes.values()) {
      if (nowMs - invoke.startedMs < this.#timeoutMs) break;
      const { name } = this.topology;
      invoke.abort(new RamaError("TIMEOUT", `query ${name} took longer than ${this.#timeoutMs} ms`, { query: name }));
    }
    for (const [tree, { sinceMs }] of this.#temporaries) {
      if (nowMs - sinceMs < 2 * this.#timeoutMs) break;
      this.#temporaries.delete(tree);
    }
  }

  // ---- from other engines

  event({ stage, task, ref, event, vars }: ArrivedEvent): void {
    const next = new Event("send", stage, task, vars);
    next.tree = new InvokePart(this, ref, event);
    this.runnerOf(this.#host.taskAt(task)!).push(next);
  }

  ack(_task: number, tree: number, answer: number): void {
    this.#invokes.get(tree)?.answered(answer);
  }

  failure(_task: number, tree: number, error: RamaError): void {
    this.#invokes.get(tree)?.abort(error);
  }

  forget(ref: TreeRef): void {
    this.#temporaries.delete(ref.tree);
  }

  // ---- what events ask for besides hops on this engine

  leave(event: Event, tree: InvokeTree): void {
    const vars = encodeValue(event.vars, this.#host.classes);
    const ref = tree.leave();
    this.invokeOf(tree)?.visited.add(event.task);
    const { stage, task } = event;
    this.#host.sender.event(this.topology.index, { stage, task, ref, event: ref.event, origin: noOrigin }, vars);
  }

  later(event: Event, tree: InvokeTree, task: Task): void {
    tree.born();
    switch (event.kind) {
      case "defer":
        this.runnerOf(task).push(event);
        return;
      case "await": {
        const { promise } = event.detail as DetailOf<"promise">;
        promise.then(
          (value) => this.#resume(event, tree, task, value ?? null),
          (error) => tree.failed(userError(error, this.topology, 0)),
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

  #resume(event: Event, tree: InvokeTree, task: Task, value: unknown): void {
    const next = new Event("send", event.stage, task.id, [...event.vars, value]);
    next.tree = tree;
    this.runnerOf(task).push(next);
  }

  async #select(event: Event, tree: InvokeTree, task: Task): Promise<void> {
    const { pstate, select } = event.detail as DetailOf<"select">;
    const session = new ReadSession();
    try {
      let rows = select(task.pstates[pstate]!.external(session), session);
      while (session.missed) {
        await session.load();
        rows = select(task.pstates[pstate]!.external(session), session);
      }
      for (const row of rows) {
        tree.born();
        this.#resume(event, tree, task, row);
      }
      tree.ended();
    } catch (error) {
      tree.failed(userError(error, this.topology, 0));
    }
  }

  #invoke(event: Event, tree: InvokeTree, task: Task): void {
    const { query, args } = event.detail as DetailOf<"query">;
    if (typeof query !== "number") {
      tree.failed(new RamaError("NOT_ALLOWED_HERE", `queries of other modules (${query}) are not there yet`));
      return;
    }
    const reply = (error: RamaError | null, value: unknown) => {
      if (error === null) this.#resume(event, tree, task, value);
      else tree.failed(error);
    };
    this.#host.invoke({ query, args, reply }, task.id);
  }

  #append(event: Event, tree: InvokeTree, task: Task): void {
    const { depot, record, level } = event.detail as DetailOf<"depot">;
    if (typeof depot !== "number") {
      tree.failed(new RamaError("NOT_ALLOWED_HERE", `depots of other modules (${depot}) are not there yet`));
      return;
    }
    const bytes = encodeValue(record, this.#host.classes);
    const next = new Event("send", event.stage, task.id, event.vars);
    next.tree = tree;
    const go = () => (event.stage >= 0 ? this.runnerOf(task).push(next) : tree.ended());
    this.#host.appendRecord(task, depot, bytes, level, (error, _offset, _returns, failures) => {
      const failed = error ?? failures?.get(0) ?? null;
      if (failed === null) go();
      else tree.failed(failed);
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
