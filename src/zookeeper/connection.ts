// One client's connection: bytes in, cut into packets; replies and events out, in order, and none before what it rests on is durable.
//
// Whatever is written for a client rests on the state at that moment, so it may leave when the journal is durable up to the last zxid of that
// moment. `out` holds the bytes; `holds` says up to which byte they wait for which zxid.

import { JuteWriter } from "./jute.ts";
import { type AclList, type EventType, type Id, PERM, writeEvent } from "./messages.ts";
import { isAllowed } from "./acl.ts";
import type { ByteConnection } from "./byte-server.ts";
import type { Session } from "./session.ts";
import type { Watcher } from "./watches.ts";

/** A client that does not read its replies is not read from either, until it has caught up. */
const outputHighBytes = 4 * 1024 * 1024;
/** Events come on top of replies and cannot be held back: a client this far behind is cut off, and sets its watches again when it returns. */
const outputMaxBytes = 64 * 1024 * 1024;

interface Hold {
  readonly zxid: number;
  /** The bytes of `out` before this wait. */
  end: number;
  readonly sinceMs: number;
  replies: number;
}

/** What a connection needs of its server. */
export interface ConnectionHost {
  readonly lastZxid: number;
  readonly durableZxid: number;
  /** No packet is longer: jute.maxbuffer. */
  readonly packetBytesMax: number;
  /** The journal has so much to write that new requests must wait. */
  readonly isOverloaded: boolean;
  nowMs(): number;
  onPacket(connection: ClientConnection, bytes: Uint8Array, from: number, to: number): void;
  onFirstBytes(connection: ClientConnection, word: string): boolean;
  onProtocolError(connection: ClientConnection, why: string): void;
  onReplied(count: number, latencyMs: number): void;
  /** There are bytes to flush at the end of the turn or after the next sync. */
  wantFlush(connection: ClientConnection): void;
}

export class ClientConnection implements Watcher {
  readonly bytes: ByteConnection;
  private readonly host: ConnectionHost;
  readonly out = new JuteWriter(512);
  private holds: Hold[] = [];
  /** Bytes that came and are no whole packet yet: [inputFrom, inputTo) of `input`. */
  private input = new Uint8Array(0);
  private inputFrom = 0;
  private inputTo = 0;
  private sawFirstBytes = false;
  private paused = false;
  /** Nothing more is read; the connection ends once `out` is empty. */
  private closing = false;
  closed = false;
  session: Session | undefined;
  readonly ids: Id[];
  /** For the four-letter words. */
  readonly stats = {
    received: 0,
    sent: 0,
    lastOp: "NA",
    lastXid: -1,
    lastZxid: -1,
    establishedMs: 0,
    lastResponseMs: 0,
  };
  readonly openedMs: number;

  constructor(host: ConnectionHost, bytes: ByteConnection) {
    this.host = host;
    this.bytes = bytes;
    this.openedMs = host.nowMs();
    this.ids = [{ scheme: "ip", id: bytes.remoteHost }];
  }

  receive(chunk: Uint8Array): void {
    if (this.closing || this.closed) return;
    if (this.inputFrom === this.inputTo) {
      const rest = this.takePackets(chunk, 0, chunk.length);
      if (rest < chunk.length) this.keep(chunk, rest);
      return;
    }
    this.keep(chunk, 0);
    this.inputFrom = this.takePackets(this.input, this.inputFrom, this.inputTo);
  }

  notify(type: EventType, path: string, acl?: AclList): void {
    if (this.closed || this.closing) return;
    if (acl !== undefined && !isAllowed(acl, PERM.read, this.ids)) return;
    writeEvent(this.out, type, path);
    this.written(0);
  }

  /** To be called after each thing written to `out`; `replies` of it count as answers to requests. */
  written(replies: number): void {
    const { host, out, holds } = this;
    this.stats.sent++;
    const zxid = host.lastZxid;
    const last = holds.at(-1);
    if (last !== undefined && last.zxid === zxid) {
      last.end = out.length;
      last.replies += replies;
    } else if (zxid > host.durableZxid || last !== undefined) {
      holds.push({ zxid, end: out.length, sinceMs: host.nowMs(), replies });
    } else {
      host.onReplied(replies, 0);
    }
    host.wantFlush(this);
  }

  /** Sends what may leave; goes on reading when the client has caught up. */
  flush(): void {
    if (this.closed) return;
    const end = this.releasableEnd();
    if (end > 0) {
      this.bytes.write(this.out.copy(0, end));
      this.out.dropFront(end);
      for (const hold of this.holds) hold.end -= end;
      this.stats.lastResponseMs = this.host.nowMs();
    }
    if (this.closing && this.out.length === 0) {
      this.bytes.end();
      return;
    }
    if (this.unsentBytes > outputMaxBytes) this.host.onProtocolError(this, "it does not read what it is sent");
    else if (this.paused) this.maybeResume();
  }

  /** Lets what was written go out, reads nothing more. */
  closeGently(): void {
    this.closing = true;
    this.input = new Uint8Array(0);
    this.inputFrom = this.inputTo = 0;
    this.host.wantFlush(this);
  }

  destroy(): void {
    this.closing = true;
    this.bytes.destroy();
  }

  /** Replies that wait for the disk. */
  get heldReplies(): number {
    let count = 0;
    for (const hold of this.holds) count += hold.replies;
    return count;
  }

  private get unsentBytes(): number {
    return this.out.length + this.bytes.unsentBytes;
  }

  private releasableEnd(): number {
    const { holds, host } = this;
    if (holds.length === 0) return this.out.length;
    let released = 0;
    let end = 0;
    for (const hold of holds) {
      if (hold.zxid > host.durableZxid) break;
      end = hold.end;
      host.onReplied(hold.replies, host.nowMs() - hold.sinceMs);
      released++;
    }
    if (released > 0) holds.splice(0, released);
    return end;
  }

  /** Handles the whole packets in [from, to) and returns where the rest begins. */
  private takePackets(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (!this.closing && !this.closed && to - at >= 4) {
      if (this.unsentBytes > outputHighBytes || this.host.isOverloaded) {
        this.paused = true;
        this.bytes.pause();
        break;
      }
      const length = view.getInt32(at);
      if (!this.sawFirstBytes) {
        this.sawFirstBytes = true;
        if (this.host.onFirstBytes(this, Buffer.from(bytes.subarray(at, at + 4)).toString("latin1"))) return to;
      }
      if (length < 0 || length > this.host.packetBytesMax) {
        this.host.onProtocolError(this, `a packet of ${length} bytes`);
        return to;
      }
      if (to - at - 4 < length) break;
      at += 4 + length;
      this.stats.received++;
      this.host.onPacket(this, bytes, at - length, at);
    }
    return this.closing || this.closed ? to : at;
  }

  private keep(chunk: Uint8Array, from: number): void {
    if (this.closing || this.closed) return;
    const kept = this.inputTo - this.inputFrom;
    const needed = kept + chunk.length - from;
    if (this.inputTo + chunk.length - from > this.input.length) {
      const target =
        needed > this.input.length ? new Uint8Array(Math.max(needed, this.packetHint(chunk, from, kept))) : this.input;
      if (target === this.input) this.input.copyWithin(0, this.inputFrom, this.inputTo);
      else target.set(this.input.subarray(this.inputFrom, this.inputTo));
      this.input = target;
      this.inputFrom = 0;
      this.inputTo = kept;
    }
    this.input.set(from === 0 ? chunk : chunk.subarray(from), this.inputTo);
    this.inputTo += chunk.length - from;
  }

  /** How much the packet that begins the kept bytes will need, so that a large one is not copied again with each piece of it. */
  private packetHint(chunk: Uint8Array, from: number, kept: number): number {
    if (kept > 0) return this.input.length * 2;
    if (chunk.length - from < 4) return 64;
    const length = new DataView(chunk.buffer, chunk.byteOffset + from).getInt32(0);
    return length >= 0 && length <= this.host.packetBytesMax ? length + 4 : 64;
  }

  private maybeResume(): void {
    if (this.unsentBytes > outputHighBytes / 2 || this.host.isOverloaded) return;
    this.paused = false;
    this.inputFrom = this.takePackets(this.input, this.inputFrom, this.inputTo);
    if (!this.paused && !this.closing) this.bytes.resume();
  }
}
