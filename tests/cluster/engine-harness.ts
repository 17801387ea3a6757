// One engine over memory disk and kv, with modules whose compiled stages are written by hand: what the compiler will generate, without the compiler.
import { expect } from "bun:test";
import type { Env } from "../../src/base/env.ts";
import type { RamaError } from "../../src/base/errors.ts";
import { taskOf } from "../../src/base/hash.ts";
import { decodeValue, encodeValue } from "../../src/base/value-codec.ts";
import type {
  AckLevelName,
  CompiledModule,
  CompiledStage,
  CompiledTopology,
  StageContext,
} from "../../src/dataflow/compiled.ts";
import type {
  DepotDefinition,
  ModuleDefinition,
  PStateDefinition,
  SourceDefinition,
  TaskGlobalDefinition,
  TopologyDefinition,
} from "../../src/module/definition.ts";
import type { SchemaNode } from "../../src/module/schema.ts";
import { type IndexedMap, isIndexed } from "../../src/paths/indexed.ts";
import { systemEnv } from "../../src/base/env-system.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import type { EngineOptions, Router } from "../../src/task/engine-api.ts";
import { openEngine } from "../../src/topology/open-engine.ts";

export const countsSchema: SchemaNode = {
  kind: "map",
  key: String,
  value: { kind: "leaf", type: Number },
};

export const stage = (name: string, run: (x: StageContext, vars: any[]) => void): CompiledStage => ({
  suspends: false,
  run,
  name,
});

export interface HandTopology {
  readonly name: string;
  readonly kind?: "stream" | "query";
  /** Depot indexes with options; the source's stage is 0 unless said. */
  readonly sources?: readonly (Partial<SourceDefinition> & { readonly on: number; readonly stage?: number })[];
  readonly stages: readonly CompiledStage[];
  readonly inputs?: readonly string[];
  readonly start?: NonNullable<CompiledTopology["query"]>["start"];
}

export interface HandModule {
  readonly depots: readonly Partial<DepotDefinition>[];
  readonly pstates: readonly (Partial<PStateDefinition> & { readonly topology: number })[];
  readonly topologies: readonly HandTopology[];
  readonly globals?: readonly TaskGlobalDefinition[];
}

export function handModule(hand: HandModule): CompiledModule {
  const depots = hand.depots.map((depot, index) => ({
    index,
    name: `*depot${index}`,
    partitioning: { kind: "random" } as const,
    global: depot.tickMs !== undefined,
    ...depot,
  }));
  const topologies: TopologyDefinition[] = hand.topologies.map((topology, index) => ({
    index,
    name: topology.name,
    kind: topology.kind ?? "stream",
    inputs: topology.inputs ?? [],
    sources: (topology.sources ?? []).map(({ on, stage: _, ...source }, at) => ({
      index: at,
      line: "hand.ts:1",
      depot: { kind: "own" as const, index: on },
      sourceId: "",
      startFrom: { kind: "end" as const },
      retry: "individual" as const,
      deadLetterAfter: 0,
      block: undefined as unknown as SourceDefinition["block"],
      ...source,
    })),
  }));
  const definition: ModuleDefinition = {
    name: "HandModule",
    depots,
    pstates: hand.pstates.map((pstate, index) => ({
      index,
      name: `$$pstate${index}`,
      schema: countsSchema,
      global: false,
      private: false,
      ...pstate,
    })),
    globals: hand.globals ?? [],
    mirrors: [],
    topologies,
    launchOptions: [],
  };
  const compiled = hand.topologies.map(
    (topology, index): CompiledTopology => ({
      index,
      name: topology.name,
      kind: topology.kind ?? "stream",
      stages: topology.stages,
      lines: [
        { line: "hand.ts:10", what: "start" },
        { line: "hand.ts:11", what: "each(fail)" },
      ],
      sourceText: "",
      sources: (topology.sources ?? []).map((source, at) => ({
        source: at,
        stage: source.stage ?? 0,
        decode: (bytes, start, end) => [decodeValue(bytes.subarray(start, end))],
        ignoresRecord: false,
      })),
      ...(topology.kind === "query" ? { query: { stage: 0, start: topology.start ?? { kind: "any" } } } : {}),
    }),
  );
  return { definition, topologies: compiled };
}

export function count(x: StageContext, pstate: number, key: string, by = 1): void {
  const map = x.root(pstate).get() as IndexedMap;
  map.set(key, ((map.get(key) as number | undefined) ?? 0) + by);
}

/** Record → count on its own task. */
export const localCount = (): CompiledModule =>
  handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [{ name: "counts", sources: [{ on: 0 }], stages: [stage("count", (x, [word]) => count(x, 0, word))] }],
  });

/** Record (a sentence) → each word counted on the task of its hash. */
export const wordCount = (): CompiledModule =>
  handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0 }],
        stages: [
          stage("split", (x, [sentence]) => {
            for (const word of sentence.split(" ")) x.send(1, taskOf(word, x.numTasks), [word]);
          }),
          stage("count", (x, [word]) => count(x, 0, word)),
        ],
      },
    ],
  });

export interface World {
  readonly env: Env;
  readonly disk: MemoryDisk;
  readonly kv: ReturnType<typeof memoryKv>;
}

export function realWorld(): World {
  const disk = new MemoryDisk();
  return { env: systemEnv({ sink: () => {}, logLevel: "error" }), disk, kv: memoryKv({ disk }) };
}

export interface EngineSetup {
  readonly tasks?: number;
  readonly threads?: number;
  readonly groups?: readonly number[];
  readonly router?: Router;
  readonly dir?: string;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly more?: Partial<EngineOptions>;
}

export function openHand(world: World, module: CompiledModule, setup: EngineSetup = {}): Promise<Engine> {
  const threads = setup.threads ?? 2;
  const set = setup.set ?? {};
  return openEngine({
    ...world,
    dir: setup.dir ?? "/engine",
    module,
    info: {
      moduleName: "HandModule",
      moduleInstanceId: "1",
      numTasks: setup.tasks ?? 4,
      numThreads: threads,
      numWorkers: 1,
    },
    groups: setup.groups ?? Array.from({ length: threads }, (_, group) => group),
    router: setup.router ?? { send: () => expect.unreachable("no other engine") },
    options: { get: (name) => set[name] },
    instanceTag: "test",
    ...setup.more,
  });
}

/** Records as they travel: (u32 length | value)*. */
export function recordsOf(values: readonly unknown[]): Uint8Array {
  const encoded = values.map((value) => encodeValue(value));
  const bytes = new Uint8Array(encoded.reduce((sum, each) => sum + 4 + each.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const each of encoded) {
    view.setUint32(at, each.length, true);
    bytes.set(each, at + 4);
    at += 4 + each.length;
  }
  return bytes;
}

export interface Appended {
  readonly offset: number;
  readonly returns: (Record<string, unknown> | null)[] | null;
  readonly failures: ReadonlyMap<number, RamaError> | null;
}

export interface AppendOptions {
  readonly depot?: number;
  readonly level?: AckLevelName;
  readonly token?: { client: Uint8Array; seq: number } | null;
}

export function append(
  engine: Engine,
  task: number,
  values: readonly unknown[],
  options: AppendOptions = {},
): Promise<Appended> {
  return new Promise((resolve, reject) => {
    engine.append({
      depot: options.depot ?? 0,
      task,
      token: options.token ?? null,
      records: recordsOf(values),
      count: values.length,
      level: options.level ?? "ack",
      reply: (error, offset, returns, failures) => {
        if (error === null) resolve({ offset, returns, failures });
        else reject(error);
      },
    });
  });
}

/** All entries of a map PState on one task, committed. */
export function entries(engine: Engine, task: number, pstate = 0): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    engine.select({
      pstate,
      task,
      select: (root) => {
        const map = root.get();
        return isIndexed(map) ? (map as IndexedMap).range({}) : [];
      },
      reply: (error, rows) => {
        if (error === null) resolve(Object.fromEntries(rows as [string, unknown][]));
        else reject(error);
      },
    });
  });
}

export async function allEntries(engine: Engine, tasks = 4, pstate = 0): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (let task = 0; task < tasks; task++) Object.assign(all, await entries(engine, task, pstate));
  return all;
}

export function invoke(engine: Engine, query: number, args: readonly unknown[], task?: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    engine.invokeQuery({
      query,
      args,
      ...(task === undefined ? {} : { task }),
      reply: (error, value) => (error === null ? resolve(value) : reject(error)),
    });
  });
}

/** Turns the event loop until `condition` holds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 5000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not so within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
