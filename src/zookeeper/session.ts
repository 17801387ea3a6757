// Sessions as a state machine without a clock: who exists, until when, and who may resume. Times are monotonic milliseconds that the driver
// hands in. A session is opened and closed by journalled changes; being alive in between is not journalled: after a restart every session gets
// its whole timeout again.

export interface Session {
  readonly id: bigint;
  /** What was agreed on at opening; a resuming client may agree on another value. */
  timeoutMs: number;
  readonly password: Uint8Array;
  /** The session is over when the clock passes this without a sign of life. */
  deadlineMs: number;
}

export interface SessionLimits {
  readonly timeoutMinMs: number;
  readonly timeoutMaxMs: number;
}

export class Sessions {
  private readonly byId = new Map<bigint, Session>();
  private readonly limits: SessionLimits;
  private lastId = 0n;

  constructor(limits: SessionLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.byId.size;
  }

  all(): IterableIterator<Session> {
    return this.byId.values();
  }

  get(id: bigint): Session | undefined {
    return this.byId.get(id);
  }

  agreeTimeout(wantedMs: number): number {
    return Math.min(Math.max(wantedMs, this.limits.timeoutMinMs), this.limits.timeoutMaxMs);
  }

  /** An id that no session has had: time in the middle, so that it also differs from those of a server whose data was thrown away. */
  nextId(epochMs: number): bigint {
    const byTime = (1n << 56n) | ((BigInt(epochMs) & 0xffffffffffn) << 16n);
    this.lastId = byTime > this.lastId ? byTime : this.lastId + 1n;
    return this.lastId;
  }

  opened(id: bigint, timeoutMs: number, password: Uint8Array, nowMs: number): void {
    this.byId.set(id, { id, timeoutMs, password, deadlineMs: nowMs + timeoutMs });
    if (id > this.lastId) this.lastId = id;
  }

  closed(id: bigint): void {
    this.byId.delete(id);
  }

  /** The session, when it lives and the password is its own. */
  resume(id: bigint, password: Uint8Array | null, wantedTimeoutMs: number, nowMs: number): Session | undefined {
    const session = this.byId.get(id);
    if (session === undefined || password === null || !sameBytes(session.password, password)) return undefined;
    session.timeoutMs = this.agreeTimeout(wantedTimeoutMs);
    session.deadlineMs = nowMs + session.timeoutMs;
    return session;
  }

  touch(session: Session, nowMs: number): void {
    session.deadlineMs = nowMs + session.timeoutMs;
  }

  expired(nowMs: number): bigint[] {
    const ids: bigint[] = [];
    for (const session of this.byId.values()) if (session.deadlineMs <= nowMs) ids.push(session.id);
    return ids;
  }

  /** For time in which no client could reach us (the process was stopped, the machine slept): it does not count. */
  extendAll(byMs: number): void {
    for (const session of this.byId.values()) session.deadlineMs += byMs;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
