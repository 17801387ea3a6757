// What each request of an established session does and what it answers. One packet at a time, in the order of arrival; a write is applied here
// and answered here, and the connection keeps the answer back until the journal has it.

import { authenticate, checkAcl, isAllowed, maskDigests, userOf } from "./acl.ts";
import type { ClientConnection } from "./connection.ts";
import { JuteError, JuteReader, type JuteWriter } from "./jute.ts";
import {
  type AclList,
  type CreateRequest,
  ERR,
  EVENT,
  OP,
  PERM,
  readMultiHeader,
  readPathAndWatch,
  readSetWatches,
  readWrite,
  type SetWatchesRequest,
  type WriteRequest,
  writeAclList,
  writeMultiEnd,
  writeMultiHeader,
  writeReplyHeader,
  writeStat,
  ZookeeperRefusal,
} from "./messages.ts";
import type { WriteResult } from "./prepare.ts";
import type { Session } from "./session.ts";
import { WATCH, type Watches } from "./watches.ts";
import { parentPath } from "./znode-path.ts";
import type { Znode, Znodes } from "./znodes.ts";

/** The server as its requests see it. */
export interface RequestHost {
  readonly tree: Znodes;
  readonly watches: Watches<ClientConnection>;
  readonly lastZxid: number;
  write(connection: ClientConnection, session: Session, request: WriteRequest): WriteResult;
  writeMulti(connection: ClientConnection, session: Session, requests: readonly WriteRequest[]): WriteResult[];
  closeSession(id: bigint): void;
}

type Body = ((writer: JuteWriter) => void) | undefined;

/** Names for `cons`. */
const opNames: Record<number, string> = {
  [OP.create]: "CREA",
  [OP.create2]: "CRE2",
  [OP.createContainer]: "CREC",
  [OP.createTtl]: "CRET",
  [OP.delete]: "DELE",
  [OP.exists]: "EXIS",
  [OP.getData]: "GETD",
  [OP.setData]: "SETD",
  [OP.getAcl]: "GETA",
  [OP.setAcl]: "SETA",
  [OP.getChildren]: "GETC",
  [OP.getChildren2]: "GETC",
  [OP.sync]: "SYNC",
  [OP.ping]: "PING",
  [OP.check]: "CHEC",
  [OP.multi]: "MULT",
  [OP.multiRead]: "MLTR",
  [OP.checkWatches]: "CHKW",
  [OP.removeWatches]: "REMW",
  [OP.setWatches]: "SETW",
  [OP.setWatches2]: "STW2",
  [OP.addWatch]: "ADDW",
  [OP.getEphemerals]: "GETE",
  [OP.getAllChildrenNumber]: "GACN",
  [OP.whoAmI]: "HOMI",
  [OP.closeSession]: "CLOS",
};

/** Handles one packet: a request header and its record in [from, to). Throws JuteError when there is not even a header. */
export function handleRequest(
  host: RequestHost,
  connection: ClientConnection,
  session: Session,
  bytes: Uint8Array,
  from: number,
  to: number,
): void {
  const reader = new JuteReader(bytes, from, to);
  const xid = reader.int();
  const type = reader.int();
  if (type === OP.auth) {
    handleAuth(connection, xid, reader);
    return;
  }
  let err: number = ERR.ok;
  let body: Body;
  try {
    body = execute(host, connection, session, type, reader);
  } catch (error) {
    if (error instanceof ZookeeperRefusal) err = error.code;
    else if (error instanceof JuteError) err = ERR.marshallingError;
    else throw error;
  }
  reply(connection, xid, host.lastZxid, err, body);
  const { stats } = connection;
  stats.lastOp = opNames[type] ?? "NA";
  stats.lastXid = xid;
  stats.lastZxid = host.lastZxid;
  if (type === OP.closeSession || err === ERR.unimplemented) connection.closeGently();
}

function reply(connection: ClientConnection, xid: number, zxid: number, err: number, body: Body): void {
  const { out } = connection;
  const frame = out.hole();
  writeReplyHeader(out, xid, zxid, err);
  body?.(out);
  out.closeFrame(frame);
  connection.written(1);
}

function handleAuth(connection: ClientConnection, xid: number, reader: JuteReader): void {
  reader.int();
  const scheme = reader.string();
  const auth = reader.buffer() ?? new Uint8Array(0);
  const id = authenticate(scheme, auth, connection.bytes.remoteHost);
  if (id === undefined) {
    reply(connection, xid, 0, ERR.authFailed, undefined);
    connection.closeGently();
    return;
  }
  if (!connection.ids.some((known) => known.scheme === id.scheme && known.id === id.id)) connection.ids.push(id);
  reply(connection, xid, 0, ERR.ok, undefined);
}

function execute(
  host: RequestHost,
  connection: ClientConnection,
  session: Session,
  type: number,
  reader: JuteReader,
): Body {
  const { tree } = host;
  switch (type) {
    case OP.ping:
      return undefined;
    case OP.getData: {
      const { path, watch } = readPathAndWatch(reader);
      return getData(host, connection, path, watch);
    }
    case OP.exists: {
      const { path, watch } = readPathAndWatch(reader);
      if (watch) host.watches.add(connection, path, WATCH.data);
      return statBody(tree, mustExist(tree, path));
    }
    case OP.getChildren:
    case OP.getChildren2: {
      const { path, watch } = readPathAndWatch(reader);
      return getChildren(host, connection, { path, watch, withStat: type === OP.getChildren2 });
    }
    case OP.getAcl:
      return getAcl(tree, connection, reader.string());
    case OP.sync: {
      const path = reader.string();
      return (writer) => writer.string(path);
    }
    case OP.multi:
      return multi(host, connection, session, reader);
    case OP.multiRead:
      return multiRead(host, connection, reader);
    case OP.setWatches:
    case OP.setWatches2:
      setWatches(host, connection, readSetWatches(reader, type === OP.setWatches2));
      return undefined;
    case OP.addWatch: {
      const path = reader.string();
      const mode = reader.int();
      if (mode !== 0 && mode !== 1) throw new ZookeeperRefusal(ERR.badArguments);
      host.watches.add(connection, path, mode === 0 ? WATCH.persistent : WATCH.recursive);
      return (writer) => writer.int(ERR.ok);
    }
    case OP.checkWatches:
    case OP.removeWatches: {
      const path = reader.string();
      const kinds = watchKinds(reader.int());
      const there =
        type === OP.checkWatches
          ? host.watches.has(connection, path, kinds)
          : host.watches.remove(connection, path, kinds);
      if (!there) throw new ZookeeperRefusal(ERR.noWatcher);
      return undefined;
    }
    case OP.getEphemerals: {
      const prefix = reader.string();
      const paths = [...tree.ephemeralsOf(session.id)].filter((path) => path.startsWith(prefix));
      return (writer) => writer.strings(paths);
    }
    case OP.getAllChildrenNumber: {
      const path = reader.string();
      checkAcl(mustExist(tree, path).acl, PERM.read, connection.ids);
      return (writer) => writer.int(tree.descendantCount(path));
    }
    case OP.whoAmI:
      return (writer) => {
        writer.int(connection.ids.length);
        for (const id of connection.ids) {
          writer.string(id.scheme);
          writer.string(userOf(id));
        }
      };
    case OP.closeSession:
      host.closeSession(session.id);
      return undefined;
    case OP.reconfig:
      throw new ZookeeperRefusal(ERR.reconfigDisabled);
    default: {
      const request = readWrite(type, reader);
      if (request === undefined) throw new ZookeeperRefusal(ERR.unimplemented);
      const result = host.write(connection, session, request);
      return (writer) => writeResult(writer, result);
    }
  }
}

function getData(host: RequestHost, connection: ClientConnection, path: string, watch: boolean): Body {
  const { tree } = host;
  const node = mustExist(tree, path);
  checkAcl(node.acl, PERM.read, connection.ids);
  if (watch) host.watches.add(connection, path, WATCH.data);
  const data = quotaUsage(tree, path) ?? node.data;
  return (writer) => {
    writer.buffer(data);
    writeStat(writer, tree.statOf(node));
  };
}

/** Usage under a quota is counted when somebody looks: the node beside the limits holds only what the client wrote into it. */
function quotaUsage(tree: Znodes, path: string): Uint8Array | undefined {
  const prefix = "/zookeeper/quota";
  if (!path.startsWith(`${prefix}/`) || !path.endsWith("/zookeeper_stats")) return undefined;
  const { count, bytes } = tree.usage(parentPath(path).slice(prefix.length));
  return Buffer.from(`count=${count},bytes=${bytes}`);
}

function getChildren(
  host: RequestHost,
  connection: ClientConnection,
  { path, watch, withStat }: { path: string; watch: boolean; withStat: boolean },
): Body {
  const node = mustExist(host.tree, path);
  checkAcl(node.acl, PERM.read, connection.ids);
  if (watch) host.watches.add(connection, path, WATCH.child);
  return (writer) => {
    writer.strings(host.tree.childrenOf(node));
    if (withStat) writeStat(writer, host.tree.statOf(node));
  };
}

function getAcl(tree: Znodes, connection: ClientConnection, path: string): Body {
  const node = mustExist(tree, path);
  checkAcl(node.acl, PERM.read | PERM.admin, connection.ids);
  const acl: AclList = isAllowed(node.acl, PERM.admin, connection.ids) ? node.acl : maskDigests(node.acl);
  return (writer) => {
    writeAclList(writer, acl);
    writeStat(writer, tree.statOf(node));
  };
}

function multi(host: RequestHost, connection: ClientConnection, session: Session, reader: JuteReader): Body {
  const requests: WriteRequest[] = [];
  for (let header = readMultiHeader(reader); !header.done; header = readMultiHeader(reader)) {
    const request = header.type === OP.setAcl ? undefined : readWrite(header.type, reader);
    if (request === undefined) throw new JuteError(`op ${header.type} inside a multi`);
    requests.push(request.kind === "create" ? createInMulti(request) : request);
  }
  const results = host.writeMulti(connection, session, requests);
  return (writer) => {
    for (const result of results) {
      writeMultiHeader(writer, result.type, result.type === OP.error ? result.err : ERR.ok);
      writeMultiResult(writer, result);
    }
    writeMultiEnd(writer);
  };
}

/** Inside a multi Apache's server goes by the mode alone, not by which of the create ops was sent. */
function createInMulti(request: CreateRequest): CreateRequest {
  const isTtl = request.flags === 5 || request.flags === 6;
  const op = request.flags === 4 ? OP.createContainer : isTtl ? OP.createTtl : OP.create;
  return { ...request, op, ttlMs: isTtl ? request.ttlMs : -1 };
}

function writeResult(writer: JuteWriter, result: WriteResult): void {
  switch (result.type) {
    case OP.create:
      writer.string(result.path);
      break;
    case OP.create2:
      writer.string(result.path);
      writeStat(writer, result.stat);
      break;
    case OP.setData:
    case OP.setAcl:
    case OP.check:
      writeStat(writer, result.stat);
      break;
    case OP.error:
      writer.int(result.err);
      break;
    case OP.delete:
      break;
  }
}

/** As `writeResult`, but a check inside a multi answers nothing. */
function writeMultiResult(writer: JuteWriter, result: WriteResult): void {
  if (result.type !== OP.check) writeResult(writer, result);
}

function multiRead(host: RequestHost, connection: ClientConnection, reader: JuteReader): Body {
  const parts: { type: number; err: number; body: Body }[] = [];
  for (let header = readMultiHeader(reader); !header.done; header = readMultiHeader(reader)) {
    const { type } = header;
    if (type !== OP.getData && type !== OP.getChildren) throw new JuteError(`op ${type} inside a multiRead`);
    // Its watch flags are read and not heeded, as in Apache's server: clients never set them here.
    const { path } = readPathAndWatch(reader);
    const watch = false;
    try {
      const body =
        type === OP.getData
          ? getData(host, connection, path, watch)
          : getChildren(host, connection, { path, watch, withStat: false });
      parts.push({ type, err: ERR.ok, body });
    } catch (error) {
      if (!(error instanceof ZookeeperRefusal)) throw error;
      const { code } = error;
      parts.push({ type: OP.error, err: code, body: (writer) => writer.int(code) });
    }
  }
  return (writer) => {
    for (const { type, err, body } of parts) {
      writeMultiHeader(writer, type, err);
      body?.(writer);
    }
    writeMultiEnd(writer);
  };
}

/** Sets a returning client's watches again; what has happened since it last heard of us becomes an event at once. */
function setWatches({ tree, watches }: RequestHost, connection: ClientConnection, request: SetWatchesRequest): void {
  for (const path of request.data) {
    const node = tree.get(path);
    if (node === undefined) connection.notify(EVENT.deleted, path);
    else if (node.mzxid > request.relativeZxid) connection.notify(EVENT.dataChanged, path);
    else watches.add(connection, path, WATCH.data);
  }
  for (const path of request.exist) {
    if (tree.get(path) !== undefined) connection.notify(EVENT.created, path);
    else watches.add(connection, path, WATCH.data);
  }
  for (const path of request.child) {
    const node = tree.get(path);
    if (node === undefined) connection.notify(EVENT.deleted, path);
    else if (node.pzxid > request.relativeZxid) connection.notify(EVENT.childrenChanged, path);
    else watches.add(connection, path, WATCH.child);
  }
  for (const path of request.persistent) watches.add(connection, path, WATCH.persistent);
  for (const path of request.recursive) watches.add(connection, path, WATCH.recursive);
}

/** The wire's WatcherType: children, data, any; 4 and 5 are the two persistent kinds of later clients. */
function watchKinds(type: number): number {
  switch (type) {
    case 1:
      return WATCH.child;
    case 2:
      return WATCH.data;
    case 3:
      return WATCH.child | WATCH.data | WATCH.persistent | WATCH.recursive;
    case 4:
      return WATCH.persistent;
    case 5:
      return WATCH.recursive;
    default:
      throw new ZookeeperRefusal(ERR.badArguments);
  }
}

function statBody(tree: Znodes, node: Znode): Body {
  return (writer) => writeStat(writer, tree.statOf(node));
}

function mustExist(tree: Znodes, path: string): Znode {
  const node = tree.get(path);
  if (node === undefined) throw new ZookeeperRefusal(ERR.noNode);
  return node;
}
