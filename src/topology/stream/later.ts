// What an event of a stream topology asks for that takes time: a promise, a select that yields, a query, an append, a later event. The tree of its record waits for it.
import type { RamaError } from "../../base/errors.ts";
import { yieldingSelect } from "../yielding-select.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import { appendAway } from "../../task/append-away.ts";
import { Event, type EventDetail, type EventTree } from "../../task/event.ts";
import { lowLatencyJobs } from "../../task/run-queue.ts";
import type { Task } from "../../task/task.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import { childPath } from "./applied-marks.ts";
import type { StreamRunner } from "./batch.ts";

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export class StreamLater {
  /** Vars of events that leave the engine, between the check that they can and their leaving. */
  readonly encoded = new Map<Event, Uint8Array>();
  readonly topology: CompiledTopology;
  readonly #host: RuntimeHost;
  readonly #runnerOf: (task: Task) => StreamRunner;
  readonly #records = new Map<Event, Uint8Array>();

  constructor(host: RuntimeHost, topology: CompiledTopology, runnerOf: (task: Task) => StreamRunner) {
    this.#host = host;
    this.topology = topology;
    this.#runnerOf = runnerOf;
  }

  /** NOT_SERIALIZABLE while the event can still fail. */
  prepareAppend(event: Event): void {
    const { record } = event.detail as DetailOf<"record">;
    this.#records.set(event, encodeValue(record, this.#host.classes));
  }

  /** The event that asked for them has failed. */
  dropEncoded(): void {
    this.encoded.clear();
    this.#records.clear();
  }

  /** `applied`: the event that asks was through in an earlier run of its record; it appends nothing again. */
  run(event: Event, tree: EventTree, task: Task, applied: boolean): void {
    switch (event.kind) {
      case "defer":
        tree.born();
        this.#queueJob(() => this.#runnerOf(task).push(event));
        return;
      case "await":
        tree.born();
        this.#await(event, tree, task);
        return;
      case "select":
        tree.born();
        this.#host.loop.after(() => this.#host.env.spawn("yielding select", () => this.#select(event, tree, task)));
        return;
      case "invoke":
        tree.born();
        this.#invoke(event, tree, task);
        return;
      default:
        this.#append(event, tree, task, applied);
    }
  }

  #queueJob(fn: () => void): void {
    this.#host.loop.push(lowLatencyJobs, {
      run: () => {
        fn();
        return undefined;
      },
    });
  }

  /** The event goes on at its stage with one more var. */
  #resume(event: Event, tree: EventTree, task: Task, value: unknown, ordinal = 0): void {
    const next = new Event("send", event.stage, task.id, [...event.vars, value]);
    next.path = childPath(event.path, ordinal);
    next.tree = tree;
    this.#queueJob(() => this.#runnerOf(task).push(next));
  }

  #await(event: Event, tree: EventTree, task: Task): void {
    const { promise, at } = event.detail as DetailOf<"promise">;
    promise.then(
      (value) => this.#resume(event, tree, task, value ?? null),
      (error) => this.#queueJob(() => tree.failed(userError(error, this.topology, at))),
    );
  }

  /** After the turn's own writes are applied; row by row, all of one moment. */
  async #select(event: Event, tree: EventTree, task: Task): Promise<void> {
    const detail = event.detail as DetailOf<"select">;
    let ordinal = 0;
    try {
      await yieldingSelect(this.#host, task, detail, {
        rows: (rows) => {
          if (tree.dead) return false;
          for (const row of rows) {
            tree.born();
            this.#resume(event, tree, task, row, ordinal++);
          }
          return true;
        },
        yielded: () => new Promise((resolve) => this.#queueJob(resolve)),
      });
      this.#queueJob(() => tree.ended());
    } catch (error) {
      this.#queueJob(() => tree.failed(userError(error, this.topology, detail.at)));
    }
  }

  #invoke(event: Event, tree: EventTree, task: Task): void {
    const { query, args, at } = event.detail as DetailOf<"query">;
    const reply = (error: RamaError | null, value: unknown) => {
      if (error === null) this.#resume(event, tree, task, value);
      else this.#queueJob(() => tree.failed(userError(error, this.topology, at)));
    };
    this.#host.invoke({ query, args, reply }, task.id);
  }

  #append(event: Event, tree: EventTree, task: Task, applied: boolean): void {
    const { depot, level, at } = event.detail as DetailOf<"depot">;
    const record = this.#records.get(event)!;
    this.#records.delete(event);
    const goesOn = event.stage >= 0;
    if (goesOn || level !== "none") tree.born();
    const next = new Event("send", event.stage, task.id, event.vars);
    next.tree = tree;
    next.path = childPath(event.path, 0);
    const go = () => (goesOn ? this.#runnerOf(task).push(next) : tree.ended());
    if (applied) {
      if (goesOn || level !== "none") this.#queueJob(go);
      return;
    }
    const ended = (failed: RamaError | null) =>
      this.#queueJob(() => (failed === null ? go() : tree.failed(userError(failed, this.topology, at))));
    if (typeof depot !== "number") {
      // Not before what the event wrote is durable.
      this.#host.loop.after(() => appendAway(this.#host, depot, record, level, level === "none" ? () => {} : ended));
      if (level === "none" && goesOn) go();
      return;
    }
    this.#host.appendRecord(task, depot, record, level, (error, _offset, _returns, failures) => {
      if (level !== "none") ended(error ?? failures?.get(0) ?? null);
    });
    if (level === "none" && goesOn) go();
  }
}
