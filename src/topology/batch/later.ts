// What an event asked for that takes time: a promise, a select that yields, a query, an append, a later event. The tree waits for it.
import type { RamaError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { PStateTransaction } from "../../pstate/contract.ts";
import { appendAway } from "../../task/append-away.ts";
import { Event, type EventDetail, type EventTree } from "../../task/event.ts";
import type { Task } from "../../task/task.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import { yieldingSelect } from "../yielding-select.ts";
import { userError } from "../../task/user-errors.ts";

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export interface LaterHost {
  readonly host: RuntimeHost;
  readonly topology: CompiledTopology;
  /** Puts the event into the queue of its task. */
  push(event: Event): void;
  /** What the topology has written in this microbatch, where it owns the PState. */
  ownWrites(pstate: number): PStateTransaction | undefined;
  /** Runs it in a turn of the engine. */
  job(fn: () => void): void;
}

export function runLater(on: LaterHost, event: Event, tree: EventTree, task: Task): void {
  tree.born();
  const resume = (value: unknown) => {
    const next = new Event("send", event.stage, task.id, [...event.vars, value]);
    next.tree = tree;
    next.record = event.record;
    on.push(next);
  };
  const at = event.detail !== undefined && "at" in event.detail ? event.detail.at : 0;
  const fail = (error: unknown) => tree.failed(userError(error, on.topology, at));
  switch (event.kind) {
    case "defer":
      event.tree = tree;
      on.push(event);
      return;
    case "await": {
      const { promise } = event.detail as DetailOf<"promise">;
      promise.then(
        (value) => on.job(() => resume(value ?? null)),
        (error) => on.job(() => fail(error)),
      );
      return;
    }
    case "select":
      on.host.env.spawn("yielding select", () => select(on, event, { tree, resume, fail }, task));
      return;
    case "invoke": {
      const { query, args } = event.detail as DetailOf<"query">;
      const reply = (error: RamaError | null, value: unknown) =>
        on.job(() => (error === null ? resume(value) : fail(error)));
      on.host.invoke({ query, args, reply }, task.id);
      return;
    }
    default:
      append(on, event, { tree, fail }, task);
  }
}

interface Outcome {
  readonly tree: EventTree;
  readonly resume: (value: unknown) => void;
  readonly fail: (error: unknown) => void;
}

async function select(on: LaterHost, event: Event, { tree, resume, fail }: Outcome, task: Task): Promise<void> {
  const detail = event.detail as DetailOf<"select">;
  const yielded = (): Promise<void> => new Promise((resolve) => on.job(resolve));
  // The first page is read at once, what was not in memory outside a turn.
  const rows = (found: readonly unknown[]): boolean => {
    on.job(() => {
      for (const row of found) {
        tree.born();
        resume(row);
      }
    });
    return !tree.dead;
  };
  try {
    await yieldingSelect(on.host, task, detail, { rows, yielded }, on.ownWrites(detail.pstate));
    on.job(() => tree.ended());
  } catch (error) {
    on.job(() => fail(error));
  }
}

function append(on: LaterHost, event: Event, { tree, fail }: Omit<Outcome, "resume">, task: Task): void {
  const { depot, record, level } = event.detail as DetailOf<"depot">;
  const bytes = encodeValue(record, on.host.classes);
  const next = new Event("send", event.stage, task.id, event.vars);
  next.tree = tree;
  next.record = event.record;
  const go = () => {
    if (event.stage >= 0) on.push(next);
    else tree.ended();
  };
  if (typeof depot !== "number") {
    appendAway(on.host, depot, bytes, level, (error) => on.job(() => (error === null ? go() : fail(error))));
    return;
  }
  on.host.appendRecord(task, depot, bytes, level, (error, _offset, _returns, failures) => {
    const failed = error ?? failures?.get(0) ?? null;
    if (level !== "none") on.job(() => (failed === null ? go() : fail(failed)));
  });
  if (level === "none") go();
}
