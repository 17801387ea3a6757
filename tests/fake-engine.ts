// An engine that keeps records in arrays, behind the real sessions of an engine port and the memory network: for tests of the client and of the wire.
import { FrameWriter } from "../src/protocol/frame-fields.ts";
import { systemEnv } from "../src/base/env-system.ts";
import type { Env } from "../src/base/env.ts";
import { RamaError } from "../src/base/errors.ts";
import { taskOf } from "../src/base/hash.ts";
import { decodeValue } from "../src/base/value-codec.ts";
import { ClassRegistry } from "../src/base/values.ts";
import { Appender } from "../src/client/appender.ts";
import type { CallContext } from "../src/client/call.ts";
import { ConnectionPool } from "../src/client/connection-pool.ts";
import { DepotClient } from "../src/client/depot.ts";
import { PStateClient } from "../src/client/pstate.ts";
import { QueryClient } from "../src/client/query.ts";
import { Routing } from "../src/client/routing.ts";
import { configOf } from "../src/config/rama-yaml.ts";
import { MemoryNetwork, MemoryTransport } from "../src/net/transport-memory.ts";
import { type AppendRequest, eachRecord } from "../src/protocol/append.ts";
import type { DepotRoute, ModuleRoutes } from "../src/protocol/routes.ts";
import { opNamed } from "../src/dataflow/ops.ts";
import { compileSelect } from "../src/paths/compile.ts";
import { decodePath } from "../src/paths/path-codec.ts";
import type { PStateRoute, QueryRoute } from "../src/protocol/routes.ts";
import type { EngineRequests, PreparedPath } from "../src/roles/worker/requests.ts";
import { Session } from "../src/roles/worker/session.ts";
import type { AppendReply, AppendToken } from "../src/task/engine-api.ts";

export interface SeenAppend {
  readonly depot: number;
  readonly task: number;
  readonly seq: number;
  readonly records: readonly unknown[];
}

export const depots: readonly DepotRoute[] = [
  { index: 0, name: "*random", global: false, tick: false, partitioning: { kind: "random" } },
  { index: 1, name: "*byUser", global: false, tick: false, partitioning: { kind: "hashField", field: "user" } },
  { index: 2, name: "*global", global: true, tick: false, partitioning: { kind: "random" } },
  { index: 3, name: "*own", global: false, tick: false, partitioning: { kind: "cluster" } },
  { index: 4, name: "*disallow", global: false, tick: false, partitioning: { kind: "disallow" } },
  { index: 5, name: "*byOp", global: false, tick: false, partitioning: { kind: "hashOp", op: "Ops.FIRST" } },
];

const pstate = (index: number, name: string, more: Partial<PStateRoute> = {}): PStateRoute => ({
  index,
  name,
  global: false,
  private: false,
  ownPartitioner: false,
  ...more,
});

export const pstates: readonly PStateRoute[] = [
  pstate(0, "$$map"),
  pstate(1, "$$global", { global: true }),
  pstate(2, "$$private", { private: true }),
  pstate(3, "$$own", { ownPartitioner: true }),
];

export const queries: readonly QueryRoute[] = [
  { index: 5, name: "byKey", inputs: 2, start: { kind: "hashInput", input: 1 } },
  { index: 6, name: "any", inputs: 0, start: { kind: "any" } },
];

export class FakeCluster {
  /** What every PState holds on every task; "task" is the task that was asked. */
  data: Record<string, unknown> = {};
  readonly prepared = new Set<string>();
  readonly asked: { readonly what: string; readonly task: number | undefined; readonly args: readonly unknown[] }[] =
    [];
  readonly env: Env;
  readonly network: MemoryNetwork;
  readonly appends: SeenAppend[] = [];
  /** Values stored, by depot and task; what was sent twice is there once. */
  readonly stored = new Map<string, unknown[]>();
  readonly sessions = new Set<Session>();
  /** Replaces the answer of appends; return true when it has replied (or will never). */
  onAppend: (append: AppendRequest, records: unknown[], reply: AppendReply) => boolean = () => false;
  routes: ModuleRoutes;
  fetches = 0;
  readonly #lastSeq = new Map<string, number>();
  #transport: MemoryTransport;

  constructor(numTasks = 4) {
    this.env = systemEnv({ sink: () => {} });
    this.network = new MemoryNetwork(this.env);
    this.#transport = new MemoryTransport(this.network, "server");
    this.routes = {
      moduleName: "M",
      moduleInstanceId: "m1",
      version: 1,
      numTasks,
      groups: [{ host: "server", port: 7 }],
      depots,
      pstates,
      queries,
    };
  }

  async listen(): Promise<void> {
    await this.#transport.listen({ host: "server", port: 7 }, (connection) => {
      const session = new Session(connection, this.#requests(), this.env);
      this.sessions.add(session);
      return {
        onFrame: (frame) => session.onFrame(frame),
        onClose: () => {
          session.closed();
          this.sessions.delete(session);
        },
      };
    });
  }

  /** As if the worker had been killed and started again at the same place. */
  async restart(): Promise<void> {
    this.#transport.shutDown();
    this.#transport = new MemoryTransport(this.network, "server");
    await this.listen();
  }

  stop(): void {
    this.#transport.shutDown();
  }

  client(settings: Record<string, unknown> = {}) {
    const transport = new MemoryTransport(this.network, "client");
    const context: CallContext = {
      env: this.env,
      routing: new Routing(this.env, async (name) => {
        this.fetches++;
        if (name !== "M") throw new RamaError("MODULE_NOT_FOUND", `no module ${name}`);
        return this.routes;
      }),
      pool: new ConnectionPool({
        env: this.env,
        transport,
        release: "0.1.0",
        connectTimeoutMs: 500,
        onSilent: () => {},
        onCut: (moduleName) => context.routing.doubt(moduleName),
      }),
      classes: new ClassRegistry(),
      scratch: new FrameWriter(256),
      config: configOf(settings, "test"),
      closed: false,
      proxies: new Set(),
    };
    return {
      context,
      depot: (name: string) => new DepotClient(context, new Appender(context, "M", name), "M", name),
      pstate: (name: string) => new PStateClient(context, "M", name),
      query: (name: string) => new QueryClient(context, "M", name),
    };
  }

  values(depot: number): unknown[] {
    return [...this.stored].filter(([key]) => key.startsWith(`${depot}/`)).flatMap(([, values]) => values);
  }

  #requests(): EngineRequests {
    const requests = {
      classes: new ClassRegistry(),
      release: "0.1.0",
      log: this.env.log,
      recordBytesMax: 1000,
      answerBytesMax: 10_000,
      checkInstance: (id: string) => {
        if (id !== this.routes.moduleInstanceId) throw new RamaError("MOVED", "another instance");
      },
      append: (append: AppendRequest, token: AppendToken, reply: AppendReply) => this.#append(append, token, reply),
      choosePartitions: (_depot: number, records: Uint8Array) => {
        const tasks: number[] = [];
        eachRecord(records, (start, end) => {
          const record = decodeValue(records, start, end) as { own: number };
          if (typeof record.own !== "number") throw new RamaError("USER_CODE_FAILED", "no own");
          tasks.push(taskOf(record.own, this.routes.numTasks));
        });
        return tasks;
      },
      select: (
        _pstate: number,
        task: number,
        { spec: path }: PreparedPath,
        args: unknown[],
        reply: (error: RamaError | null, rows: unknown[]) => void,
      ) => {
        this.prepared.add(path);
        this.asked.push({ what: "select", task, args });
        const steps = decodePath(
          Uint8Array.from(path, (c) => c.charCodeAt(0)),
          opNamed,
        );
        try {
          reply(null, compileSelect(steps)({ ...this.data, task }, args));
        } catch (error) {
          reply(error as RamaError, []);
        }
      },
      chooseTask: (_pstate: number, key: number) => key % this.routes.numTasks,
      invoke: (
        query: number,
        task: number | undefined,
        args: unknown[],
        reply: (error: RamaError | null, value: unknown) => void,
      ) => {
        this.asked.push({ what: `invoke ${query}`, task, args });
        if (args[0] === "never") return;
        if (args[0] === "boom") reply(new RamaError("USER_CODE_FAILED", "boom"), undefined);
        else reply(null, new Map([["args", args]]));
      },
      partitionInfo: (depot: number, task: number) => ({
        startOffset: 0,
        endOffset: this.stored.get(`${depot}/${task}`)?.length ?? 0,
      }),
    };
    return requests as unknown as EngineRequests;
  }

  #append(append: AppendRequest, token: AppendToken, reply: AppendReply): void {
    const records: unknown[] = [];
    eachRecord(append.records, (start, end) => records.push(decodeValue(append.records, start, end)));
    this.appends.push({ depot: append.depot, task: append.task, seq: token.seq, records });
    const key = `${append.depot}/${append.task}`;
    const values = this.stored.get(key) ?? [];
    this.stored.set(key, values);
    const offset = values.length;
    const clientKey = `${key}/${token.client.join(",")}`;
    if (token.seq > (this.#lastSeq.get(clientKey) ?? -1)) {
      values.push(...records);
      this.#lastSeq.set(clientKey, token.seq);
    }
    if (!this.onAppend(append, records, reply)) reply(null, offset, null, null);
  }
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (error) {
    return error instanceof RamaError ? error.code : `not a RamaError: ${error}`;
  }
}
