// A ZooKeeper client of the bare wire for tests: it sends what it is told, also nonsense, and shows what comes back.

import { Socket } from "node:net";
import { JuteReader, JuteWriter } from "../src/zookeeper/jute.ts";
import { type Acl, OP, writeAclList, XID } from "../src/zookeeper/messages.ts";

export interface WireReply {
  readonly xid: number;
  readonly zxid: number;
  readonly err: number;
  /** What follows the header. */
  readonly body: JuteReader;
}

export interface WireEvent {
  readonly type: number;
  readonly path: string;
}

export interface ConnectOptions {
  readonly sessionId?: bigint;
  readonly password?: Uint8Array;
  readonly timeoutMs?: number;
  readonly lastZxidSeen?: number;
  /** Clients before 3.4 send no readOnly flag. */
  readonly old?: boolean;
}

export const openToAll: Acl[] = [{ perms: 31, scheme: "world", id: "anyone" }];

export class WireClient {
  readonly socket = new Socket();
  readonly events: WireEvent[] = [];
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  private readonly waiting: { resolve: (payload: Uint8Array) => void; reject: (error: Error) => void }[] = [];
  private received: Uint8Array = new Uint8Array(0);
  private eventWaiters: (() => void)[] = [];
  private nextXid = 1;
  private isClosed = false;
  sessionId = 0n;
  password: Uint8Array = new Uint8Array(16);
  timeoutMs = 0;
  /** Bytes of the connect reply: 36 for old clients, 37 for others. */
  connectReplyBytes = 0;

  private constructor() {
    this.socket.on("data", (chunk: Uint8Array) => this.onData(chunk));
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) =>
      this.socket.on("close", () => {
        this.isClosed = true;
        for (const waiter of this.waiting.splice(0)) waiter.reject(new Error("connection closed"));
        resolve();
      }),
    );
  }

  /** Only the TCP connection. */
  static async dial(port: number): Promise<WireClient> {
    const client = new WireClient();
    client.socket.setNoDelay(true);
    await new Promise<void>((resolve, reject) => {
      client.socket.once("error", reject);
      client.socket.connect(port, "127.0.0.1", () => resolve());
    });
    return client;
  }

  /** With a session, new or resumed. `sessionId` is 0 afterwards when the server did not take it. */
  static async connect(port: number, options: ConnectOptions = {}): Promise<WireClient> {
    const client = await WireClient.dial(port);
    await client.openSession(options);
    return client;
  }

  async openSession(options: ConnectOptions = {}): Promise<void> {
    const payload = await this.exchange((writer) => {
      writer.int(0);
      writer.longNumber(options.lastZxidSeen ?? 0);
      writer.int(options.timeoutMs ?? 5000);
      writer.long(options.sessionId ?? 0n);
      writer.buffer(options.password ?? new Uint8Array(16));
      if (options.old !== true) writer.bool(false);
    });
    const reader = new JuteReader(payload);
    reader.int();
    this.connectReplyBytes = payload.length;
    this.timeoutMs = reader.int();
    this.sessionId = reader.long();
    this.password = reader.buffer() ?? new Uint8Array(16);
  }

  async request(
    type: number,
    record: (writer: JuteWriter) => void = () => {},
    xid = this.nextXid++,
  ): Promise<WireReply> {
    const payload = await this.exchange((writer) => {
      writer.int(xid);
      writer.int(type);
      record(writer);
    });
    const body = new JuteReader(payload);
    return { xid: body.int(), zxid: body.longNumber(), err: body.int(), body };
  }

  create(path: string, options: { data?: Uint8Array | null; flags?: number; acl?: Acl[] } = {}): Promise<WireReply> {
    return this.request(OP.create, (writer) => {
      writer.string(path);
      writer.buffer(options.data === undefined ? new Uint8Array(0) : options.data);
      writeAclList(writer, options.acl ?? openToAll);
      writer.int(options.flags ?? 0);
    });
  }

  setData(path: string, data: Uint8Array, version = -1): Promise<WireReply> {
    return this.request(OP.setData, (writer) => {
      writer.string(path);
      writer.buffer(data);
      writer.int(version);
    });
  }

  delete(path: string, version = -1): Promise<WireReply> {
    return this.request(OP.delete, (writer) => {
      writer.string(path);
      writer.int(version);
    });
  }

  read(type: number, path: string, watch = false): Promise<WireReply> {
    return this.request(type, (writer) => {
      writer.string(path);
      writer.bool(watch);
    });
  }

  ping(): Promise<WireReply> {
    return this.request(OP.ping, () => {}, XID.ping);
  }

  auth(scheme: string, auth: string): Promise<WireReply> {
    const record = (writer: JuteWriter) => {
      writer.int(0);
      writer.string(scheme);
      writer.buffer(Buffer.from(auth));
    };
    return this.request(OP.auth, record, XID.auth);
  }

  closeSession(): Promise<WireReply> {
    return this.request(OP.closeSession);
  }

  /** Waits until `count` events have come in all. */
  async untilEvents(count: number): Promise<WireEvent[]> {
    while (this.events.length < count) await new Promise<void>((resolve) => this.eventWaiters.push(resolve));
    return this.events;
  }

  /** A whole packet around `payload`. */
  sendPacket(payload: Uint8Array): void {
    const head = Buffer.alloc(4);
    head.writeInt32BE(payload.length);
    this.socket.write(Buffer.concat([head, payload]));
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next reply, to whatever was sent. */
  nextPayload(): Promise<Uint8Array> {
    if (this.isClosed) return Promise.reject(new Error("connection closed"));
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** Ends the TCP connection without closing the session. */
  cut(): void {
    this.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.cut();
  }

  private exchange(write: (writer: JuteWriter) => void): Promise<Uint8Array> {
    const writer = new JuteWriter();
    write(writer);
    const reply = this.nextPayload();
    this.sendPacket(writer.copy());
    return reply;
  }

  private onData(chunk: Uint8Array): void {
    this.received = Buffer.concat([this.received, chunk]);
    while (this.received.length >= 4) {
      const length = new DataView(this.received.buffer, this.received.byteOffset).getInt32(0);
      if (this.received.length < 4 + length) return;
      const payload = this.received.slice(4, 4 + length);
      this.received = this.received.subarray(4 + length);
      this.onPayload(payload);
    }
  }

  private onPayload(payload: Uint8Array): void {
    const reader = new JuteReader(payload);
    if (this.sessionId !== 0n && reader.int() === XID.notification) {
      reader.longNumber();
      reader.int();
      const type = reader.int();
      reader.int();
      this.events.push({ type, path: reader.string() });
      for (const wake of this.eventWaiters.splice(0)) wake();
      return;
    }
    this.waiting.shift()?.resolve(payload);
  }
}

export interface WireStat {
  readonly czxid: number;
  readonly mzxid: number;
  readonly ctimeMs: number;
  readonly mtimeMs: number;
  readonly version: number;
  readonly cversion: number;
  readonly aversion: number;
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly childCount: number;
  readonly pzxid: number;
}

export function readStat(reader: JuteReader): WireStat {
  return {
    czxid: reader.longNumber(),
    mzxid: reader.longNumber(),
    ctimeMs: reader.longNumber(),
    mtimeMs: reader.longNumber(),
    version: reader.int(),
    cversion: reader.int(),
    aversion: reader.int(),
    ephemeralOwner: reader.long(),
    dataLength: reader.int(),
    childCount: reader.int(),
    pzxid: reader.longNumber(),
  };
}
