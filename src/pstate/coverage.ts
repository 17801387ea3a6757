// The key intervals of a structure in which every stored element has a node in memory, so that a range inside one needs no disk. Half-open
// [from, to) over encoded element keys, disjoint, ascending. Evicting an element splits its interval; a structure that was born in memory starts with
// one that spans all. Of more than `intervalsMax` one is forgotten, but neither the first nor the last: keys that ascend or descend (ids, times) go on there, and a key
// beyond all that are stored is known to be absent without a look at the disk.
import { keyEnd, keyStart } from "./layout.ts";

const intervalsMax = 64;

export class Coverage {
  readonly #froms: string[] = [];
  readonly #tos: string[] = [];
  /** Everything is in memory: a key without a node is absent. */
  complete: boolean;
  /** Grows with each change. */
  version = 0;

  constructor(complete: boolean) {
    this.complete = complete;
    if (complete) {
      this.#froms.push(keyStart);
      this.#tos.push(keyEnd);
    }
  }

  get empty(): boolean {
    return this.#froms.length === 0;
  }

  /** Index of the last interval that begins at or below `at`; -1 when there is none. */
  #find(at: string): number {
    let low = 0;
    let high = this.#froms.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#froms[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  contains(at: string): boolean {
    const i = this.#find(at);
    return i >= 0 && this.#tos[i]! > at;
  }

  /** End of the interval that contains `at`. */
  endFrom(at: string): string | undefined {
    const i = this.#find(at);
    return i >= 0 && this.#tos[i]! > at ? this.#tos[i] : undefined;
  }

  /** Start of the interval that reaches up to `to` or beyond, and contains something below it. */
  startBefore(to: string): string | undefined {
    let i = this.#find(to);
    if (i >= 0 && this.#froms[i] === to) i--;
    return i >= 0 && this.#tos[i]! >= to ? this.#froms[i] : undefined;
  }

  add(from: string, to: string): void {
    if (from >= to) return;
    this.version++;
    let first = this.#find(from);
    if (first < 0 || this.#tos[first]! < from) first++;
    let last = first;
    let [start, end] = [from, to];
    while (last < this.#froms.length && this.#froms[last]! <= to) {
      if (this.#froms[last]! < start) start = this.#froms[last]!;
      if (this.#tos[last]! > end) end = this.#tos[last]!;
      last++;
    }
    this.#froms.splice(first, last - first, start);
    this.#tos.splice(first, last - first, end);
    if (this.#froms.length > intervalsMax) this.#forget(first + 2 < this.#froms.length ? first + 1 : first - 1);
    this.complete = this.#froms.length === 1 && this.#froms[0]! <= keyStart && this.#tos[0]! >= keyEnd;
  }

  #forget(i: number): void {
    this.#froms.splice(i, 1);
    this.#tos.splice(i, 1);
  }

  /** The element `at` leaves memory. */
  cut(at: string): void {
    const i = this.#find(at);
    if (i < 0 || this.#tos[i]! <= at) return;
    this.version++;
    this.complete = false;
    const [from, to] = [this.#froms[i]!, this.#tos[i]!];
    const after = `${at}\0`;
    const left = from < at;
    const right = after < to;
    this.#froms.splice(i, 1, ...(left ? [from] : []), ...(right ? [after] : []));
    this.#tos.splice(i, 1, ...(left ? [at] : []), ...(right ? [to] : []));
    if (this.#froms.length > intervalsMax) this.#forget(i === 0 ? 1 : i);
  }

  clear(): void {
    this.version++;
    this.#froms.length = 0;
    this.#tos.length = 0;
    this.complete = false;
  }
}
