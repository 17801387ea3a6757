// `Block.execute()`: runs a block by itself, for learning and tests. No tasks, no partitioners, no module; a `$$p` var holds a TestPState that an
// `each(Ops.IDENTITY, testPState)` brought. Compiled like any topology and run by a context of one task; promises and missed pages are waited for.
import { RamaError } from "../base/errors.ts";
import type { ModuleInstanceInfo } from "../module/definition.ts";
import { ReadSession } from "../paths/indexed.ts";
import { LocalBatches } from "./batch/local-batches.ts";
import type { StageContext } from "./compiled.ts";
import { Emitter } from "./emit.ts";
import { FlowBuilder } from "./flow-builder.ts";
import type { BlockNode } from "./nodes.ts";
import { planOf } from "./plan.ts";

/** The world outside: the doors of the package set it. */
export interface DetachedWorld {
  random(): number;
  nowMs(): number;
  print(line: string): void;
}

let world: DetachedWorld | undefined;

export function setDetachedWorld(given: DetachedWorld): void {
  world = given;
}

interface Waiting {
  readonly stage: number;
  readonly vars: unknown[];
}

/** Resolves when everything has run; rejects with what the code threw. */
export async function runDetached(nodes: readonly BlockNode[]): Promise<void> {
  const builder = new FlowBuilder({ module: undefined, topology: undefined, temporaries: new Map() }, "detached");
  builder.detached(nodes);
  const { stages } = new Emitter(planOf(builder.program), true).emit();
  const context = new DetachedContext();
  context.waiting.push({ stage: 0, vars: [] });
  for (;;) {
    const next = context.waiting.shift();
    if (next !== undefined) {
      const stage = stages[next.stage]!;
      if (!stage.suspends) stage.run(context, next.vars);
      else for (const _ of stage.run(context, next.vars)) await context.session.load();
    } else if (context.promises.size > 0) {
      await Promise.race(context.promises);
    } else if (!context.batch.advance()) {
      return;
    }
  }
}

function noModule(): never {
  throw new RamaError("NOT_ALLOWED_HERE", "a detached block has no module and no tasks");
}

const info: ModuleInstanceInfo = Object.freeze({
  moduleName: "",
  moduleInstanceId: "",
  numTasks: 1,
  numThreads: 1,
  numWorkers: 1,
});

class DetachedContext implements StageContext {
  readonly taskId = 0;
  readonly numTasks = 1;
  readonly microbatchId = undefined;
  readonly topologyType = null;
  readonly moduleInstanceInfo = info;
  readonly session = new ReadSession();
  at = -1;
  readonly waiting: Waiting[] = [];
  readonly batch: LocalBatches = new LocalBatches(this);
  readonly promises = new Set<Promise<void>>();

  random(): number {
    return theWorld().random();
  }
  nowMs(): number {
    return theWorld().nowMs();
  }
  print(line: string): void {
    theWorld().print(line);
  }
  overtime(): boolean {
    return false;
  }
  defer(stage: number, vars: unknown[]): void {
    this.waiting.push({ stage, vars });
  }
  push(stage: number, _task: number, vars: unknown[]): void {
    this.waiting.push({ stage, vars });
  }
  awaitPromise(stage: number, vars: unknown[], promise: Promise<unknown>): void {
    const waiting = promise.then((value) => {
      this.promises.delete(waiting);
      this.waiting.push({ stage, vars: [...vars, value ?? null] });
    });
    // A rejection is seen when it is this promise's turn; until then it has an owner here.
    waiting.catch(() => {});
    this.promises.add(waiting);
  }

  root = noModule;
  temporary = noModule;
  transformMark = noModule;
  transformMissed = noModule;
  clear = noModule;
  global = noModule;
  send = noModule;
  sendAll = noModule;
  shuffleTask = noModule;
  originTask = noModule;
  pathTask = noModule;
  selectYielding = noModule;
  invokeQuery = noModule;
  appendToDepot = noModule;
  ackReturn = noModule;
  result = noModule;
}

function theWorld(): DetachedWorld {
  if (world === undefined) throw new RamaError("INTERNAL", "detached blocks have no clock and no output");
  return world;
}
