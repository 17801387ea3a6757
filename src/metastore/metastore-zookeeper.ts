// The metastore on a ZooKeeper ensemble. The only file that imports node-zookeeper-client; connections and sessions are kept by `zookeeper-session.ts`.
import zookeeper from "node-zookeeper-client";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Metastore, MetastoreOp, NodeValue, SessionEvent } from "./metastore.ts";
import {
  changesOf,
  checkData,
  checkOps,
  checkPath,
  conflict,
  nodeExists,
  noNode,
  parentOf,
  type Seen,
  unavailable,
} from "./watching.ts";
import { type ZookeeperClient, type ZookeeperSend, ZookeeperSession, type ZookeeperStat } from "./zookeeper-session.ts";

export interface ZookeeperMetastoreOptions {
  /** `host:port` each. */
  readonly servers: readonly string[];
  /** Put in front of every path; "" or "/" for none. */
  readonly root: string;
  readonly sessionTimeoutMs: number;
  /** For one connection, and for the first session as a whole. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** How long a request waits for an answer, outages included. Default 15,000. */
  readonly requestTimeoutMs?: number;
}

const { Exception, CreateMode } = zookeeper;
const empty = Buffer.alloc(0);

/** Resolves with the first session; METASTORE_UNAVAILABLE when there is none within the timeout. */
export async function openZookeeperMetastore(env: Env, options: ZookeeperMetastoreOptions): Promise<Metastore> {
  const metastore = new ZookeeperMetastore(env, options);
  try {
    await metastore.open();
  } catch (error) {
    await metastore.close();
    throw error;
  }
  return metastore;
}

class ZookeeperMetastore implements Metastore {
  readonly #env: Env;
  readonly #options: ZookeeperMetastoreOptions;
  readonly #root: string;
  readonly #session: ZookeeperSession;
  /** Ephemerals that this object created, whole paths with their last data. */
  readonly #ephemerals = new Map<string, Buffer>();
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #ending = new AbortController();
  /** Called when requests flow again: every watch reads anew, since it may have missed something. */
  #onConnected = new Set<() => void>();
  #opened = false;
  #firstConnection = Promise.withResolvers<void>();

  constructor(env: Env, options: ZookeeperMetastoreOptions) {
    this.#env = env;
    this.#options = options;
    this.#root = options.root === "/" ? "" : options.root.replace(/\/+$/, "");
    this.#session = new ZookeeperSession(env, zookeeper, {
      servers: options.servers,
      sessionTimeoutMs: options.sessionTimeoutMs,
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 15_000,
      onRenewed: (client) => this.#renewed(client),
      onConnected: () => this.#connected(),
      onDisconnected: () => this.#tell("disconnected"),
    });
  }

  async open(): Promise<void> {
    const timeoutMs = this.#options.connectTimeoutMs ?? 5_000;
    const timer = this.#env.setTimer(timeoutMs, () => {
      const servers = this.#options.servers.join(",");
      this.#firstConnection.reject(
        unavailable(`no session at ${servers} within ${timeoutMs} ms`, { servers, timeoutMs }),
      );
    });
    await this.#firstConnection.promise.finally(() => timer.cancel());
    if (this.#root !== "") await this.#ensure(this.#root);
  }

  async get(path: string): Promise<NodeValue | undefined> {
    return (await this.#read(this.#at(path), undefined))?.value;
  }

  async children(path: string): Promise<string[]> {
    const at = this.#dirAt(path);
    const names = await this.#call<string[]>(true, (client, done) => client.getChildren(at, undefined, done)).catch(
      onCode(Exception.NO_NODE, () => []),
    );
    return names.sort();
  }

  async create(
    path: string,
    data: Uint8Array,
    options: { ephemeral?: boolean; sequential?: boolean } = {},
  ): Promise<string> {
    const { ephemeral = false, sequential = false } = options;
    const mode = ephemeral
      ? CreateMode[sequential ? "EPHEMERAL_SEQUENTIAL" : "EPHEMERAL"]
      : CreateMode[sequential ? "PERSISTENT_SEQUENTIAL" : "PERSISTENT"];
    checkData(path, data);
    const at = this.#at(path);
    const bytes = Buffer.from(data);
    for (;;) {
      try {
        const real = await this.#call<string>(false, (client, done) => client.create(at, bytes, mode, done));
        if (ephemeral) this.#ephemerals.set(real, bytes);
        return real.slice(this.#root.length);
      } catch (error) {
        const code = codeOf(error);
        if (code === Exception.NO_NODE) await this.#ensure(parentOf(at));
        else if (code === Exception.NODE_EXISTS) throw nodeExists(path);
        else if (code === Exception.NO_CHILDREN_FOR_EPHEMERALS)
          throw conflict(path, "an ephemeral node has no children");
        else throw error;
      }
    }
  }

  async set(path: string, data: Uint8Array, expectedVersion?: number): Promise<number> {
    checkData(path, data);
    const at = this.#at(path);
    const bytes = Buffer.from(data);
    for (;;) {
      try {
        const stat = await this.#call<ZookeeperStat>(expectedVersion === undefined, (client, done) =>
          client.setData(at, bytes, expectedVersion ?? -1, done),
        );
        if (this.#ephemerals.has(at)) this.#ephemerals.set(at, bytes);
        return stat.version;
      } catch (error) {
        const code = codeOf(error);
        if (code === Exception.BAD_VERSION) throw conflict(path, `not version ${expectedVersion}`, { expectedVersion });
        if (code !== Exception.NO_NODE) throw error;
        if (expectedVersion !== undefined) throw noNode(path);
      }
      const created = await this.create(path, data).catch((error) => {
        if (error instanceof RamaError && error.code === "METASTORE_NODE_EXISTS") return undefined;
        throw error;
      });
      if (created !== undefined) return 0;
    }
  }

  async remove(path: string, expectedVersion?: number): Promise<void> {
    const at = this.#at(path);
    if (expectedVersion === undefined) {
      await this.#removeTree(at);
      return;
    }
    try {
      await this.#call<void>(false, (client, done) =>
        client.remove(at, expectedVersion, (error) => done(error, undefined)),
      );
    } catch (error) {
      const code = codeOf(error);
      if (code === Exception.NO_NODE) throw conflict(path, "is not there", { expectedVersion });
      if (code === Exception.BAD_VERSION) throw conflict(path, `not version ${expectedVersion}`, { expectedVersion });
      if (code === Exception.NOT_EMPTY) throw conflict(path, "has children", { expectedVersion });
      throw error;
    }
    this.#ephemerals.delete(at);
  }

  async multi(ops: readonly MetastoreOp[]): Promise<void> {
    if (ops.length === 0) return;
    checkOps(ops);
    for (const parent of new Set(
      ops.filter((op) => op.kind === "create").map((op) => parentOf(this.#root + op.path)),
    )) {
      if (parent !== "") await this.#ensure(parent);
    }
    const failed = await this.#call<{ index: number; code: number } | undefined>(false, (client, done) => {
      const transaction = client.transaction();
      for (const op of ops) {
        const at = this.#root + op.path;
        if (op.kind === "create") {
          transaction.create(at, Buffer.from(op.data), CreateMode[op.ephemeral === true ? "EPHEMERAL" : "PERSISTENT"]);
          continue;
        }
        if (op.kind === "set") transaction.setData(at, Buffer.from(op.data));
        else if (op.kind === "remove") transaction.remove(at);
        else transaction.check(at);
        // Its own argument takes version 0 for "any".
        transaction.ops.at(-1)!.version = op.expectedVersion ?? -1;
      }
      transaction.commit((error, results) => {
        if (error && results === undefined) done(error, undefined);
        else {
          const index = results!.findIndex((result) => result.err !== undefined && result.err !== 0);
          done(null, index < 0 ? undefined : { index, code: results![index]!.err! });
        }
      });
    });
    if (failed !== undefined) {
      const op = ops[failed.index]!;
      throw conflict(op.path, reasonOf(failed.code), { index: failed.index, kind: op.kind });
    }
    for (const op of ops) {
      const at = this.#root + op.path;
      if (op.kind === "create" && op.ephemeral === true) this.#ephemerals.set(at, Buffer.from(op.data));
      else if (op.kind === "set" && this.#ephemerals.has(at)) this.#ephemerals.set(at, Buffer.from(op.data));
      else if (op.kind === "remove") this.#ephemerals.delete(at);
    }
  }

  async *watch(path: string, signal: AbortSignal): AsyncIterable<NodeValue | undefined> {
    const at = this.#at(path);
    yield* this.#changes<NodeValue | undefined>((onChange) => this.#readWatching(at, onChange), signal);
  }

  async *watchChildren(path: string, signal: AbortSignal): AsyncIterable<string[]> {
    const at = this.#dirAt(path);
    yield* this.#changes<string[]>((onChange) => this.#childrenWatching(at, onChange), signal);
  }

  onSession(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#session.close();
  }

  #at(path: string): string {
    checkPath(path);
    return this.#root + path;
  }

  #dirAt(path: string): string {
    if (path === "/") return this.#root === "" ? "/" : this.#root;
    return this.#at(path);
  }

  #call<T>(repeatable: boolean, send: ZookeeperSend<T>): Promise<T> {
    return this.#session.request<T>(repeatable, send);
  }

  /** Creates a path of persistent, empty nodes where they are missing. */
  async #ensure(at: string): Promise<void> {
    if (at === "") return;
    for (;;) {
      try {
        // Sent twice it is NODE_EXISTS, which is as good.
        await this.#call<string>(true, (client, done) => client.create(at, empty, CreateMode.PERSISTENT, done));
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === Exception.NODE_EXISTS) return;
        if (code === Exception.NO_CHILDREN_FOR_EPHEMERALS) throw conflict(at, "an ephemeral node has no children");
        if (code !== Exception.NO_NODE) throw error;
        await this.#ensure(parentOf(at));
      }
    }
  }

  async #removeTree(at: string): Promise<void> {
    for (;;) {
      try {
        await this.#call<void>(true, (client, done) => client.remove(at, -1, (error) => done(error, undefined)));
      } catch (error) {
        const code = codeOf(error);
        if (code === Exception.NOT_EMPTY) {
          const names = await this.#call<string[]>(true, (client, done) =>
            client.getChildren(at, undefined, done),
          ).catch(onCode(Exception.NO_NODE, () => []));
          await Promise.all(names.map((name) => this.#removeTree(`${at}/${name}`)));
          continue;
        }
        if (code !== Exception.NO_NODE) throw error;
      }
      this.#ephemerals.delete(at);
      return;
    }
  }

  async #read(at: string, onChange: (() => void) | undefined): Promise<Seen<NodeValue> | undefined> {
    return this.#call<Seen<NodeValue>>(true, (client, done) =>
      client.getData(at, onChange, (error, data, stat) => {
        if (error) done(error, undefined as never);
        else
          done(null, {
            value: nodeValue(data, stat),
            stamp: `${Buffer.from(stat.czxid).toString("hex")}.${stat.version}`,
          });
      }),
    ).catch(onCode(Exception.NO_NODE, () => undefined));
  }

  async #readWatching(at: string, onChange: () => void): Promise<Seen<NodeValue | undefined>> {
    for (;;) {
      const seen = await this.#read(at, onChange);
      if (seen !== undefined) return seen;
      const stat = await this.#call<ZookeeperStat | null>(true, (client, done) => client.exists(at, onChange, done));
      if (stat === null) return { value: undefined, stamp: "none" };
    }
  }

  async #childrenWatching(at: string, onChange: () => void): Promise<Seen<string[]>> {
    for (;;) {
      const names = await this.#call<string[]>(true, (client, done) => client.getChildren(at, onChange, done)).catch(
        onCode(Exception.NO_NODE, () => undefined),
      );
      if (names !== undefined) {
        names.sort();
        return { value: names, stamp: names.join("/") };
      }
      const stat = await this.#call<ZookeeperStat | null>(true, (client, done) => client.exists(at, onChange, done));
      if (stat === null) return { value: [], stamp: "" };
    }
  }

  /** The loop of a watch: reads anew after each change and each reconnection, and waits through outages of any length. */
  #changes<T>(read: (onChange: () => void) => Promise<Seen<T>>, signal: AbortSignal): AsyncIterable<T> {
    const until = AbortSignal.any([signal, this.#ending.signal]);
    let reconnected: (() => void) | undefined;
    const patient = async (onChange: () => void): Promise<Seen<T> | undefined> => {
      if (reconnected !== undefined) this.#onConnected.delete(reconnected);
      reconnected = onChange;
      this.#onConnected.add(onChange);
      for (;;) {
        try {
          return await read(onChange);
        } catch (error) {
          if (this.#session.closed || until.aborted) return undefined;
          if (!(error instanceof RamaError && error.code === "METASTORE_UNAVAILABLE")) throw error;
        }
      }
    };
    until.addEventListener("abort", () => reconnected !== undefined && this.#onConnected.delete(reconnected), {
      once: true,
    });
    return changesOf(patient, until);
  }

  /** Puts the ephemerals of the session before into the new one. */
  async #renewed(client: ZookeeperClient): Promise<void> {
    for (const [at, data] of [...this.#ephemerals]) {
      const code = await createOn(client, at, data);
      if (code === 0) continue;
      // A connection that breaks here starts the renewal again.
      if (code !== Exception.NODE_EXISTS && code !== Exception.NO_NODE)
        throw new Error(`renewal ended with code ${code}`);
      // Somebody else's by now, or its parent is gone: ours no more.
      this.#ephemerals.delete(at);
      this.#env.log.warn("an ephemeral node could not be put back", { path: at, code });
    }
    this.#tell("renewed");
  }

  #connected(): void {
    if (!this.#opened) {
      this.#opened = true;
      this.#firstConnection.resolve();
    }
    this.#tell("connected");
    const waiting = [...this.#onConnected];
    this.#onConnected.clear();
    for (const onChange of waiting) onChange();
  }

  #tell(event: SessionEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

/** 0, or ZooKeeper's code. An ephemeral that a broken renewal has already put into this session is taken over. */
function createOn(client: ZookeeperClient, at: string, data: Buffer): Promise<number> {
  return new Promise((resolve) => {
    client.create(at, data, CreateMode.EPHEMERAL, (error) => {
      if (error?.getCode() !== Exception.NODE_EXISTS) return resolve(error ? error.getCode() : 0);
      client.exists(at, undefined, (_error, stat) => {
        const mine = stat && Buffer.from(stat.ephemeralOwner).equals(client.getSessionId());
        resolve(mine ? 0 : Exception.NODE_EXISTS);
      });
    });
  });
}

function nodeValue(data: Buffer | undefined, stat: ZookeeperStat): NodeValue {
  const ephemeral = stat.ephemeralOwner.some((byte) => byte !== 0);
  return { data: new Uint8Array(data ?? empty), version: stat.version, ephemeral };
}

function codeOf(error: unknown): number | undefined {
  return (error as { getCode?: () => number }).getCode?.();
}

function reasonOf(code: number): string {
  if (code === Exception.NO_NODE) return "is not there";
  if (code === Exception.NODE_EXISTS) return "is there already";
  if (code === Exception.BAD_VERSION) return "has another version";
  if (code === Exception.NOT_EMPTY) return "has children";
  return `refused with code ${code}`;
}

/** For `catch`: answers one code of ZooKeeper and throws the rest on. */
function onCode<T>(code: number, answer: () => T): (error: unknown) => T {
  return (error) => {
    if (codeOf(error) === code) return answer();
    throw error;
  };
}
