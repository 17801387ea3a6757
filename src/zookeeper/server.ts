// The driver: accepts connections, opens, resumes, closes and expires sessions, applies writes and commits them in groups. Everything happens on
// one thread and one packet at a time; only the disk works beside it.
//
// The tree in memory runs ahead of the disk. That is safe because nothing leaves this process that rests on what is not durable yet: see
// `connection.ts`. When the disk fails, the server stops, and what was ahead is gone as if it had never been.

import type { Env, Timer } from "../base/env.ts";
import { messageOf } from "../base/errors.ts";
import type { Disk } from "../storage/disk.ts";
import type { ByteConnection, ByteHandler } from "./byte-server.ts";
import type { Change } from "./changes.ts";
import { ClientConnection, type ConnectionHost } from "./connection.ts";
import { answerFourLetterWord, type ServerFacts } from "./four-letter.ts";
import { Journal } from "./journal.ts";
import { JuteError, JuteReader } from "./jute.ts";
import { type ConnectRequest, readConnectRequest, writeConnectReply, type WriteRequest } from "./messages.ts";
import { applyMulti, applyWrite, closeSessionChanges, type WriteContext, type WriteResult } from "./prepare.ts";
import { recover, type Recovered } from "./recovery.ts";
import { handleRequest, type RequestHost } from "./requests.ts";
import { type Session, Sessions } from "./session.ts";
import { encodeSnapshot } from "./snapshot.ts";
import { Watches } from "./watches.ts";
import type { NodeEvent, Znodes } from "./znodes.ts";

export interface ZookeeperOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly dir: string;
  readonly tickTimeMs: number;
  readonly sessionTimeoutMinMs: number;
  readonly sessionTimeoutMaxMs: number;
  /** 0: no limit. */
  readonly connectionsPerHostMax: number;
  /** jute.maxbuffer: the longest packet that is taken. */
  readonly packetBytesMax: number;
  /** How often containers and TTL nodes are looked at. */
  readonly containerCheckMs: number;
  readonly snapshotEveryEntries: number;
  readonly snapshotEveryBytes: number;
  /** The disk has failed and the server has stopped. */
  readonly onFailed: (error: unknown) => void;
}

/** Written and not yet synced: beyond this no new request is taken. Only a full or very slow disk gets there. */
const pendingBytesMax = 16 * 1024 * 1024;
/** A connection that opens no session for this long is closed. */
const sessionlessMs = 10_000;
const lastBytesMs = 500;
const containersPerCheckMax = 1000;
const emptyPassword = new Uint8Array(16);

export class ZookeeperServer implements ConnectionHost, RequestHost {
  readonly options: ZookeeperOptions;
  readonly tree: Znodes;
  readonly watches = new Watches<ClientConnection>();
  readonly sessions: Sessions;
  readonly journal: Journal;
  readonly recovered: Recovered;
  private readonly connections = new Set<ClientConnection>();
  private readonly connectionsPerHost = new Map<string, number>();
  private readonly bySession = new Map<bigint, ClientConnection>();
  private readonly toFlush = new Set<ClientConnection>();
  private readonly timers = new Set<Timer>();
  /** While stopping: until when clients may take what they are owed. */
  private lastBytes: Timer | undefined;
  private turnScheduled = false;
  private stopped = false;
  lastZxid: number;
  readonly startedMs: number;
  /** For the four-letter words; `srst` sets them back. */
  readonly stats = {
    received: 0,
    sent: 0,
    answered: 0,
    latencySumMs: 0,
    latencyMinMs: 0,
    latencyMaxMs: 0,
    rejected: 0,
    expired: 0,
    snapshots: 0,
  };

  constructor(options: ZookeeperOptions) {
    const { env, disk, dir } = options;
    this.options = options;
    disk.mkdir(dir);
    const { state, recovered, newest } = recover(env, disk, dir);
    this.tree = state.tree;
    this.lastZxid = state.zxid;
    this.recovered = recovered;
    this.startedMs = env.monotonicMs();
    this.sessions = new Sessions({
      timeoutMinMs: options.sessionTimeoutMinMs,
      timeoutMaxMs: options.sessionTimeoutMaxMs,
    });
    for (const { id, timeoutMs, password } of state.sessions.values())
      this.sessions.opened(id, timeoutMs, password, this.startedMs);
    const { snapshotEveryEntries, snapshotEveryBytes } = options;
    this.journal = new Journal({
      env,
      disk,
      dir,
      zxid: state.zxid,
      ...(newest === undefined ? {} : { newest }),
      snapshotEveryEntries,
      snapshotEveryBytes,
      onDurable: () => this.flushAll(),
      onFailed: (error) => this.fail(error),
    });
    this.repeat(Math.max(10, options.tickTimeMs / 2), (lateMs) => this.checkSessions(lateMs));
    this.repeat(options.containerCheckMs, () => this.removeContainers());
  }

  /** To be given to a ByteServer's `listen`. */
  accept(bytes: ByteConnection): ByteHandler {
    const connection = new ClientConnection(this, bytes);
    const { remoteHost } = bytes;
    const count = this.connectionsPerHost.get(remoteHost) ?? 0;
    const { connectionsPerHostMax, env } = this.options;
    if (this.stopped || (connectionsPerHostMax > 0 && count >= connectionsPerHostMax)) {
      this.stats.rejected++;
      env.log.warn("too many connections from one host", { host: remoteHost, max: connectionsPerHostMax });
      bytes.destroy();
      return { onData: () => {}, onDrained: () => {}, onClose: () => {} };
    }
    this.connectionsPerHost.set(remoteHost, count + 1);
    this.connections.add(connection);
    return {
      onData: (chunk) => this.guard(connection, () => connection.receive(chunk)),
      onDrained: () => this.guard(connection, () => connection.flush()),
      onClose: () => this.forget(connection),
    };
  }

  /** Makes all durable that was applied, sends what may be sent and ends every connection. Sessions live on in the journal. */
  async stop(): Promise<void> {
    if (!this.stopped) {
      this.stopped = true;
      for (const timer of this.timers) timer.cancel();
      await this.journal.whenIdle();
      for (const connection of [...this.connections]) {
        connection.closeGently();
        connection.flush();
        // What never became durable is never told.
        if (connection.out.length > 0) connection.destroy();
      }
      // A client that does not take its last bytes must not keep us from ending.
      if (this.connections.size > 0) {
        this.lastBytes = this.options.env.setTimer(lastBytesMs, () => {
          for (const connection of [...this.connections]) connection.destroy();
        });
      }
      await this.journal.close();
    }
  }

  // What connections ask of their server.

  get durableZxid(): number {
    return this.journal.durableZxid;
  }

  get packetBytesMax(): number {
    return this.options.packetBytesMax;
  }

  get isOverloaded(): boolean {
    return this.journal.pendingBytes > pendingBytesMax;
  }

  nowMs(): number {
    return this.options.env.monotonicMs();
  }

  onFirstBytes(connection: ClientConnection, word: string): boolean {
    const answer = answerFourLetterWord(this.facts(), word, connection);
    if (answer === undefined) return false;
    this.stats.received++;
    this.stats.sent++;
    connection.out.raw(Buffer.from(answer));
    connection.closeGently();
    return true;
  }

  onPacket(connection: ClientConnection, bytes: Uint8Array, from: number, to: number): void {
    this.stats.received++;
    const { session } = connection;
    if (session === undefined) {
      this.connect(connection, readConnectRequest(new JuteReader(bytes, from, to)));
    } else {
      this.sessions.touch(session, this.nowMs());
      handleRequest(this, connection, session, bytes, from, to);
    }
  }

  onProtocolError(connection: ClientConnection, why: string): void {
    this.options.env.log.warn("connection is closed", {
      host: connection.bytes.remoteHost,
      port: connection.bytes.remotePort,
      why,
    });
    connection.destroy();
  }

  onReplied(count: number, latencyMs: number): void {
    const { stats } = this;
    stats.sent += count;
    if (count === 0) return;
    stats.latencyMinMs = stats.answered === 0 ? latencyMs : Math.min(stats.latencyMinMs, latencyMs);
    stats.latencyMaxMs = Math.max(stats.latencyMaxMs, latencyMs);
    stats.latencySumMs += latencyMs * count;
    stats.answered += count;
  }

  wantFlush(connection: ClientConnection): void {
    this.toFlush.add(connection);
    this.scheduleTurn();
  }

  // What requests ask of their server.

  write(connection: ClientConnection, session: Session, request: WriteRequest): WriteResult {
    const context = this.context(connection, session);
    const { changes, events, result } = applyWrite(context, request);
    this.committed(context, changes, events);
    return result;
  }

  writeMulti(connection: ClientConnection, session: Session, requests: readonly WriteRequest[]): WriteResult[] {
    const context = this.context(connection, session);
    const { changes, events, results } = applyMulti(context, requests);
    this.committed(context, changes, events);
    return results;
  }

  closeSession(id: bigint): void {
    this.bySession.delete(id);
    this.applyOwn(closeSessionChanges(this.tree, id));
  }

  private context({ ids }: ClientConnection, session: Session): WriteContext {
    return { tree: this.tree, sessionId: session.id, ids, zxid: this.lastZxid + 1, timeMs: this.options.env.now() };
  }

  /** Changes that no client asked for: they apply here. */
  private applyOwn(changes: readonly Change[]): void {
    const [zxid, timeMs] = [this.lastZxid + 1, this.options.env.now()];
    const events: NodeEvent[] = [];
    for (const change of changes) {
      const event = this.tree.apply(change, zxid, timeMs);
      if (event !== undefined) events.push(event);
    }
    this.committed({ zxid, timeMs }, changes, events);
  }

  /** What was applied to the tree becomes an entry of the journal, and its watchers hear of it. */
  private committed(
    { zxid, timeMs }: { zxid: number; timeMs: number },
    changes: readonly Change[],
    events: readonly NodeEvent[],
  ): void {
    if (changes.length === 0) return;
    this.lastZxid = zxid;
    this.journal.append(zxid, timeMs, changes);
    for (const event of events) this.watches.happened(event);
    for (const change of changes) {
      if (change.kind === "openSession")
        this.sessions.opened(change.id, change.timeoutMs, change.password, this.nowMs());
      else if (change.kind === "closeSession") this.sessions.closed(change.id);
    }
    this.scheduleTurn();
  }

  private connect(connection: ClientConnection, request: ConnectRequest): void {
    if (request.lastZxidSeen > this.lastZxid) {
      this.onProtocolError(
        connection,
        `the client has seen zxid ${request.lastZxidSeen}, here the last is ${this.lastZxid}`,
      );
      return;
    }
    const session = request.sessionId === 0n ? this.openSession(request.timeoutMs) : this.resumeSession(request);
    const { knowsReadOnly } = request;
    if (session === undefined) {
      writeConnectReply(connection.out, { timeoutMs: 0, sessionId: 0n, password: emptyPassword, knowsReadOnly });
      connection.written(1);
      connection.closeGently();
      return;
    }
    const before = this.bySession.get(session.id);
    if (before !== undefined) this.detach(before);
    connection.session = session;
    connection.stats.establishedMs = this.options.env.now();
    this.bySession.set(session.id, connection);
    writeConnectReply(connection.out, {
      timeoutMs: session.timeoutMs,
      sessionId: session.id,
      password: session.password,
      knowsReadOnly,
    });
    connection.written(1);
  }

  private openSession(wantedTimeoutMs: number): Session | undefined {
    const { env } = this.options;
    const id = this.sessions.nextId(env.now());
    const timeoutMs = this.sessions.agreeTimeout(wantedTimeoutMs);
    this.applyOwn([{ kind: "openSession", id, timeoutMs, password: env.randomBytes(16) }]);
    return this.sessions.get(id);
  }

  private resumeSession({ sessionId, password, timeoutMs }: ConnectRequest): Session | undefined {
    return this.sessions.resume(sessionId, password, timeoutMs, this.nowMs());
  }

  /** The connection loses its session to another one, or the session is over. */
  private detach(connection: ClientConnection): void {
    this.watches.removeWatcher(connection);
    connection.destroy();
  }

  private forget(connection: ClientConnection): void {
    connection.closed = true;
    if (!this.connections.delete(connection)) return;
    if (this.connections.size === 0) this.lastBytes?.cancel();
    this.watches.removeWatcher(connection);
    this.toFlush.delete(connection);
    const { session, bytes } = connection;
    if (session !== undefined && this.bySession.get(session.id) === connection) this.bySession.delete(session.id);
    const count = (this.connectionsPerHost.get(bytes.remoteHost) ?? 1) - 1;
    if (count > 0) this.connectionsPerHost.set(bytes.remoteHost, count);
    else this.connectionsPerHost.delete(bytes.remoteHost);
  }

  /** What a client sends may break its own connection and nothing else. */
  private guard(connection: ClientConnection, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      this.onProtocolError(connection, messageOf(error));
    }
    // Reads that rest on nothing pending need not wait for the end of the turn.
    if (this.journal.appendedZxid === this.journal.durableZxid) connection.flush();
  }

  private scheduleTurn(): void {
    if (this.turnScheduled) return;
    this.turnScheduled = true;
    // After the I/O of this turn: the requests of all connections share one sync.
    this.options.env.nextTurn(() => {
      this.turnScheduled = false;
      this.journal.commit();
      this.flushAll();
      if (this.journal.isSnapshotDue && this.journal.durableZxid === this.lastZxid && !this.stopped) this.snapshot();
    });
  }

  private flushAll(): void {
    for (const connection of this.toFlush) {
      this.guardedFlush(connection);
      if (connection.out.length === 0) this.toFlush.delete(connection);
    }
  }

  private guardedFlush(connection: ClientConnection): void {
    try {
      connection.flush();
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      this.onProtocolError(connection, messageOf(error));
    }
  }

  private snapshot(): void {
    this.journal.rotate(encodeSnapshot(this.lastZxid, this.sessions.all(), this.tree));
    this.stats.snapshots++;
  }

  private checkSessions(lateMs: number): void {
    const nowMs = this.nowMs();
    // Whoever could not be heard must not be expired for it: first hear what waits in the sockets.
    if (lateMs > this.options.tickTimeMs) this.sessions.extendAll(lateMs);
    for (const id of this.sessions.expired(nowMs)) {
      this.options.env.log.info("session has expired", { session: `0x${id.toString(16)}` });
      this.stats.expired++;
      const connection = this.bySession.get(id);
      if (connection !== undefined) this.detach(connection);
      this.closeSession(id);
    }
    for (const connection of this.connections) {
      if (connection.session === undefined && nowMs - connection.openedMs > sessionlessMs) connection.destroy();
    }
  }

  private removeContainers(): void {
    for (const path of this.tree.removable(this.options.env.now()).slice(0, containersPerCheckMax))
      this.applyOwn([{ kind: "delete", path }]);
  }

  /** `work` learns how much later than planned it runs. */
  private repeat(everyMs: number, work: (lateMs: number) => void): void {
    const dueMs = this.nowMs() + everyMs;
    const timer = this.options.env.setTimer(everyMs, () => {
      this.timers.delete(timer);
      if (this.stopped) return;
      work(this.nowMs() - dueMs);
      this.repeat(everyMs, work);
    });
    this.timers.add(timer);
  }

  private fail(error: unknown): void {
    this.options.env.log.error("the ZooKeeper journal has failed: the server stops", {
      dir: this.options.dir,
      error: messageOf(error),
    });
    this.stopped = true;
    for (const timer of this.timers) timer.cancel();
    for (const connection of [...this.connections]) connection.destroy();
    this.options.onFailed(error);
  }

  private facts(): ServerFacts {
    const { options, tree, sessions, watches, journal, stats, lastZxid } = this;
    const uptimeMs = this.nowMs() - this.startedMs;
    return {
      options,
      tree,
      sessions,
      watches,
      stats,
      lastZxid,
      uptimeMs,
      syncs: journal.syncs,
      connections: this.connections,
    };
  }
}
