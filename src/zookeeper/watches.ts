// Who wants to hear of which change. A watcher is a connection; its watches die with it, and the client sets them again (setWatches).
//   data      one-shot: created, data changed, deleted        (exists and getData set it)
//   child     one-shot: a child came or went, deleted         (getChildren sets it)
//   persistent            stays; hears what data and child watches hear
//   recursive             stays; hears created, data changed and deleted of the node and of all below it
// One watcher may hold several kinds on one path; for one change it hears each event once.

import { type AclList, EVENT, type EventType } from "./messages.ts";
import { parentPath } from "./znode-path.ts";
import type { NodeEvent } from "./znodes.ts";

export const WATCH = { data: 1, child: 2, persistent: 4, recursive: 8 } as const;
type WatchKinds = number;

export interface Watcher {
  /**
   * Order of calls is the order in which the client hears of them. `acl` is that of the node at `path`: who may not read it hears nothing, or a
   * recursive watch would tell the names of hidden nodes.
   */
  notify(type: EventType, path: string, acl: AclList): void;
}

export class Watches<W extends Watcher> {
  private readonly byPath = new Map<string, Map<W, WatchKinds>>();
  private readonly byWatcher = new Map<W, Set<string>>();
  /** While there is none, a change need not look at the parents of its path. */
  private recursiveCount = 0;

  add(watcher: W, path: string, kind: WatchKinds): void {
    let watchers = this.byPath.get(path);
    if (watchers === undefined) {
      watchers = new Map();
      this.byPath.set(path, watchers);
    }
    let paths = this.byWatcher.get(watcher);
    if (paths === undefined) {
      paths = new Set();
      this.byWatcher.set(watcher, paths);
    }
    paths.add(path);
    this.setKinds(watchers, watcher, path, (watchers.get(watcher) ?? 0) | kind);
  }

  has(watcher: W, path: string, kinds: WatchKinds): boolean {
    return ((this.byPath.get(path)?.get(watcher) ?? 0) & kinds) !== 0;
  }

  /** Returns whether there was one. */
  remove(watcher: W, path: string, kinds: WatchKinds): boolean {
    const watchers = this.byPath.get(path);
    const held = watchers?.get(watcher) ?? 0;
    if (watchers === undefined || (held & kinds) === 0) return false;
    this.setKinds(watchers, watcher, path, held & ~kinds);
    return true;
  }

  removeWatcher(watcher: W): void {
    for (const path of this.byWatcher.get(watcher) ?? []) {
      const watchers = this.byPath.get(path);
      if (watchers !== undefined) this.setKinds(watchers, watcher, path, 0);
    }
  }

  happened({ kind, path, acl, parentAcl }: NodeEvent): void {
    switch (kind) {
      case "created":
        this.trigger(EVENT.created, path, acl, WATCH.data);
        break;
      case "deleted":
        this.trigger(EVENT.deleted, path, acl, WATCH.data | WATCH.child);
        break;
      case "dataChanged":
        this.trigger(EVENT.dataChanged, path, acl, WATCH.data);
        return;
    }
    this.trigger(EVENT.childrenChanged, parentPath(path), parentAcl, WATCH.child);
  }

  /** Watchers, paths that are watched, and watches in all. */
  counts(): { watchers: number; paths: number; watches: number } {
    let watches = 0;
    for (const paths of this.byWatcher.values()) watches += paths.size;
    return { watchers: this.byWatcher.size, paths: this.byPath.size, watches };
  }

  pathsByWatcher(): ReadonlyMap<W, ReadonlySet<string>> {
    return this.byWatcher;
  }

  watchersByPath(): ReadonlyMap<string, ReadonlyMap<W, WatchKinds>> {
    return this.byPath;
  }

  private trigger(type: EventType, path: string, acl: AclList, oneShot: WatchKinds): void {
    const hearing = new Set<W>();
    const watchers = this.byPath.get(path);
    if (watchers !== undefined) {
      // A persistent watch stands for both kinds of one-shot watches; a recursive one hears of the children themselves instead.
      const heard = oneShot | WATCH.persistent | (type === EVENT.childrenChanged ? 0 : WATCH.recursive);
      for (const [watcher, held] of watchers) {
        if ((held & heard) === 0) continue;
        hearing.add(watcher);
        if ((held & oneShot) !== 0) this.setKinds(watchers, watcher, path, held & ~oneShot);
      }
    }
    if (this.recursiveCount > 0 && type !== EVENT.childrenChanged) this.addRecursive(path, hearing);
    for (const watcher of hearing) watcher.notify(type, path, acl);
  }

  private addRecursive(path: string, hearing: Set<W>): void {
    for (let above = path; above !== "/"; ) {
      above = parentPath(above);
      for (const [watcher, held] of this.byPath.get(above) ?? [])
        if ((held & WATCH.recursive) !== 0) hearing.add(watcher);
    }
  }

  private setKinds(watchers: Map<W, WatchKinds>, watcher: W, path: string, kinds: WatchKinds): void {
    const before = watchers.get(watcher) ?? 0;
    this.recursiveCount += Number((kinds & WATCH.recursive) !== 0) - Number((before & WATCH.recursive) !== 0);
    if (kinds !== 0) {
      watchers.set(watcher, kinds);
      return;
    }
    watchers.delete(watcher);
    if (watchers.size === 0) this.byPath.delete(path);
    const paths = this.byWatcher.get(watcher);
    paths?.delete(path);
    if (paths?.size === 0) this.byWatcher.delete(watcher);
  }
}
