// The records of ZooKeeper's client protocol, as of 3.8: op codes, error codes, requests in, replies out. Layouts follow zookeeper.jute; each
// decoder reads exactly one record and throws JuteError when the bytes end early.
//   packet  := length i32 | payload
//   request := xid i32 | type i32 | record         reply := xid i32 | zxid i64 | err i32 | record (only when err is 0)

import type { JuteReader, JuteWriter } from "./jute.ts";

export const OP = {
  create: 1,
  delete: 2,
  exists: 3,
  getData: 4,
  setData: 5,
  getAcl: 6,
  setAcl: 7,
  getChildren: 8,
  sync: 9,
  ping: 11,
  getChildren2: 12,
  check: 13,
  multi: 14,
  create2: 15,
  reconfig: 16,
  checkWatches: 17,
  removeWatches: 18,
  createContainer: 19,
  createTtl: 21,
  multiRead: 22,
  auth: 100,
  setWatches: 101,
  sasl: 102,
  getEphemerals: 103,
  getAllChildrenNumber: 104,
  setWatches2: 105,
  addWatch: 106,
  whoAmI: 107,
  closeSession: -11,
  error: -1,
} as const;

export const XID = { notification: -1, ping: -2, auth: -4, setWatches: -8 } as const;

/** The protocol's error codes that this server answers with. */
export const ERR = {
  ok: 0,
  runtimeInconsistency: -2,
  marshallingError: -5,
  unimplemented: -6,
  badArguments: -8,
  noNode: -101,
  noAuth: -102,
  badVersion: -103,
  noChildrenForEphemerals: -108,
  nodeExists: -110,
  notEmpty: -111,
  sessionExpired: -112,
  invalidAcl: -114,
  authFailed: -115,
  noWatcher: -121,
  reconfigDisabled: -123,
} as const;

/** An expected refusal of one request; the pipeline turns it into the reply's `err`. */
export class ZookeeperRefusal extends Error {
  override name = "ZookeeperRefusal";
  readonly code: number;
  constructor(code: number) {
    super(`refused with ${code}`);
    this.code = code;
  }
}

export const PERM = { read: 1, write: 2, create: 4, delete: 8, admin: 16 } as const;

export interface Id {
  readonly scheme: string;
  readonly id: string;
}

export interface Acl extends Id {
  readonly perms: number;
}

export type AclList = readonly Acl[];

export const EVENT = { created: 1, deleted: 2, dataChanged: 3, childrenChanged: 4 } as const;
export type EventType = (typeof EVENT)[keyof typeof EVENT];

const STATE_SYNC_CONNECTED = 3;

export interface Stat {
  readonly czxid: number;
  readonly mzxid: number;
  readonly ctimeMs: number;
  readonly mtimeMs: number;
  readonly version: number;
  readonly cversion: number;
  readonly aversion: number;
  /** Session id, or 0. */
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly childCount: number;
  readonly pzxid: number;
}

export interface ConnectRequest {
  readonly protocolVersion: number;
  readonly lastZxidSeen: number;
  readonly timeoutMs: number;
  readonly sessionId: bigint;
  readonly password: Uint8Array | null;
  /** Clients before 3.4 end here; they get no `readOnly` back either. */
  readonly knowsReadOnly: boolean;
}

export function readConnectRequest(reader: JuteReader): ConnectRequest {
  const request = {
    protocolVersion: reader.int(),
    lastZxidSeen: reader.longNumber(),
    timeoutMs: reader.int(),
    sessionId: reader.long(),
    password: reader.buffer(),
  };
  const knowsReadOnly = reader.remaining > 0;
  if (knowsReadOnly) reader.bool();
  return { ...request, knowsReadOnly };
}

export interface ConnectReply {
  readonly timeoutMs: number;
  readonly sessionId: bigint;
  readonly password: Uint8Array;
  readonly knowsReadOnly: boolean;
}

export function writeConnectReply(writer: JuteWriter, reply: ConnectReply): void {
  const frame = writer.hole();
  writer.int(0);
  writer.int(reply.timeoutMs);
  writer.long(reply.sessionId);
  writer.buffer(reply.password);
  if (reply.knowsReadOnly) writer.bool(false);
  writer.closeFrame(frame);
}

export function writeReplyHeader(writer: JuteWriter, xid: number, zxid: number, err: number): void {
  writer.int(xid);
  writer.longNumber(zxid);
  writer.int(err);
}

export function writeEvent(writer: JuteWriter, type: EventType, path: string): void {
  const frame = writer.hole();
  writeReplyHeader(writer, XID.notification, -1, ERR.ok);
  writer.int(type);
  writer.int(STATE_SYNC_CONNECTED);
  writer.string(path);
  writer.closeFrame(frame);
}

export function readAclList(reader: JuteReader): Acl[] {
  return reader.vector(12, (from) => ({ perms: from.int(), scheme: from.string(), id: from.string() }));
}

export function writeAclList(writer: JuteWriter, acl: AclList): void {
  writer.int(acl.length);
  for (const { perms, scheme, id } of acl) {
    writer.int(perms);
    writer.string(scheme);
    writer.string(id);
  }
}

export function writeStat(writer: JuteWriter, stat: Stat): void {
  writer.longNumber(stat.czxid);
  writer.longNumber(stat.mzxid);
  writer.longNumber(stat.ctimeMs);
  writer.longNumber(stat.mtimeMs);
  writer.int(stat.version);
  writer.int(stat.cversion);
  writer.int(stat.aversion);
  writer.long(stat.ephemeralOwner);
  writer.int(stat.dataLength);
  writer.int(stat.childCount);
  writer.longNumber(stat.pzxid);
}

export interface CreateRequest {
  readonly kind: "create";
  readonly path: string;
  readonly data: Uint8Array | null;
  readonly acl: Acl[];
  readonly flags: number;
  /** Only for the two TTL modes. */
  readonly ttlMs: number;
  /** Of the four create ops. It, not `flags`, makes a container or a TTL node; all but plain create answer with the stat. */
  readonly op: number;
}

export interface VersionedRequest {
  readonly kind: "delete" | "check";
  readonly path: string;
  /** -1: any. */
  readonly version: number;
}

export interface SetDataRequest {
  readonly kind: "setData";
  readonly path: string;
  readonly data: Uint8Array | null;
  readonly version: number;
}

export interface SetAclRequest {
  readonly kind: "setAcl";
  readonly path: string;
  readonly acl: Acl[];
  readonly version: number;
}

export type WriteRequest = CreateRequest | VersionedRequest | SetDataRequest | SetAclRequest;

/** Reads the record of a single write, as it stands alone or inside a multi; undefined when `type` is no write. */
export function readWrite(type: number, reader: JuteReader): WriteRequest | undefined {
  switch (type) {
    case OP.create:
    case OP.create2:
    case OP.createContainer:
    case OP.createTtl: {
      const [path, data, acl, flags] = [reader.string(), reader.buffer(), readAclList(reader), reader.int()];
      const ttlMs = type === OP.createTtl ? reader.longNumber() : -1;
      return { kind: "create", path, data, acl, flags, ttlMs, op: type };
    }
    case OP.delete:
      return { kind: "delete", path: reader.string(), version: reader.int() };
    case OP.check:
      return { kind: "check", path: reader.string(), version: reader.int() };
    case OP.setData:
      return { kind: "setData", path: reader.string(), data: reader.buffer(), version: reader.int() };
    case OP.setAcl:
      return { kind: "setAcl", path: reader.string(), acl: readAclList(reader), version: reader.int() };
    default:
      return undefined;
  }
}

export interface PathAndWatch {
  readonly path: string;
  readonly watch: boolean;
}

export function readPathAndWatch(reader: JuteReader): PathAndWatch {
  return { path: reader.string(), watch: reader.bool() };
}

export interface SetWatchesRequest {
  /** The client has seen everything up to here. */
  readonly relativeZxid: number;
  readonly data: string[];
  readonly exist: string[];
  readonly child: string[];
  readonly persistent: string[];
  readonly recursive: string[];
}

export function readSetWatches(reader: JuteReader, withPersistent: boolean): SetWatchesRequest {
  return {
    relativeZxid: reader.longNumber(),
    data: reader.strings(),
    exist: reader.strings(),
    child: reader.strings(),
    persistent: withPersistent ? reader.strings() : [],
    recursive: withPersistent ? reader.strings() : [],
  };
}

export interface MultiHeader {
  readonly type: number;
  readonly done: boolean;
}

export function readMultiHeader(reader: JuteReader): MultiHeader {
  const header = { type: reader.int(), done: reader.bool() };
  reader.int();
  return header;
}

export function writeMultiHeader(writer: JuteWriter, type: number, err: number): void {
  writer.int(type);
  writer.bool(false);
  writer.int(err);
}

export function writeMultiEnd(writer: JuteWriter): void {
  writer.int(-1);
  writer.bool(true);
  writer.int(-1);
}
