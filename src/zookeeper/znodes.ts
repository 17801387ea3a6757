// The tree of znodes in memory. It checks nothing and decides nothing: `prepare.ts` turns a request into changes, `apply` carries them out, at
// first and again at replay. Times and zxids come in with the entry, so that a replayed tree equals the one that was lost.

import { AssertionError, assert } from "../base/assert.ts";
import { openAcl, readOnlyAcl } from "./acl.ts";
import type { Change } from "./changes.ts";
import type { AclList, Stat } from "./messages.ts";
import { nameOf, parentPath } from "./znode-path.ts";

/** `owner` of a container node: goes when its last child has gone. */
export const CONTAINER_OWNER = -(1n << 63n);
/** `owner` of a TTL node: this mark in the top byte, the time to live in milliseconds in the low 40 bits. */
const TTL_MARK = 0xff00000000000000n;
export const TTL_MAX_MS = 2 ** 40 - 1;

export function ttlOwner(ttlMs: number): bigint {
  return BigInt.asIntN(64, TTL_MARK | BigInt(ttlMs));
}

export function ttlMsOf(owner: bigint): number | undefined {
  return BigInt.asUintN(64, owner) >= TTL_MARK ? Number(BigInt.asUintN(40, owner)) : undefined;
}

export function isSessionOwned(owner: bigint): boolean {
  return owner !== 0n && owner !== CONTAINER_OWNER && ttlMsOf(owner) === undefined;
}

export interface Znode {
  readonly path: string;
  data: Uint8Array | null;
  acl: AclList;
  czxid: number;
  mzxid: number;
  /** Of the last child that was created or removed; at first the node's own czxid. */
  pzxid: number;
  ctimeMs: number;
  mtimeMs: number;
  version: number;
  aversion: number;
  /** Children ever created, as int32. Sequential names count by it, and cversion = 2 × created - present. */
  childrenCreated: number;
  owner: bigint;
  children: Set<string> | undefined;
}

/** What the watchers of a node and of its parent may want to hear, with the ACLs of that moment. */
export interface NodeEvent {
  readonly kind: "created" | "deleted" | "dataChanged";
  readonly path: string;
  readonly acl: AclList;
  readonly parentAcl: AclList;
}

const emptySet: ReadonlySet<string> = new Set();

export class Znodes {
  /** Every parent stands before its children, which snapshots rely on. */
  private readonly byPath = new Map<string, Znode>();
  private readonly bySession = new Map<bigint, Set<string>>();
  private readonly containers = new Set<string>();
  private readonly ttlNodes = new Set<string>();
  /** Bytes of all paths and data. */
  dataSizeBytes = 0;

  /** The tree of a new server. */
  static initial(): Znodes {
    const tree = new Znodes();
    tree.insert(bare("/", openAcl, new Uint8Array(0)));
    tree.insert(bare("/zookeeper", openAcl, new Uint8Array(0)));
    tree.insert(bare("/zookeeper/quota", openAcl, new Uint8Array(0)));
    tree.insert({ ...bare("/zookeeper/config", readOnlyAcl, new Uint8Array(0)), aversion: -1 });
    return tree;
  }

  get(path: string): Znode | undefined {
    return this.byPath.get(path);
  }

  get size(): number {
    return this.byPath.size;
  }

  all(): IterableIterator<Znode> {
    return this.byPath.values();
  }

  childrenOf(node: Znode): ReadonlySet<string> {
    return node.children ?? emptySet;
  }

  ephemeralsOf(sessionId: bigint): ReadonlySet<string> {
    return this.bySession.get(sessionId) ?? emptySet;
  }

  /** Sessions that own nodes, with these. */
  ephemerals(): ReadonlyMap<bigint, ReadonlySet<string>> {
    return this.bySession;
  }

  ephemeralCount(): number {
    let count = 0;
    for (const paths of this.bySession.values()) count += paths.size;
    return count;
  }

  /** Nodes below `path`, without itself. */
  descendantCount(path: string): number {
    if (path === "/") return this.byPath.size - 1;
    const prefix = `${path}/`;
    let count = 0;
    for (const other of this.byPath.keys()) if (other.startsWith(prefix)) count++;
    return count;
  }

  /** What a quota counts: the node and all below it. */
  usage(path: string): { count: number; bytes: number } {
    const prefix = `${path}/`;
    const usage = { count: 0, bytes: 0 };
    for (const node of this.byPath.values()) {
      if (node.path !== path && !node.path.startsWith(prefix)) continue;
      usage.count++;
      usage.bytes += node.data?.length ?? 0;
    }
    return usage;
  }

  /** Containers that had children and have none now, and TTL nodes without children that nobody changed for their time to live. */
  removable(nowMs: number): string[] {
    const paths: string[] = [];
    for (const path of this.containers) {
      const node = this.must(path);
      if (node.childrenCreated > 0 && this.childrenOf(node).size === 0) paths.push(path);
    }
    for (const path of this.ttlNodes) {
      const node = this.must(path);
      const ttlMs = ttlMsOf(node.owner) ?? TTL_MAX_MS;
      if (this.childrenOf(node).size === 0 && nowMs - node.mtimeMs > ttlMs) paths.push(path);
    }
    return paths;
  }

  statOf(node: Znode): Stat {
    const childCount = node.children?.size ?? 0;
    return {
      czxid: node.czxid,
      mzxid: node.mzxid,
      ctimeMs: node.ctimeMs,
      mtimeMs: node.mtimeMs,
      version: node.version,
      cversion: (node.childrenCreated * 2 - childCount) | 0,
      aversion: node.aversion,
      // Clients take any other value for a session.
      ephemeralOwner: isSessionOwned(node.owner) ? node.owner : 0n,
      dataLength: node.data?.length ?? 0,
      childCount,
      pzxid: node.pzxid,
    };
  }

  /**
   * Carries out a change of nodes and says what is to be heard of it; changes of sessions are not its matter. With `undo`, pushes what takes it back: run these in reverse order,
   * before anything else is applied.
   */
  apply(change: Change, zxid: number, timeMs: number, undo?: (() => void)[]): NodeEvent | undefined {
    switch (change.kind) {
      case "create": {
        const { path, data, acl, owner } = change;
        const parent = this.must(parentPath(path));
        const { pzxid, childrenCreated } = parent;
        const [ctimeMs, mtimeMs] = [timeMs, timeMs];
        this.insert({ ...bare(path, acl, data), czxid: zxid, mzxid: zxid, pzxid: zxid, ctimeMs, mtimeMs, owner });
        parent.childrenCreated = (childrenCreated + 1) | 0;
        parent.pzxid = zxid;
        undo?.push(() => {
          this.drop(path);
          Object.assign(parent, { pzxid, childrenCreated });
        });
        return { kind: "created", path, acl, parentAcl: parent.acl };
      }
      case "delete": {
        const node = this.must(change.path);
        const parent = this.must(parentPath(change.path));
        const { pzxid } = parent;
        this.drop(change.path);
        parent.pzxid = zxid;
        undo?.push(() => {
          this.insert(node);
          parent.pzxid = pzxid;
        });
        return { kind: "deleted", path: change.path, acl: node.acl, parentAcl: parent.acl };
      }
      case "setData": {
        const node = this.must(change.path);
        const { data, version, mzxid, mtimeMs } = node;
        this.dataSizeBytes += (change.data?.length ?? 0) - (data?.length ?? 0);
        node.data = change.data;
        node.version = (version + 1) | 0;
        node.mzxid = zxid;
        node.mtimeMs = timeMs;
        undo?.push(() => {
          this.dataSizeBytes += (data?.length ?? 0) - (node.data?.length ?? 0);
          Object.assign(node, { data, version, mzxid, mtimeMs });
        });
        return { kind: "dataChanged", path: change.path, acl: node.acl, parentAcl: node.acl };
      }
      case "setAcl": {
        const node = this.must(change.path);
        const { acl, aversion } = node;
        node.acl = change.acl;
        node.aversion = (aversion + 1) | 0;
        undo?.push(() => Object.assign(node, { acl, aversion }));
        return undefined;
      }
      case "openSession":
      case "closeSession":
        return undefined;
    }
  }

  /** Puts a whole node in, as a snapshot holds it. Its parent must be there. */
  insert(node: Znode): void {
    this.byPath.set(node.path, node);
    this.dataSizeBytes += node.path.length + (node.data?.length ?? 0);
    if (node.path !== "/") {
      const parent = this.must(parentPath(node.path));
      parent.children ??= new Set();
      parent.children.add(nameOf(node.path));
    }
    this.indexOf(node)?.add(node.path);
  }

  private drop(path: string): void {
    const node = this.must(path);
    assert(this.childrenOf(node).size === 0, "a znode is dropped with its children");
    this.byPath.delete(path);
    this.dataSizeBytes -= path.length + (node.data?.length ?? 0);
    this.must(parentPath(path)).children?.delete(nameOf(path));
    const index = this.indexOf(node);
    index?.delete(path);
    if (index?.size === 0 && isSessionOwned(node.owner)) this.bySession.delete(node.owner);
  }

  private indexOf({ owner }: Znode): Set<string> | undefined {
    if (owner === 0n) return undefined;
    if (owner === CONTAINER_OWNER) return this.containers;
    if (ttlMsOf(owner) !== undefined) return this.ttlNodes;
    let owned = this.bySession.get(owner);
    if (owned === undefined) {
      owned = new Set();
      this.bySession.set(owner, owned);
    }
    return owned;
  }

  private must(path: string): Znode {
    const node = this.byPath.get(path);
    if (node === undefined) throw new AssertionError(`no znode ${path}`);
    return node;
  }
}

function bare(path: string, acl: AclList, data: Uint8Array | null): Znode {
  return {
    path,
    data,
    acl,
    czxid: 0,
    mzxid: 0,
    pzxid: 0,
    ctimeMs: 0,
    mtimeMs: 0,
    version: 0,
    aversion: 0,
    childrenCreated: 0,
    owner: 0n,
    children: undefined,
  };
}
