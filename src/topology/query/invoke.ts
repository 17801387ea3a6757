// Runs the events of one query topology on one task group, first come first served.
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import { StageRunner, type StageOutcome } from "../../task/event-runner.ts";
import type { Event } from "../../task/event.ts";
import { clientJobs, JobFifo } from "../../task/run-queue.ts";
import type { RunContext } from "../../task/stage-context.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import { RamaError } from "../../base/errors.ts";
import { runBatch } from "../batch/driver.ts";
import type { RunTree } from "../batch/phase-tree.ts";
import { RunBatches } from "../batch/run-batches.ts";
import type { QueryTopology } from "./query-topology.ts";

/** Events of one run: long scatters let appends and reads in between. */
const eventsMax = 100;

export class QueryRunner extends StageRunner {
  readonly #waiting = new JobFifo<Event>();
  #event: Event | undefined = undefined;
  #queued = false;
  readonly #batches: RunBatches;

  constructor(
    readonly query: QueryTopology,
    readonly host: RuntimeHost,
    topology: CompiledTopology,
    x: RunContext,
  ) {
    super(topology, x);
    this.#batches = new RunBatches(x, query);
    x.batch = this.#batches;
    x.temporaries = (index, taskId) => this.#batches.current!.temporary(index, taskId);
  }

  push(event: Event): void {
    this.#waiting.push(event);
    if (this.#queued) return;
    this.#queued = true;
    this.host.loop.push(clientJobs, this);
  }

  run(): Promise<void> | undefined {
    this.x.startedMs = this.host.env.monotonicMs();
    if (this.isSuspended && !this.#step(this.goOn())) return this.load();
    for (let left = eventsMax; left > 0; left--) {
      const event = this.#waiting.shift();
      if (event === undefined) {
        this.#queued = false;
        return undefined;
      }
      if (event.tree!.dead) {
        event.tree!.ended();
        continue;
      }
      if (!this.#step(this.#start(event))) return this.load();
    }
    this.host.loop.push(clientJobs, this);
    return undefined;
  }

  #start(event: Event): StageOutcome {
    this.#event = event;
    this.x.enter(this.host.taskAt(event.task)!);
    const tree = event.tree as RunTree;
    this.x.origin = tree.ref.task;
    this.#batches.current = tree.run;
    this.host.context.note.topology(this.topology.index, event.task);
    return this.runStage(event.stage, event.vars);
  }

  /** False while the event is suspended. */
  #step(outcome: StageOutcome): boolean {
    if (outcome === "suspended") return false;
    const tree = this.#event!.tree as RunTree;
    if (outcome === "done") {
      try {
        this.#consequences(tree);
        tree.ended();
        return true;
      } catch (error) {
        this.fail(error);
      }
    }
    tree.failed(this.error);
    return true;
  }

  #consequences(tree: RunTree): void {
    const { out, results } = this.x;
    if (results.length > 0) {
      const invoke = this.query.invokeOf(tree);
      if (invoke === undefined || this.x.taskId !== tree.ref.task) {
        throw new RamaError("NO_FINAL_ORIGIN", `the result of ${this.topology.name} was not made on its start task`);
      }
      for (const value of results) invoke.results.push(value);
    }
    for (const event of out) {
      event.tree = tree;
      if (event.kind === "send") this.query.dispatch(event, tree);
      else if (event.kind === "batch") {
        tree.born();
        runBatch(this.query, event, tree);
      } else this.query.later(event, tree, this.host.taskAt(event.task)!);
    }
  }
}
