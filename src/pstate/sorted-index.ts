// The nodes of one structure in key order, made when the first range is read and kept up to date from then on. Chunks of at most `chunkMax` nodes: an insert
// moves at most one chunk, a seek bisects the chunks and then one of them. Keys in ascending order (most are) only append.

export interface Ordered {
  /** The encoded element key, one character per byte: string order is key order. */
  readonly order: string;
}

const chunkMax = 256;

export class SortedIndex<T extends Ordered> {
  readonly #chunks: T[][] = [];

  static of<T extends Ordered>(nodes: T[]): SortedIndex<T> {
    const index = new SortedIndex<T>();
    nodes.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
    for (let at = 0; at < nodes.length; at += chunkMax / 2) index.#chunks.push(nodes.slice(at, at + chunkMax / 2));
    return index;
  }

  /** The chunk that holds, or would hold, `order`: the last that begins at or below it. */
  #chunkAt(order: string): number {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (chunks[middle]![0]!.order <= order) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  insert(node: T): void {
    const chunks = this.#chunks;
    if (chunks.length === 0) {
      chunks.push([node]);
      return;
    }
    const at = this.#chunkAt(node.order);
    const chunk = chunks[at]!;
    if (chunk[chunk.length - 1]!.order < node.order) chunk.push(node);
    else chunk.splice(positionIn(chunk, node.order), 0, node);
    if (chunk.length > chunkMax) {
      // A chunk that fills at its end stays nearly full, as keys that ascend leave it behind.
      const cut = at === chunks.length - 1 && chunk[chunk.length - 1] === node ? chunkMax : chunkMax / 2;
      chunks.splice(at + 1, 0, chunk.splice(cut));
    }
  }

  delete(node: T): void {
    const at = this.#chunkAt(node.order);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return;
    const position = positionIn(chunk, node.order);
    if (chunk[position] !== node) return;
    if (chunk.length === 1) this.#chunks.splice(at, 1);
    else chunk.splice(position, 1);
  }

  /** Calls `visit` for nodes in [from, to), ascending or descending, until it returns false. */
  visit(from: string, to: string, reverse: boolean, visit: (node: T) => boolean): void {
    if (this.#chunks.length === 0) return;
    if (reverse) this.#descend(from, to, visit);
    else this.#ascend(from, to, visit);
  }

  #ascend(from: string, to: string, visit: (node: T) => boolean): void {
    const chunks = this.#chunks;
    const first = this.#chunkAt(from);
    for (let c = first; c < chunks.length; c++) {
      const chunk = chunks[c]!;
      for (let i = c === first ? positionIn(chunk, from) : 0; i < chunk.length; i++) {
        const node = chunk[i]!;
        if (node.order >= to || !visit(node)) return;
      }
    }
  }

  #descend(from: string, to: string, visit: (node: T) => boolean): void {
    const chunks = this.#chunks;
    const last = this.#chunkAt(to);
    for (let c = last; c >= 0; c--) {
      const chunk = chunks[c]!;
      for (let i = (c === last ? positionIn(chunk, to) : chunk.length) - 1; i >= 0; i--) {
        const node = chunk[i]!;
        if (node.order < from || !visit(node)) return;
      }
    }
  }
}

/** Index of the first node at or above `order`. */
export function positionIn(chunk: readonly Ordered[], order: string): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunk[middle]!.order < order) low = middle + 1;
    else high = middle;
  }
  return low;
}
