// Runs a batch block's phases one after another: each is a tree of its own, and begins when all events of the one before have ended on every engine.
import type { BatchPhase, BatchPlan } from "../../dataflow/batch/sinks.ts";
import { Event } from "../../task/event.ts";
import { PhaseTree, type RunTree } from "./phase-tree.ts";

export interface DriverHost {
  readonly numTasks: number;
  /** Every task of the module is on this engine: nothing gathers for others. */
  readonly allHere: boolean;
  /** Takes the event to its task; it counts in its tree. */
  dispatch(event: Event, tree: RunTree): void;
}

/** The block asked for by `event`; `tree` has been told that one event was born. */
export function runBatch(host: DriverHost, event: Event, tree: RunTree): void {
  const { plan, starts } = event.detail as { readonly plan: BatchPlan; readonly starts: readonly unknown[][] };
  // Tasks of several engines may run the same block.
  const instance = tree.run.nextInstance++ * host.numTasks + event.task;
  const steps: Event[][] = [];
  let at = 0;
  for (const phase of plan.phases) {
    const given = starts.slice(at, at + phase.starts.length);
    at += phase.starts.length;
    if (phase.sink !== undefined && !host.allHere) {
      steps.push(onTasks(host, phase.sink.flushStage, "all", [instance], event.task));
    }
    steps.push(startsOf(host, phase, given, instance, event.task));
  }
  const next = (step: number): void => {
    const events = steps[step];
    if (events === undefined) {
      if (event.stage >= 0) host.dispatch(new Event("send", event.stage, event.task, event.vars), tree);
      tree.ended();
      return;
    }
    const phase = new PhaseTree(tree.owner, tree.run, event.task, (error) => {
      if (error === null) next(step + 1);
      else tree.failed(error);
    });
    for (const start of events) host.dispatch(start, phase);
    phase.ended();
  };
  next(0);
}

function startsOf(
  host: DriverHost,
  phase: BatchPhase,
  given: readonly unknown[][],
  instance: number,
  task: number,
): Event[] {
  return phase.starts.flatMap(({ stage, where }, i) => onTasks(host, stage, where, [...given[i]!, instance], task));
}

function onTasks(
  host: DriverHost,
  stage: number,
  where: "here" | "first" | "all",
  vars: unknown[],
  task: number,
): Event[] {
  if (where !== "all") return [new Event("send", stage, where === "here" ? task : 0, vars)];
  return Array.from({ length: host.numTasks }, (_, each) => new Event("send", stage, each, vars.slice()));
}
