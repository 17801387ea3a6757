// A PState of a running module as its users see it: reads of one partition by path, in the committed state.
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import { Path } from "../paths/path.ts";
import { encodePath, leadingKey } from "../paths/path-codec.ts";
import type { Steps } from "../paths/spec.ts";
import { FrameReader } from "../protocol/frame-fields.ts";
import { encodeChooseTask, encodeSelect } from "../protocol/read.ts";
import type { PStateRoute } from "../protocol/routes.ts";
import { type CallContext, type CallPlan, call } from "./call.ts";
import type { EngineConnection } from "./connection.ts";
import type { ObjectInfo } from "./depot.ts";
import { type PathShape, shapeOfPath } from "./path-shape.ts";
import { openProxy, type ProxyCallback, type ProxyState } from "./proxy.ts";
import type { RouteTable } from "./routing.ts";

/** Stands for "no partitioning key was given"; null is a key. */
const noKey = Symbol("no key");

export class PStateClient<T = any> {
  readonly #context: CallContext;
  readonly #moduleName: string;
  readonly #name: string;

  constructor(context: CallContext, moduleName: string, name: string) {
    this.#context = context;
    this.#moduleName = moduleName;
    this.#name = name;
  }

  /**
   * All values that the path navigates to, as an array: `select(Path.key("user-1").mapVals())` → `[3, 7]`.
   * The partition is that of the path's first `key`, or of `partitionKey` where one is given before the path.
   * Sees what is committed; with `AckLevel.ACK` that includes the client's own appends, once a colocated stream topology has processed them.
   * Errors: KEY_REQUIRED, BAD_PATH, FUNCTION_IN_CLIENT_PATH, PRIVATE_PSTATE, TOO_LARGE, UNKNOWN_OBJECT, MODULE_NOT_FOUND, TIMEOUT.
   */
  select<R = T>(path: Path): Promise<R[]>;
  select<R = T>(partitionKey: unknown, path: Path): Promise<R[]>;
  select<R>(first: unknown, second?: Path): Promise<R[]> {
    return this.#read<R[]>(first, second, false);
  }

  /** The one value that the path navigates to; null where a `key` finds nothing. Errors as `select`, and NOT_EXACTLY_ONE. */
  selectOne<R = T>(path: Path): Promise<R>;
  selectOne<R = T>(partitionKey: unknown, path: Path): Promise<R>;
  selectOne<R>(first: unknown, second?: Path): Promise<R> {
    return this.#read<R>(first, second, true);
  }

  /**
   * Keeps a copy of the one value that the path navigates to, and calls `callback` with each change of it: `(newValue, diff, oldValue)`. Calls come in order and
   * never overlap; the first has a ResyncDiff and null as the old value, and the promise resolves once it has returned. Writes that do not change the
   * value are silent; writes that became visible together may come as one diff. Close the proxy when it is no longer needed.
   * `await using proxy = await counts.proxy(Path.key("be"), (now, diff, before) => console.log(before, "→", now))`
   * Errors as `selectOne`, STRUCTURE_NOT_A_VALUE for a subindexed structure as a whole, OVERLOADED past `pstate.proxy.limit`.
   */
  proxy<R = T>(path: Path, callback?: ProxyCallback<R>): Promise<ProxyState<R>>;
  proxy<R = T>(partitionKey: unknown, path: Path, callback?: ProxyCallback<R>): Promise<ProxyState<R>>;
  async proxy<R>(first: unknown, second?: unknown, third?: ProxyCallback<R>): Promise<ProxyState<R>> {
    const keyed = second instanceof Path;
    const path = keyed ? second : first;
    const callback = keyed ? third : (second as ProxyCallback<R> | undefined);
    if (!(path instanceof Path)) {
      throw new RamaError("BAD_ARGUMENTS", `a path was expected, such as Path.key("a"); got ${typeof path}`);
    }
    if (callback !== undefined && callback !== null && typeof callback !== "function") {
      throw new RamaError("BAD_ARGUMENTS", `a proxy's callback is a function; got ${typeof callback}`);
    }
    const key = keyed ? (first ?? null) : keyOf(path.steps);
    const select = new Select<R>(this.#context, this.#moduleName, this.#name, path.steps, key, true, this.#timeoutMs);
    const table = await this.#context.routing.within(this.#moduleName, this.#timeoutMs);
    const pstate = table.pstate(this.#name);
    if (pstate.ownPartitioner && !pstate.global && table.numTasks > 1)
      select.chosenTask = await this.#askTask(pstate, select);
    return openProxy<R>({
      context: this.#context,
      moduleName: this.#moduleName,
      name: this.#name,
      steps: path.steps,
      task: (known) => select.task(known),
      callback: callback ?? undefined,
    });
  }

  async getObjectInfo(): Promise<ObjectInfo> {
    const table = await this.#context.routing.within(this.#moduleName, this.#timeoutMs);
    const pstate = table.pstate(this.#name);
    return { module: this.#moduleName, name: this.#name, numPartitions: pstate.global ? 1 : table.numTasks };
  }

  #read<R>(first: unknown, second: Path | undefined, one: boolean): Promise<R> {
    try {
      const path = second ?? first;
      if (!(path instanceof Path)) {
        throw new RamaError("BAD_ARGUMENTS", `a path was expected, such as Path.key("a"); got ${typeof path}`);
      }
      const { steps } = path;
      const key = second === undefined ? keyOf(steps) : (first ?? null);
      const select = new Select<R>(this.#context, this.#moduleName, this.#name, steps, key, one, this.#timeoutMs);
      return this.#start(select);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #start<R>(select: Select<R>): Promise<R> {
    const table = this.#context.routing.cached(this.#moduleName);
    if (table === undefined) {
      return this.#context.routing
        .within(this.#moduleName, this.#timeoutMs)
        .then((known) => this.#startKnown(select, known));
    }
    return this.#startKnown(select, table);
  }

  #startKnown<R>(select: Select<R>, table: RouteTable): Promise<R> {
    let pstate: PStateRoute;
    try {
      pstate = select.route(table);
    } catch (error) {
      const fresh = this.#context.routing.recheck(this.#moduleName, table, error);
      return fresh.then((known) => this.#startKnown(select, known));
    }
    if (!pstate.ownPartitioner || pstate.global || table.numTasks === 1) return call(this.#context, select);
    return this.#askTask(pstate, select).then((task) => {
      select.chosenTask = task;
      return call(this.#context, select);
    });
  }

  #askTask<R>(pstate: PStateRoute, select: Select<R>): Promise<number> {
    const key = encodeValue(select.requiredKey(), this.#context.classes);
    return call(this.#context, {
      moduleName: this.#moduleName,
      what: `the partition of a key of ${this.#name}`,
      timeoutMs: this.#timeoutMs,
      repeatable: true,
      task: () => 0,
      send: (table, _task, connection, request) =>
        connection.send(
          encodeChooseTask(this.#context.scratch, { pstate: table.pstate(pstate.name).index, request, key }),
        ),
      read: (frame, at) => new FrameReader(frame, at).u32(),
    });
  }

  get #timeoutMs(): number {
    return this.#context.config.get("foreign.pstate.operation.timeout.millis");
  }
}

class Select<R> implements CallPlan<R> {
  readonly moduleName: string;
  readonly timeoutMs: number;
  readonly repeatable = true;
  chosenTask = -1;
  readonly #context: CallContext;
  readonly #name: string;
  readonly #steps: Steps;
  readonly #shape: PathShape;
  readonly #key: unknown;
  readonly #one: boolean;
  #table: RouteTable | undefined;
  #route: PStateRoute | undefined;

  constructor(
    context: CallContext,
    moduleName: string,
    name: string,
    steps: Steps,
    key: unknown,
    one: boolean,
    timeoutMs: number,
  ) {
    this.#context = context;
    this.moduleName = moduleName;
    this.#name = name;
    this.#steps = steps;
    this.#shape = shapeOfPath(steps);
    this.#key = key;
    this.#one = one;
    this.timeoutMs = timeoutMs;
  }

  get what(): string {
    return `a read of ${this.#name}`;
  }

  task(table: RouteTable): number {
    if (this.chosenTask >= 0) return this.chosenTask;
    if (table.numTasks === 1 || this.route(table).global) return 0;
    return taskOf(this.requiredKey(), table.numTasks);
  }

  /** The PState in the table, looked up once. */
  route(table: RouteTable): PStateRoute {
    if (this.#route === undefined || this.#table !== table) {
      this.#route = table.pstate(this.#name);
      this.#table = table;
    }
    return this.#route;
  }

  requiredKey(): unknown {
    if (this.#key !== noKey) return this.#key;
    throw new RamaError(
      "KEY_REQUIRED",
      `${this.#name} of ${this.moduleName} has many partitions: the path must begin with key(…), or a partitioning key must be given`,
      { pstate: this.#name },
    );
  }

  send(table: RouteTable, task: number, connection: EngineConnection, request: number): void {
    const { key, args } = this.#shape;
    const path = connection.pathNumber(key, () => encodePath(this.#steps).shape);
    const pstate = this.route(table).index;
    connection.send(encodeSelect(this.#context.scratch, { one: this.#one, pstate, task, request, path }, args));
  }

  read(frame: Uint8Array, at: number): R {
    return decodeValue(frame, at, frame.length, this.#context.classes) as R;
  }
}

function keyOf(steps: Steps): unknown {
  const first = steps[0];
  const arg = first?.args[0];
  if (first?.nav === "key" && arg?.kind === "const") return arg.value;
  const leading = leadingKey(steps);
  return leading === undefined ? noKey : leading.key;
}
