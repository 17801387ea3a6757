// The whole server in one file, so that the journal before it can go:
//   snapshot := magic "RZKSNAP1" | payload | crc32 u32 of the payload
//   payload  := zxid i64 | sessions | ACL table | nodes                 (jute; parents before their children)
// A snapshot is valid when magic and crc are right. Nodes name their ACL by its place in the table, since thousands share one.

import { RamaError } from "../base/errors.ts";
import { JuteError, JuteReader, JuteWriter } from "./jute.ts";
import { type AclList, readAclList, writeAclList } from "./messages.ts";
import { type Znode, Znodes } from "./znodes.ts";

export interface SessionRecord {
  readonly id: bigint;
  readonly timeoutMs: number;
  readonly password: Uint8Array;
}

/** All that is durable. */
export interface ServerState {
  readonly tree: Znodes;
  readonly sessions: Map<bigint, SessionRecord>;
  /** Of the last write in it. */
  zxid: number;
}

const MAGIC = "RZKSNAP1";
const CRC_BYTES = 4;

export function initialState(): ServerState {
  return { tree: Znodes.initial(), sessions: new Map(), zxid: 0 };
}

export function encodeSnapshot(zxid: number, sessions: Iterable<SessionRecord>, tree: Znodes): Uint8Array {
  const writer = new JuteWriter(1024 + tree.dataSizeBytes + tree.size * 100);
  writer.raw(Buffer.from(MAGIC));
  writer.longNumber(zxid);
  writeCounted(writer, sessions, ({ id, timeoutMs, password }) => {
    writer.long(id);
    writer.int(timeoutMs);
    writer.buffer(password);
  });
  const aclPlaces = new Map<string, number>();
  const acls: AclList[] = [];
  const keyOf = (acl: AclList) => JSON.stringify(acl);
  for (const { acl } of tree.all()) {
    const key = keyOf(acl);
    if (aclPlaces.has(key)) continue;
    aclPlaces.set(key, acls.length);
    acls.push(acl);
  }
  writeCounted(writer, acls, (acl) => writeAclList(writer, acl));
  writeCounted(writer, tree.all(), (node) => writeNode(writer, node, aclPlaces.get(keyOf(node.acl)) ?? 0));
  const crc = Bun.hash.crc32(writer.peek(MAGIC.length));
  writer.int(crc | 0);
  return writer.copy();
}

/** STORE_CORRUPT when the file is not a whole snapshot. */
export function decodeSnapshot(path: string, bytes: Uint8Array): ServerState {
  const end = bytes.length - CRC_BYTES;
  const corrupt = (why: string, cause?: unknown) =>
    new RamaError("STORE_CORRUPT", `${path} is no snapshot: ${why}`, { path }, cause);
  if (end < MAGIC.length || Buffer.from(bytes.subarray(0, MAGIC.length)).toString("latin1") !== MAGIC)
    throw corrupt("its head is wrong");
  if (
    Bun.hash.crc32(bytes.subarray(MAGIC.length, end)) !==
    new DataView(bytes.buffer, bytes.byteOffset + end).getUint32(0)
  ) {
    throw corrupt("its checksum is wrong");
  }
  try {
    const reader = new JuteReader(bytes, MAGIC.length, end);
    const zxid = reader.longNumber();
    const sessions = new Map<bigint, SessionRecord>();
    for (const session of reader.vector(16, readSession)) sessions.set(session.id, session);
    const acls = reader.vector(4, readAclList);
    const tree = new Znodes();
    const count = reader.int();
    for (let i = 0; i < count; i++) tree.insert(readNode(reader, acls));
    return { tree, sessions, zxid };
  } catch (error) {
    if (error instanceof JuteError) throw corrupt(error.message, error);
    throw error;
  }
}

function writeCounted<T>(writer: JuteWriter, items: Iterable<T>, write: (item: T) => void): void {
  const countAt = writer.hole();
  let count = 0;
  for (const item of items) {
    write(item);
    count++;
  }
  writer.patchInt(countAt, count);
}

function readSession(reader: JuteReader): SessionRecord {
  return { id: reader.long(), timeoutMs: reader.int(), password: reader.buffer() ?? new Uint8Array(16) };
}

function writeNode(writer: JuteWriter, node: Znode, aclPlace: number): void {
  writer.string(node.path);
  writer.buffer(node.data);
  writer.int(aclPlace);
  writer.longNumber(node.czxid);
  writer.longNumber(node.mzxid);
  writer.longNumber(node.pzxid);
  writer.longNumber(node.ctimeMs);
  writer.longNumber(node.mtimeMs);
  writer.int(node.version);
  writer.int(node.aversion);
  writer.int(node.childrenCreated);
  writer.long(node.owner);
}

function readNode(reader: JuteReader, acls: readonly AclList[]): Znode {
  const path = reader.string();
  const data = reader.buffer();
  const acl = acls[reader.int()];
  if (acl === undefined) throw new JuteError(`${path} has an ACL outside the table`);
  return {
    path,
    data,
    acl,
    czxid: reader.longNumber(),
    mzxid: reader.longNumber(),
    pzxid: reader.longNumber(),
    ctimeMs: reader.longNumber(),
    mtimeMs: reader.longNumber(),
    version: reader.int(),
    aversion: reader.int(),
    childrenCreated: reader.int(),
    owner: reader.long(),
    children: undefined,
  };
}
