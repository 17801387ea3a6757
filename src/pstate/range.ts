// Ranges over a structure's elements: what is in memory, with the rest from pages of the Kv.
//
// Each position of the range lies in one of three kinds of stretch: *covered* (every stored element has a node: only nodes count), *paged* (a page of
// the cache, or one that this session has read, holds it: page and nodes are merged, a node wins), or neither, which is a miss. What a miss loads stays
// with the session, so that the next evaluation gets further however small the cache is; it also goes into the cache, for others.
// A page is a snapshot. Whatever was applied after it has a node, as long as that node stays in memory. When a node leaves that a flush wrote after the page was
// read, the cache's page of its key goes too; a session's page is worthless once any such node has left (`evictedFlush`), and is read again.
import { latin1Of } from "../base/bytes.ts";
import { encodeKey } from "../base/key-encoding.ts";
import type { IndexRange, ReadSession } from "../paths/indexed.ts";
import type { KvEntry } from "../storage/kv.ts";
import { keyEnd, keyStart } from "./layout.ts";
import type { Node } from "./node-cache.ts";
import { Page } from "./page.ts";
import type { Partition } from "./partition.ts";
import { joinOrder, type Structure } from "./structure.ts";
import type { View } from "./view.ts";

export type EmitElement = (key: unknown, stored: unknown) => void;

/** A bounded range reads a few more than it needs, for those that have been deleted in memory; and not less than a good page, for its neighbours. */
const spareEntries = 16;
const pageEntriesMin = 256;
/** What was read is kept in pages of so many elements: a change of one makes its page worthless. */
const pageEntriesMax = 256;
/** A structure of up to so many elements that has been read as a whole gets nodes, and from then on a key without one is known to be absent. */
const wholeEntriesMax = 256;
/** What weighs more than this part of the cache does not go into it. */
const cacheShare = 4;

/**
 * What a session has loaded. Sessions may live long, so pages are kept only as long as evaluations use them: a load that follows a miss forgets the pages
 * that the evaluation before it did not look at.
 */
class SessionPages {
  readonly #pages = new Map<Partition, Map<number, Page[]>>();
  /** Grows with each round of loads. */
  #evaluation = 0;
  #missed = false;

  of(structure: Structure): Page[] {
    let byId = this.#pages.get(structure.partition);
    if (byId === undefined) {
      byId = new Map();
      this.#pages.set(structure.partition, byId);
    }
    let pages = byId.get(structure.id);
    if (pages === undefined) {
      pages = [];
      byId.set(structure.id, pages);
    }
    return pages;
  }

  /** The page that goes on at `at`: contains it, or in reverse, what is just below it. */
  find(structure: Structure, at: string, reverse: boolean): Page | undefined {
    const pages = this.#pages.get(structure.partition)?.get(structure.id);
    if (pages === undefined) return undefined;
    for (let i = pages.length - 1; i >= 0; i--) {
      const page = pages[i]!;
      if (page.flushes < structure.evictedFlush) pages.splice(i, 1);
      else if (reverse ? page.from < at && at <= page.to : page.from <= at && at < page.to) return page;
    }
    return undefined;
  }

  /** An evaluation wants [from, to): what is loaded of it stays, even if the cache covers it just now. */
  use(structure: Structure, from: string, to: string): void {
    const pages = this.#pages.get(structure.partition)?.get(structure.id);
    for (const page of pages ?? []) if (page.from < to && from < page.to) page.used = this.#evaluation;
  }

  add(structure: Structure, page: Page): void {
    page.used = this.#evaluation;
    this.of(structure).push(page);
  }

  missed(): void {
    this.#missed = true;
  }

  loading(): void {
    if (!this.#missed) return;
    this.#missed = false;
    for (const [partition, byId] of this.#pages) {
      for (const [id, pages] of byId) {
        const used = pages.filter((page) => page.used === this.#evaluation);
        if (used.length > 0) byId.set(id, used);
        else byId.delete(id);
      }
      if (byId.size === 0) this.#pages.delete(partition);
    }
    this.#evaluation++;
  }
}

const sessions = new WeakMap<ReadSession, SessionPages>();

function pagesOf(session: ReadSession): SessionPages {
  let pages = sessions.get(session);
  if (pages === undefined) {
    pages = new SessionPages();
    sessions.set(session, pages);
  }
  return pages;
}

/** Emits the present elements of the range, ascending. After a miss what it emits is not to be used. */
export function scanRange(view: View, structure: Structure, range: IndexRange, emit: EmitElement): void {
  const [from, to] = boundsOf(range);
  const limit = range.limit ?? Number.POSITIVE_INFINITY;
  if (limit <= 0 || from >= to) return;
  const scan = new Scan(view, structure, limit, range.reverse === true);
  scan.run(from, to);
  const { keys, values } = scan;
  if (range.reverse) for (let i = keys.length - 1; i >= 0; i--) emit(keys[i], values[i]);
  else for (let i = 0; i < keys.length; i++) emit(keys[i], values[i]);
}

export function countRange(view: View, structure: Structure): number {
  let count = 0;
  scanRange(view, structure, {}, () => count++);
  return count;
}

/** Encoded bounds, half-open: no encoded key is a prefix of another, so a zero byte after one comes before the next. */
function boundsOf(range: IndexRange): [string, string] {
  let from = keyStart;
  let to = keyEnd;
  if (range.hasFrom ?? range.from !== undefined) {
    from = latin1Of(encodeKey(range.from));
    if (range.fromExclusive) from += "\0";
  }
  if (range.hasTo ?? range.to !== undefined) {
    to = latin1Of(encodeKey(range.to));
    if (range.toInclusive) to += "\0";
  }
  return [from, to];
}

class Scan {
  readonly keys: unknown[] = [];
  readonly values: unknown[] = [];
  readonly #view: View;
  readonly #structure: Structure;
  readonly #limit: number;
  readonly #reverse: boolean;

  constructor(view: View, structure: Structure, limit: number, reverse: boolean) {
    this.#view = view;
    this.#structure = structure;
    this.#limit = limit;
    this.#reverse = reverse;
  }

  run(from: string, to: string): void {
    const { coverage } = this.#structure;
    let [low, high] = [from, to];
    sessions.get(this.#view.session)?.use(this.#structure, from, to);
    while (low < high && this.keys.length < this.#limit) {
      const covered = this.#reverse ? coverage.startBefore(high) : coverage.endFrom(low);
      const at = this.#reverse ? high : low;
      const page = covered === undefined ? this.#pageAt(at) : undefined;
      if (covered === undefined && page === undefined) {
        this.#miss(low, high);
        return;
      }
      if (this.#reverse) {
        const start = larger(covered ?? page!.from, low);
        this.#stretch(start, high, page);
        high = start;
      } else {
        const end = smaller(covered ?? page!.to, high);
        this.#stretch(low, end, page);
        low = end;
      }
    }
  }

  #pageAt(at: string): Page | undefined {
    const shared = this.#structure.pages?.find(at, this.#reverse);
    return shared ?? sessions.get(this.#view.session)?.find(this.#structure, at, this.#reverse);
  }

  #stretch(from: string, to: string, page: Page | undefined): void {
    if (page !== undefined) this.#merge(from, to, page);
    else this.#structure.sorted().visit(from, to, this.#reverse, (node) => this.#node(node));
  }

  /** False when there is enough. */
  #node(node: Node): boolean {
    const stored = this.#view.valueOf(node);
    return stored === undefined || this.#push(node.key, stored);
  }

  #push(key: unknown, stored: unknown): boolean {
    this.keys.push(key);
    this.values.push(stored);
    return this.keys.length < this.#limit;
  }

  #merge(from: string, to: string, page: Page): void {
    page.visit();
    if (this.#reverse) this.#mergeDown(from, to, page);
    else this.#mergeUp(from, to, page);
  }

  #mergeUp(from: string, to: string, page: Page): void {
    let i = page.position(from);
    const end = page.position(to);
    let enough = false;
    this.#structure.sorted().visit(from, to, false, (node) => {
      while (i < end && !enough) {
        const order = page.compare(i, node.order);
        if (order > 0) break;
        // The node stands for it.
        if (order < 0) enough = !this.#entry(page, i);
        i++;
      }
      if (!enough) enough = !this.#node(node);
      return !enough;
    });
    while (!enough && i < end) enough = !this.#entry(page, i++);
  }

  #mergeDown(from: string, to: string, page: Page): void {
    let i = page.position(to) - 1;
    const first = page.position(from);
    let enough = false;
    this.#structure.sorted().visit(from, to, true, (node) => {
      while (i >= first && !enough) {
        const order = page.compare(i, node.order);
        if (order < 0) break;
        if (order > 0) enough = !this.#entry(page, i);
        i--;
      }
      if (!enough) enough = !this.#node(node);
      return !enough;
    });
    while (!enough && i >= first) enough = !this.#entry(page, i--);
  }

  #entry(page: Page, i: number): boolean {
    const key = page.keyAt(i);
    return this.#push(key, page.storedAt(i, key));
  }

  #miss(from: string, to: string): void {
    const wanted = this.#limit - this.keys.length;
    const limit = wanted === Number.POSITIVE_INFINITY ? undefined : Math.max(wanted + spareEntries, pageEntriesMin);
    const { session } = this.#view;
    const structure = this.#structure;
    const reverse = this.#reverse;
    pagesOf(session).missed();
    session.miss(() => loadPage(session, structure, { from, to, limit, reverse }));
  }
}

async function loadPage(
  session: ReadSession,
  structure: Structure,
  wanted: { from: string; to: string; limit: number | undefined; reverse: boolean },
): Promise<void> {
  const { cache, prefix, partition } = structure;
  const { flushes } = cache;
  const { limit, reverse } = wanted;
  pagesOf(session).loading();
  const found = await cache.kv.range({
    gte: joinOrder(prefix, wanted.from),
    lt: joinOrder(prefix, wanted.to),
    reverse,
    ...(limit === undefined ? {} : { limit }),
  });
  const live = structure.gone ? partition.revive(structure) : structure;
  if (flushes < live.evictedFlush) return;
  const whole = limit === undefined || found.length < limit;
  if (reverse) found.reverse();
  const from = !whole && reverse ? latin1Of(found[0]!.key, prefix.length) : wanted.from;
  const to = !whole && !reverse ? `${latin1Of(found.at(-1)!.key, prefix.length)}\0` : wanted.to;
  const page = new Page(live, { from, to }, flushes, found);
  pagesOf(session).add(live, page);
  if (page.weight * cacheShare > cache.bytesMax) return;
  if (from === keyStart && to === keyEnd && found.length <= wholeEntriesMax) live.adopt(page);
  else share(live, page, found);
}

/** Into the cache, in pieces that are worth keeping. */
function share(structure: Structure, page: Page, entries: readonly KvEntry[]): void {
  if (entries.length <= pageEntriesMax) {
    structure.addPage(new Page(structure, page, page.flushes, entries));
    return;
  }
  for (let at = 0; at < entries.length; at += pageEntriesMax) {
    const end = at + pageEntriesMax;
    const from = at === 0 ? page.from : page.orderAt(at);
    const to = end >= entries.length ? page.to : page.orderAt(end);
    structure.addPage(new Page(structure, { from, to }, page.flushes, entries.slice(at, end)));
  }
}

function smaller(a: string, b: string): string {
  return a < b ? a : b;
}

function larger(a: string, b: string): string {
  return a > b ? a : b;
}
