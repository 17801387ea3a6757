// What a module does with objects of other modules, over the client library: reads of a chosen partition, invokes, appends to a chosen partition. One per engine.
// Routes of mirrored modules are asked for before the engine runs anything (`open`), so that the number of partitions can be told at once. Where one cannot be had the
// engine opens nevertheless: what needs the other module fails, and is tried again as any failure is, until it is there.
import { messageOf, RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { AckLevelName, MirrorAccess, MirrorPartition, RemotePath } from "../dataflow/compiled.ts";
import type { MirrorDefinition } from "../module/definition.ts";
import { FrameReader } from "../protocol/frame-fields.ts";
import { encodeChooseTask, encodeSelect } from "../protocol/read.ts";
import type { AppendWaiter } from "./append-batch.ts";
import { call } from "./call.ts";
import type { ClientCore } from "./client-core.ts";
import { DepotFeed } from "./depot-feed.ts";
import type { RouteTable } from "./routing.ts";

/** How long an engine waits at its start for the routes of the modules that it mirrors. */
const openTimeoutMs = 5_000;
/** How long a source waits for the number of partitions before its topology's status tells. */
const routesTimeoutMs = 10_000;

export class Mirrors implements MirrorAccess {
  readonly #core: ClientCore;
  readonly #mirrors: readonly MirrorDefinition[];
  /** By mirror: partitions of a shuffled round robin that are left. */
  readonly #shuffled: number[][] = [];
  /** Whose routes are being asked for. */
  readonly #asking = new Set<MirrorDefinition>();

  constructor(core: ClientCore, mirrors: readonly MirrorDefinition[]) {
    this.#core = core;
    this.#mirrors = mirrors;
  }

  /** Resolves when all routes are known, or have not come for a while: then the log says which. */
  async open(): Promise<void> {
    await Promise.all(
      this.#mirrors.map(async (mirror) => {
        try {
          await this.#table(mirror, openTimeoutMs);
        } catch (error) {
          const { module, object } = mirror;
          this.#core.context.env.log.warn(
            "an object of another module is out of reach: what needs it fails until it is there",
            {
              module,
              object,
              error: messageOf(error),
            },
          );
        }
      }),
    );
  }

  /** The routes of the mirror's module, which has the object. MODULE_NOT_FOUND, UNKNOWN_OBJECT, PRIVATE_PSTATE, TIMEOUT. */
  async #table(mirror: MirrorDefinition, timeoutMs: number): Promise<RouteTable> {
    const { routing } = this.#core.context;
    const table = await routing.within(mirror.module, timeoutMs);
    try {
      find(table, mirror);
      return table;
    } catch (error) {
      // It may have come by an update since.
      const fresh = await routing.recheck(mirror.module, table, error);
      find(fresh, mirror);
      return fresh;
    }
  }

  /** Nothing can be asked any more. */
  get closed(): boolean {
    return this.#core.context.closed;
  }

  named(name: string): MirrorDefinition {
    return this.#mirrors.find((mirror) => mirror.name === name)!;
  }

  partitions(mirror: number): number {
    const definition = this.#mirrors[mirror]!;
    const { module } = definition;
    const table = this.#core.context.routing.cached(module);
    if (table === undefined) {
      this.#ask(definition);
      throw new RamaError("MODULE_NOT_RUNNING", `the routes of ${module} are not known at present`, { module });
    }
    try {
      return isGlobal(table, definition) ? 1 : table.numTasks;
    } catch (error) {
      this.#ask(definition);
      throw error;
    }
  }

  /** For the next try. */
  #ask(mirror: MirrorDefinition): void {
    if (this.#asking.has(mirror)) return;
    this.#asking.add(mirror);
    this.#core.context.env.spawn(`routes of ${mirror.module}`, async () => {
      await this.#table(mirror, openTimeoutMs).catch(() => undefined);
      this.#asking.delete(mirror);
    });
  }

  /** Tries until the other module's routes are known; its objects must be there. UNKNOWN_OBJECT, MODULE_NOT_FOUND, TIMEOUT. */
  async partitionsLater(mirror: number): Promise<number> {
    const definition = this.#mirrors[mirror]!;
    const table = await this.#table(definition, routesTimeoutMs);
    return isGlobal(table, definition) ? 1 : table.numTasks;
  }

  /** A partition of a mirrored depot, as a source. `consumer`: the same whenever the source asks. */
  feed(mirror: number, partition: number, consumer: string): DepotFeed {
    const { module, object } = this.#mirrors[mirror]!;
    return new DepotFeed(this.#core.context, module, object, partition, consumer);
  }

  shuffled(mirror: number): number {
    let left = this.#shuffled[mirror];
    if (left === undefined || left.length === 0) {
      left = Array.from({ length: this.partitions(mirror) }, (_, partition) => partition);
      const { env } = this.#core.context;
      for (let i = left.length - 1; i > 0; i--) {
        const j = Math.floor(env.random() * (i + 1));
        [left[i], left[j]] = [left[j]!, left[i]!];
      }
      this.#shuffled[mirror] = left;
    }
    return left.pop()!;
  }

  async partitionOfKey(mirror: number, key: unknown): Promise<number> {
    const { module, object } = this.#mirrors[mirror]!;
    const { context } = this.#core;
    const timeoutMs = this.#readTimeoutMs;
    const table = await context.routing.within(module, timeoutMs);
    const pstate = table.pstate(object);
    if (pstate.global) return 0;
    if (!pstate.ownPartitioner) return taskOf(key, table.numTasks);
    const encoded = encodeValue(key, context.classes);
    return call(context, {
      moduleName: module,
      what: `the partition of a key of ${object}`,
      timeoutMs,
      repeatable: true,
      task: () => 0,
      send: (routes, _task, connection, request) =>
        connection.send(
          encodeChooseTask(context.scratch, { pstate: routes.pstate(object).index, request, key: encoded }),
        ),
      read: (frame, at) => new FrameReader(frame, at).u32(),
    });
  }

  async select(mirror: number, partition: number, path: RemotePath, args: readonly unknown[]): Promise<unknown> {
    const { module, object } = this.#mirrors[mirror]!;
    const { context } = this.#core;
    return call(context, {
      moduleName: module,
      what: `a read of ${object}`,
      timeoutMs: this.#readTimeoutMs,
      repeatable: true,
      task: () => partition,
      send: (table, task, connection, request) =>
        connection.send(
          encodeSelect(
            context.scratch,
            {
              one: path.one,
              pstate: table.pstate(object).index,
              task,
              request,
              path: connection.pathNumber(`mirror ${path.key}`, () => path.shape),
            },
            args,
          ),
        ),
      read: (frame, at) => decodeValue(frame, at, frame.length, context.classes),
    });
  }

  async invoke(mirror: number, args: readonly unknown[]): Promise<unknown> {
    const { module, object } = this.#mirrors[mirror]!;
    return this.#core.query(module, object).invoke(...args);
  }

  /** Appends an encoded record; resolves when the level is reached, with "none" at once. What topologies there return goes nowhere. */
  async append({ mirror, partition }: MirrorPartition, record: Uint8Array, level: AckLevelName): Promise<void> {
    const { module, object } = this.#mirrors[mirror]!;
    const { context } = this.#core;
    await context.routing.within(module, context.config.get<number>("foreign.depot.operation.timeout.millis"));
    const appender = this.#core.appender(module, object);
    await new Promise<void>((resolve, reject) => {
      const waiter: AppendWaiter = { appended: () => resolve(), notAppended: (_tag, error) => reject(error) };
      appender.addTo(partition, record, level, waiter, 0);
      if (level === "none") resolve();
    });
  }

  get #readTimeoutMs(): number {
    return this.#core.context.config.get("foreign.pstate.operation.timeout.millis");
  }
}

function isGlobal(table: RouteTable, mirror: MirrorDefinition): boolean {
  return mirror.kind === "depot" ? table.depot(mirror.object).global : table.pstate(mirror.object).global;
}

/** UNKNOWN_OBJECT, PRIVATE_PSTATE. */
function find(table: RouteTable, mirror: MirrorDefinition): void {
  if (mirror.kind === "query") table.query(mirror.object);
  else isGlobal(table, mirror);
}

/** Their routes are known before anything runs. */
export async function openMirrors(
  client: ClientCore | undefined,
  mirrors: readonly MirrorDefinition[],
): Promise<Mirrors | undefined> {
  if (client === undefined || mirrors.length === 0) return undefined;
  const opened = new Mirrors(client, mirrors);
  await opened.open();
  return opened;
}
