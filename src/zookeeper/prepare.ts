// From a write request to changes: every check that may refuse it, in the order in which Apache's server makes them, since clients see which
// one comes first. Applies what it allows; the caller journals the changes and answers once they are durable.

import { checkAcl, resolveAcl } from "./acl.ts";
import type { Change } from "./changes.ts";
import {
  type CreateRequest,
  ERR,
  type Id,
  OP,
  PERM,
  type SetAclRequest,
  type SetDataRequest,
  type Stat,
  type VersionedRequest,
  type WriteRequest,
  ZookeeperRefusal,
} from "./messages.ts";
import { checkPath, parentPath, specialPaths } from "./znode-path.ts";
import {
  CONTAINER_OWNER,
  isSessionOwned,
  TTL_MAX_MS,
  type NodeEvent,
  ttlOwner,
  type Znode,
  type Znodes,
} from "./znodes.ts";

/** Who asks, and under which zxid and time the write happens if it does. */
export interface WriteContext {
  readonly tree: Znodes;
  readonly sessionId: bigint;
  readonly ids: readonly Id[];
  readonly zxid: number;
  readonly timeMs: number;
}

/** Of one write; `type` is its op code in a multi's reply. */
export type WriteResult =
  | { readonly type: typeof OP.create; readonly path: string }
  | { readonly type: typeof OP.create2; readonly path: string; readonly stat: Stat }
  | { readonly type: typeof OP.setData | typeof OP.setAcl; readonly stat: Stat }
  | { readonly type: typeof OP.check; readonly stat: Stat }
  | { readonly type: typeof OP.delete }
  | { readonly type: typeof OP.error; readonly err: number };

export interface Written {
  readonly changes: Change[];
  readonly events: NodeEvent[];
  readonly result: WriteResult;
}

/** Applies one write. Throws ZookeeperRefusal with the tree untouched. */
export function applyWrite(context: WriteContext, request: WriteRequest, undo?: (() => void)[]): Written {
  const change = changeOf(context, request);
  const event = change === undefined ? undefined : context.tree.apply(change, context.zxid, context.timeMs, undo);
  const result = resultOf(context.tree, request, change);
  return { changes: change === undefined ? [] : [change], events: event === undefined ? [] : [event], result };
}

export interface MultiWritten {
  readonly changes: Change[];
  readonly events: NodeEvent[];
  readonly results: WriteResult[];
}

/** Applies all of them or none. The results of a refused multi name the op that was refused; `changes` is empty then. */
export function applyMulti(context: WriteContext, requests: readonly WriteRequest[]): MultiWritten {
  const undo: (() => void)[] = [];
  const changes: Change[] = [];
  const events: NodeEvent[] = [];
  const results: WriteResult[] = [];
  for (const request of requests) {
    try {
      const written = applyWrite(context, request, undo);
      changes.push(...written.changes);
      events.push(...written.events);
      results.push(written.result);
    } catch (error) {
      if (!(error instanceof ZookeeperRefusal)) throw error;
      for (const takeBack of undo.reverse()) takeBack();
      return { changes: [], events: [], results: refusedResults(requests.length, results.length, error.code) };
    }
  }
  return { changes, events, results };
}

/** Ops before the refused one say ok, those after it runtimeInconsistency: clients find the culprit by that. */
function refusedResults(count: number, refusedAt: number, code: number): WriteResult[] {
  const errOf = (i: number) => (i < refusedAt ? ERR.ok : i === refusedAt ? code : ERR.runtimeInconsistency);
  return Array.from({ length: count }, (_, i) => ({ type: OP.error, err: errOf(i) }));
}

/** What ends a session: its nodes go, in one entry with the session itself. */
export function closeSessionChanges(tree: Znodes, sessionId: bigint): Change[] {
  const changes: Change[] = [];
  for (const path of tree.ephemeralsOf(sessionId)) changes.push({ kind: "delete", path });
  changes.push({ kind: "closeSession", id: sessionId });
  return changes;
}

function changeOf(context: WriteContext, request: WriteRequest): Change | undefined {
  switch (request.kind) {
    case "create":
      return createChange(context, request);
    case "delete":
      return deleteChange(context, request);
    case "setData":
      return setDataChange(context, request);
    case "setAcl":
      return setAclChange(context, request);
    case "check": {
      checkPath(request.path);
      const node = mustExist(context.tree, request.path);
      checkAcl(node.acl, PERM.read, context.ids);
      checkVersion(node.version, request.version);
      return undefined;
    }
  }
}

function resultOf(tree: Znodes, request: WriteRequest, change: Change | undefined): WriteResult {
  if (change?.kind === "delete") return { type: OP.delete };
  const path = change?.kind === "create" ? change.path : request.path;
  if (request.kind === "create" && request.op === OP.create) return { type: OP.create, path };
  const stat = tree.statOf(mustExist(tree, path));
  switch (request.kind) {
    case "create":
      return { type: OP.create2, path, stat };
    case "setAcl":
      return { type: OP.setAcl, stat };
    case "check":
      return { type: OP.check, stat };
    default:
      return { type: OP.setData, stat };
  }
}

interface CreateMode {
  readonly sequential: boolean;
  readonly lives: "always" | "session" | "ttl";
}

/** By the flags of the wire. */
const createModes: readonly CreateMode[] = [
  { sequential: false, lives: "always" },
  { sequential: false, lives: "session" },
  { sequential: true, lives: "always" },
  { sequential: true, lives: "session" },
  { sequential: false, lives: "always" },
  { sequential: false, lives: "ttl" },
  { sequential: true, lives: "ttl" },
];

function createChange({ tree, sessionId, ids }: WriteContext, request: CreateRequest): Change {
  const mode = createModes[request.flags];
  if (mode === undefined) throw new ZookeeperRefusal(ERR.badArguments);
  const { ttlMs } = request;
  const ttlIsRight = mode.lives === "ttl" ? ttlMs > 0 && ttlMs <= TTL_MAX_MS : ttlMs < 0;
  if (!ttlIsRight || !request.path.includes("/") || request.path.includes("\0"))
    throw new ZookeeperRefusal(ERR.badArguments);
  const acl = resolveAcl(request.acl, ids);
  const parent = mustExist(tree, parentPath(request.path));
  checkAcl(parent.acl, PERM.create, ids);
  const path = mode.sequential ? request.path + sequenceSuffix(parent.childrenCreated) : request.path;
  checkPath(path);
  if (tree.get(path) !== undefined) throw new ZookeeperRefusal(ERR.nodeExists);
  if (isSessionOwned(parent.owner)) throw new ZookeeperRefusal(ERR.noChildrenForEphemerals);
  return {
    kind: "create",
    path,
    data: request.data,
    acl,
    owner: request.op === OP.createContainer ? CONTAINER_OWNER : ownerOf(mode, sessionId, ttlMs),
  };
}

function ownerOf(mode: CreateMode, sessionId: bigint, ttlMs: number): bigint {
  switch (mode.lives) {
    case "always":
      return 0n;
    case "session":
      return sessionId;
    case "ttl":
      return ttlOwner(ttlMs);
  }
}

/** Ten digits. Negative after 2^31 children, and then written like Java's %010d. */
export function sequenceSuffix(count: number): string {
  return count < 0 ? `-${String(-count).padStart(9, "0")}` : String(count).padStart(10, "0");
}

function deleteChange({ tree, ids }: WriteContext, { path, version }: VersionedRequest): Change {
  if (!path.includes("/") || path.includes("\0") || specialPaths.has(path))
    throw new ZookeeperRefusal(ERR.badArguments);
  const parent = mustExist(tree, parentPath(path));
  checkAcl(parent.acl, PERM.delete, ids);
  const node = mustExist(tree, path);
  checkVersion(node.version, version);
  if (tree.childrenOf(node).size > 0) throw new ZookeeperRefusal(ERR.notEmpty);
  return { kind: "delete", path };
}

function setDataChange({ tree, ids }: WriteContext, { path, data, version }: SetDataRequest): Change {
  checkPath(path);
  const node = mustExist(tree, path);
  checkAcl(node.acl, PERM.write, ids);
  checkVersion(node.version, version);
  return { kind: "setData", path, data };
}

function setAclChange({ tree, ids }: WriteContext, request: SetAclRequest): Change {
  checkPath(request.path);
  const acl = resolveAcl(request.acl, ids);
  const node = mustExist(tree, request.path);
  checkAcl(node.acl, PERM.admin, ids);
  checkVersion(node.aversion, request.version);
  return { kind: "setAcl", path: request.path, acl };
}

function checkVersion(current: number, expected: number): void {
  if (expected !== -1 && expected !== current) throw new ZookeeperRefusal(ERR.badVersion);
}

function mustExist(tree: Znodes, path: string): Znode {
  const node = tree.get(path);
  if (node === undefined) throw new ZookeeperRefusal(ERR.noNode);
  return node;
}
