// A StageContext for tests of compiled code: PState partitions are plain values in memory, sends and other boundaries wait in a queue and run in order.
import { assert } from "../../../src/base/assert.ts";
import { taskOf } from "../../../src/base/hash.ts";
import { encodeValue } from "../../../src/base/value-codec.ts";
import { compileModule } from "../../../src/dataflow/compile.ts";
import { LocalBatches } from "../../../src/dataflow/batch/local-batches.ts";
import type {
  AckLevelName,
  MirrorPartition,
  CompiledModule,
  CompiledTopology,
  StageContext,
} from "../../../src/dataflow/compiled.ts";
import { defineModule } from "../../../src/module/build.ts";
import type { ModuleDefinition } from "../../../src/module/definition.ts";
import { RamaModule } from "../../../src/module/module.ts";
import type { Setup } from "../../../src/module/setup.ts";
import type { Topologies } from "../../../src/module/topologies.ts";
import { type PathRoot, ReadSession } from "../../../src/paths/indexed.ts";

interface Waiting {
  readonly stage: number;
  readonly task: number;
  readonly vars: unknown[];
}

export class TestTasks implements StageContext {
  taskId = 0;
  at = -1;
  microbatchId: number | undefined = undefined;
  readonly topologyType: "stream" | "microbatch" | "query";
  readonly session = new ReadSession();
  readonly moduleInstanceInfo;
  readonly numTasks: number;
  /** By PState and task. */
  readonly state = new Map<string, unknown>();
  readonly temporaries = new Map<string, unknown>();
  readonly printed: string[] = [];
  readonly returns: unknown[] = [];
  readonly results: unknown[] = [];
  readonly appended: unknown[] = [];
  /** [stage, task, vars] of every hop. */
  readonly hops: (readonly [number, number, unknown[]])[] = [];
  readonly promises: Promise<void>[] = [];
  isOvertime = false;
  origin = 0;
  #waiting: Waiting[] = [];
  readonly batch: LocalBatches = new LocalBatches(this);
  #shuffle = 0;

  constructor(
    readonly module: CompiledModule,
    readonly topology: CompiledTopology,
    numTasks = 4,
  ) {
    this.numTasks = numTasks;
    this.topologyType = topology.kind;
    const moduleName = module.definition.name;
    this.moduleInstanceInfo = { moduleName, moduleInstanceId: "1", numTasks, numThreads: 1, numWorkers: 1 };
  }

  /** Feeds one record to a source and runs until nothing waits. */
  record(value: unknown, options: { source?: number; task?: number } = {}): void {
    const source = this.topology.sources[options.source ?? 0]!;
    const bytes = encodeValue(value);
    const vars = source.ignoresRecord ? [] : source.decode(bytes, 0, bytes.length);
    this.#waiting.push({ stage: source.stage, task: options.task ?? 0, vars });
    this.run();
  }

  query(args: unknown[], task = 0): unknown[] {
    this.origin = task;
    this.#waiting.push({ stage: this.topology.query!.stage, task, vars: args });
    this.run();
    while (this.batch.advance()) this.run();
    return this.results;
  }

  run(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.taskId = next.task;
      const stage = this.topology.stages[next.stage]!;
      if (!stage.suspends) stage.run(this, next.vars);
      else for (const _ of stage.run(this, next.vars)) assert(false, "nothing is missed in memory");
    }
  }

  async settle(): Promise<void> {
    while (this.promises.length > 0) {
      await this.promises.shift();
      this.run();
    }
  }

  /** All partitions of a PState by task. */
  partitions(name: string): unknown[] {
    const { index } = this.module.definition.pstates.find((each) => each.name === name)!;
    return Array.from({ length: this.numTasks }, (_, task) => this.state.get(`${index}/${task}`) ?? null);
  }

  set(name: string, task: number, value: unknown): void {
    const { index } = this.module.definition.pstates.find((each) => each.name === name)!;
    this.state.set(`${index}/${task}`, value);
  }

  random(): number {
    return 0.5;
  }
  nowMs(): number {
    return 0;
  }
  print(line: string): void {
    this.printed.push(line);
  }
  root(pstate: number): PathRoot {
    const key = `${pstate}/${this.taskId}`;
    return { get: () => this.state.get(key) ?? null, set: (value) => void this.state.set(key, value) };
  }
  temporary(index: number): PathRoot {
    const key = `${index}/${this.taskId}`;
    return { get: () => this.temporaries.get(key) ?? null, set: (value) => void this.temporaries.set(key, value) };
  }
  transformMark(): number {
    return 0;
  }
  transformMissed(): void {}
  clear(pstate: number): void {
    this.state.delete(`${pstate}/${this.taskId}`);
  }
  global(index: number): unknown {
    return this.module.definition.globals[index]!.value;
  }
  send(stage: number, task: number, vars: unknown[]): void {
    this.hops.push([stage, task, vars]);
    this.#waiting.push({ stage, task, vars });
  }
  sendAll(stage: number, vars: unknown[]): void {
    for (let task = 0; task < this.numTasks; task++) this.send(stage, task, [...vars]);
  }
  shuffleTask(): number {
    return this.#shuffle++ % this.numTasks;
  }
  originTask(): number {
    return this.origin;
  }
  pathTask(pstate: number, key: unknown): number {
    const { keyPartitioner } = this.module.definition.pstates[pstate]!;
    return keyPartitioner === undefined ? taskOf(key, this.numTasks) : keyPartitioner(this.numTasks, key);
  }
  push(stage: number, task: number, vars: unknown[]): void {
    this.#waiting.push({ stage, task, vars });
  }
  defer(stage: number, vars: unknown[]): void {
    this.#waiting.push({ stage, task: this.taskId, vars });
  }
  overtime(): boolean {
    return this.isOvertime;
  }
  awaitPromise(stage: number, vars: unknown[], promise: Promise<unknown>): void {
    const task = this.taskId;
    this.promises.push(
      promise.then((value) => void this.#waiting.push({ stage, task, vars: [...vars, value ?? null] })),
    );
  }
  selectYielding(
    stage: number,
    vars: unknown[],
    pstate: number,
    select: (root: PathRoot, session: ReadSession) => unknown[],
  ): void {
    for (const row of select(this.root(pstate), this.session)) this.defer(stage, [...vars, row]);
  }
  invokeQuery(stage: number, vars: unknown[], query: number, args: unknown[]): void {
    const asked = new TestTasks(this.module, this.module.topologies[query as number]!, this.numTasks);
    for (const [key, value] of this.state) asked.state.set(key, value);
    this.defer(stage, [...vars, asked.query(args)[0]]);
  }
  appendToDepot(
    stage: number,
    vars: unknown[],
    depot: number | MirrorPartition,
    record: unknown,
    level: AckLevelName,
  ): void {
    this.appended.push([depot, record, level]);
    if (stage >= 0) this.defer(stage, vars);
  }
  ackReturn(value: unknown): void {
    this.returns.push(value);
  }
  result(value: unknown): void {
    this.results.push(value);
  }
}

type Define = (setup: Setup, topologies: Topologies) => void;

export function definition(define: Define): ModuleDefinition {
  return defineModule(
    new (class TestModule extends RamaModule {
      override define(setup: Setup, topologies: Topologies): void {
        define(setup, topologies);
      }
    })(),
  );
}

/** The tasks of the first topology of a module. */
export function tasksOf(define: Define, numTasks = 4): TestTasks {
  const module = compileModule(definition(define));
  return new TestTasks(module, module.topologies[0]!, numTasks);
}
