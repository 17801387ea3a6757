// The metastore in memory, for in-process clusters and simulations: one server object, a session for each role. Sessions can be expired (they renew
// themselves, as after a long cut) or killed (their role is gone), and the whole server can be unreachable for a while.
import type { Env } from "../base/env.ts";
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

export interface MemoryMetastoreOptions {
  /** How long a request waits while the server is unreachable. Default 10,000. */
  readonly requestTimeoutMs?: number;
}

interface MemoryNode {
  data: Uint8Array;
  version: number;
  /** Tells a node from an earlier one of the same path. */
  readonly created: number;
  readonly owner: MemorySession | undefined;
  readonly children: Set<string>;
  /** Next number of a sequential child. */
  sequence: number;
}

export class MemoryMetastoreServer {
  readonly env: Env;
  readonly options: MemoryMetastoreOptions;
  readonly #nodes = new Map<string, MemoryNode>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #sessions = new Set<MemorySession>();
  #changes = 0;
  #reachable = true;
  #waiting: (() => void)[] = [];

  constructor(env: Env, options: MemoryMetastoreOptions = {}) {
    this.env = env;
    this.options = options;
    this.#nodes.set("", this.#newNode(new Uint8Array(0), undefined));
  }

  /** A session whose paths are below `root` ("" for the whole tree). */
  session(root = ""): Metastore {
    const session = new MemorySession(this, root === "/" ? "" : root);
    this.#sessions.add(session);
    return session;
  }

  /** The session is lost: its ephemerals go, and it learns of it, renews itself and puts them back `renewAfterMs` later. */
  expire(session: Metastore, renewAfterMs = 0): void {
    const lost = session as MemorySession;
    this.removeEphemerals(lost);
    lost.lose(renewAfterMs);
  }

  /** The session is cut off: nothing that it asks gets through. Its ephemerals go `afterMs` later, as its timeout says, and it is back `renewAfterMs` after that. */
  cutOff(session: Metastore, afterMs: number, renewAfterMs: number): void {
    const lost = session as MemorySession;
    const back = lost.loseUntil();
    this.env.setTimer(afterMs, () => this.removeEphemerals(lost));
    this.env.setTimer(afterMs + renewAfterMs, back);
  }

  /** As `expire`; the session comes back when what is returned is called. */
  expireUntil(session: Metastore): () => void {
    const lost = session as MemorySession;
    this.removeEphemerals(lost);
    return lost.loseUntil();
  }

  /** The role behind the session has ended without closing it, and its timeout has passed: ephemerals go, and the object is of no use any more. */
  kill(session: Metastore): void {
    const killed = session as MemorySession;
    killed.end();
    this.drop(killed);
  }

  /** False: requests of all sessions wait, as in an outage. Ephemerals stay. */
  setReachable(reachable: boolean): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    for (const session of this.#sessions) session.tell(reachable ? "connected" : "disconnected");
    if (!reachable) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  // For the sessions.

  /** Resolves at once while the server is reachable. */
  async reached(): Promise<void> {
    if (this.#reachable) return;
    const timeoutMs = this.options.requestTimeoutMs ?? 10_000;
    await new Promise<void>((resolve, reject) => {
      const resume = () => {
        timer.cancel();
        resolve();
      };
      const timer = this.env.setTimer(timeoutMs, () => {
        this.#waiting = this.#waiting.filter((other) => other !== resume);
        reject(unavailable(`no metastore within ${timeoutMs} ms`, { timeoutMs, sent: false }));
      });
      this.#waiting.push(resume);
    });
  }

  find(path: string): MemoryNode | undefined {
    return this.#nodes.get(path);
  }

  create(path: string, data: Uint8Array, owner: MemorySession | undefined, sequential: boolean): string {
    this.ensure(parentOf(path));
    const parent = this.#nodes.get(parentOf(path))!;
    if (parent.owner !== undefined) throw conflict(path, "an ephemeral node has no children");
    const real = sequential ? path + String(parent.sequence++).padStart(10, "0") : path;
    if (this.#nodes.has(real)) throw nodeExists(real);
    this.#nodes.set(real, this.#newNode(new Uint8Array(data), owner));
    parent.children.add(real.slice(real.lastIndexOf("/") + 1));
    this.#changed(real);
    this.#changed(`${parentOf(real)}/`);
    return real;
  }

  ensure(path: string): void {
    if (path !== "" && !this.#nodes.has(path)) this.create(path, new Uint8Array(0), undefined, false);
  }

  set(path: string, data: Uint8Array): number {
    const node = this.#nodes.get(path)!;
    node.data = new Uint8Array(data);
    node.version++;
    this.#changed(path);
    return node.version;
  }

  removeTree(path: string): void {
    const node = this.#nodes.get(path);
    if (node === undefined) return;
    for (const child of [...node.children]) this.removeTree(`${path}/${child}`);
    this.#nodes.delete(path);
    this.#nodes.get(parentOf(path))?.children.delete(path.slice(path.lastIndexOf("/") + 1));
    this.#changed(path);
    this.#changed(`${parentOf(path)}/`);
    this.#changed(`${path}/`);
  }

  removeEphemerals(owner: MemorySession): void {
    for (const [path, node] of [...this.#nodes]) if (node.owner === owner) this.removeTree(path);
  }

  drop(session: MemorySession): void {
    this.#sessions.delete(session);
    this.removeEphemerals(session);
  }

  /** `key` is a path, or a path and `/` for its children. */
  onceChanged(key: string, fn: () => void): void {
    let watchers = this.#watchers.get(key);
    if (watchers === undefined) {
      watchers = new Set();
      this.#watchers.set(key, watchers);
    }
    watchers.add(fn);
  }

  #changed(key: string): void {
    const watchers = this.#watchers.get(key);
    if (watchers === undefined) return;
    this.#watchers.delete(key);
    for (const fn of watchers) fn();
  }

  #newNode(data: Uint8Array, owner: MemorySession | undefined): MemoryNode {
    return { data, version: 0, created: ++this.#changes, owner, children: new Set(), sequence: 0 };
  }
}

class MemorySession implements Metastore {
  readonly #server: MemoryMetastoreServer;
  readonly #root: string;
  /** Ephemerals that this object created, with their last data. */
  readonly #ephemerals = new Map<string, Uint8Array>();
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #ending = new AbortController();
  /** Settles when the session is there again; undefined while it is. */
  #renewing: Promise<void> | undefined;

  constructor(server: MemoryMetastoreServer, root: string) {
    this.#server = server;
    this.#root = root;
  }

  async get(path: string): Promise<NodeValue | undefined> {
    const at = await this.#enter(path);
    return nodeValue(this.#server.find(at));
  }

  async children(path: string): Promise<string[]> {
    const at = path === "/" ? await this.#enterRoot() : await this.#enter(path);
    return [...(this.#server.find(at)?.children ?? [])].sort();
  }

  async create(
    path: string,
    data: Uint8Array,
    options: { ephemeral?: boolean; sequential?: boolean } = {},
  ): Promise<string> {
    checkData(path, data);
    const at = await this.#enter(path);
    const owner = options.ephemeral === true ? this : undefined;
    const real = this.#server.create(at, data, owner, options.sequential === true);
    if (owner !== undefined) this.#ephemerals.set(real, new Uint8Array(data));
    return real.slice(this.#root.length);
  }

  async set(path: string, data: Uint8Array, expectedVersion?: number): Promise<number> {
    checkData(path, data);
    const at = await this.#enter(path);
    const node = this.#server.find(at);
    if (node === undefined) {
      if (expectedVersion !== undefined) throw noNode(path);
      this.#server.create(at, data, undefined, false);
      return 0;
    }
    if (expectedVersion !== undefined && node.version !== expectedVersion) {
      throw conflict(path, `version ${node.version}, expected ${expectedVersion}`, {
        version: node.version,
        expectedVersion,
      });
    }
    if (node.owner === this) this.#ephemerals.set(at, new Uint8Array(data));
    return this.#server.set(at, data);
  }

  async remove(path: string, expectedVersion?: number): Promise<void> {
    const at = await this.#enter(path);
    const node = this.#server.find(at);
    if (expectedVersion !== undefined) {
      if (node === undefined) throw conflict(path, "is not there", { expectedVersion });
      if (node.version !== expectedVersion) {
        throw conflict(path, `version ${node.version}, expected ${expectedVersion}`, {
          version: node.version,
          expectedVersion,
        });
      }
      if (node.children.size > 0) throw conflict(path, "has children", { expectedVersion });
    }
    this.#server.removeTree(at);
    this.#forgetMissing();
  }

  async multi(ops: readonly MetastoreOp[]): Promise<void> {
    checkOps(ops);
    await this.#enterRoot();
    for (const op of ops) if (op.kind === "create") this.#server.ensure(parentOf(this.#root + op.path));
    this.#checkAll(ops);
    for (const op of ops) {
      const at = this.#root + op.path;
      if (op.kind === "create") {
        this.#server.create(at, op.data, op.ephemeral === true ? this : undefined, false);
        if (op.ephemeral === true) this.#ephemerals.set(at, new Uint8Array(op.data));
      } else if (op.kind === "set") {
        if (this.#server.find(at)!.owner === this) this.#ephemerals.set(at, new Uint8Array(op.data));
        this.#server.set(at, op.data);
      } else if (op.kind === "remove") this.#server.removeTree(at);
    }
    this.#forgetMissing();
  }

  async *watch(path: string, signal: AbortSignal): AsyncIterable<NodeValue | undefined> {
    checkPath(path);
    const at = this.#root + path;
    yield* changesOf<NodeValue | undefined>(async (onChange) => {
      if (!(await this.#patiently())) return undefined;
      this.#server.onceChanged(at, onChange);
      const node = this.#server.find(at);
      const stamp = node === undefined ? "none" : `${node.created}.${node.version}`;
      return { value: nodeValue(node), stamp };
    }, this.#until(signal));
  }

  async *watchChildren(path: string, signal: AbortSignal): AsyncIterable<string[]> {
    if (path !== "/") checkPath(path);
    const at = path === "/" ? this.#root : this.#root + path;
    yield* changesOf<string[]>(async (onChange): Promise<Seen<string[]> | undefined> => {
      if (!(await this.#patiently())) return undefined;
      this.#server.onceChanged(`${at}/`, onChange);
      const names = [...(this.#server.find(at)?.children ?? [])].sort();
      return { value: names, stamp: names.join("/") };
    }, this.#until(signal));
  }

  onSession(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.end();
    this.#server.drop(this);
  }

  // For the server.

  end(): void {
    this.#ending.abort();
  }

  tell(event: SessionEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  lose(renewAfterMs: number): void {
    this.#server.env.setTimer(renewAfterMs, this.loseUntil());
  }

  loseUntil(): () => void {
    this.tell("disconnected");
    let resume: () => void = () => {};
    this.#renewing = new Promise((resolve) => {
      resume = resolve;
    });
    return () => {
      this.#renewing = undefined;
      if (!this.#ending.signal.aborted) this.#renew();
      resume();
    };
  }

  #renew(): void {
    for (const [path, data] of this.#ephemerals) {
      const node = this.#server.find(path);
      if (node === undefined) this.#server.create(path, data, this, false);
      // Somebody else's by now: ours no more.
      else if (node.owner !== this) this.#ephemerals.delete(path);
    }
    this.tell("renewed");
    this.tell("connected");
  }

  /** Every op must hold for the state that the ones before it leave. */
  #checkAll(ops: readonly MetastoreOp[]): void {
    const versions = new Map<string, number | undefined>();
    ops.forEach((op, index) => {
      const at = this.#root + op.path;
      const version = versions.has(at) ? versions.get(at) : this.#server.find(at)?.version;
      const fail = (why: string) => conflict(op.path, why, { index, kind: op.kind });
      if (op.kind === "create") {
        if (version !== undefined) throw fail("is there already");
        versions.set(at, 0);
        return;
      }
      if (version === undefined) throw fail("is not there");
      if (op.expectedVersion !== undefined && op.expectedVersion !== version) {
        throw fail(`version ${version}, expected ${op.expectedVersion}`);
      }
      if (op.kind === "remove" && (this.#server.find(at)?.children.size ?? 0) > 0) throw fail("has children");
      if (op.kind !== "check") versions.set(at, op.kind === "set" ? version + 1 : undefined);
    });
  }

  #forgetMissing(): void {
    for (const path of this.#ephemerals.keys()) {
      if (this.#server.find(path)?.owner !== this) this.#ephemerals.delete(path);
    }
  }

  async #enter(path: string): Promise<string> {
    checkPath(path);
    return (await this.#enterRoot()) + path;
  }

  async #enterRoot(): Promise<string> {
    this.#checkOpen();
    if (this.#renewing !== undefined) await this.#renewing;
    await this.#server.reached();
    this.#checkOpen();
    return this.#root;
  }

  #checkOpen(): void {
    if (this.#ending.signal.aborted) throw unavailable("the session is closed");
  }

  /** For watches, which wait for ever; false when the session has ended. */
  async #patiently(): Promise<boolean> {
    while (!this.#ending.signal.aborted) {
      try {
        await this.#enterRoot();
        return true;
      } catch {
        // The server is still unreachable, or the session has ended: the condition tells.
      }
    }
    return false;
  }

  #until(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#ending.signal]);
  }
}

function nodeValue(node: MemoryNode | undefined): NodeValue | undefined {
  return node && { data: new Uint8Array(node.data), version: node.version, ephemeral: node.owner !== undefined };
}
