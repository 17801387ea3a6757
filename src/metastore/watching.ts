// What the implementations of Metastore share: checks, and the loop behind `watch` and `watchChildren`.
import { RamaError } from "../base/errors.ts";
import type { MetastoreOp } from "./metastore.ts";

/** Something to wait for that can be raised any number of times before it is waited for. */
export class Notice {
  #raised = false;
  #wake: (() => void) | undefined;

  readonly raise = (): void => {
    this.#raised = true;
    this.#wake?.();
  };

  wait(): Promise<void> {
    if (this.#raised) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** A state that was read: equal stamps mean that nothing has changed. */
export interface Seen<T> {
  readonly value: T;
  readonly stamp: string;
}

/**
 * Yields the present state and then each later one (states in between may be skipped, the last one never), until `signal` aborts or `read` answers
 * undefined. `read` must call `onChange` at the first change after the state that it returns, or earlier.
 */
export async function* changesOf<T>(
  read: (onChange: () => void) => Promise<Seen<T> | undefined>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  let last: string | undefined;
  let onAbort = () => {};
  const aborted = new Promise<undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    while (!signal.aborted) {
      const changed = new Notice();
      const seen = await Promise.race([read(changed.raise), aborted]);
      if (seen === undefined || signal.aborted) return;
      if (seen.stamp !== last) {
        last = seen.stamp;
        yield seen.value;
      }
      await Promise.race([changed.wait(), aborted]);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Absolute, no empty parts, no slash at the end. */
export function checkPath(path: string): void {
  if (!/^(\/[^/\0]+)+$/.test(path))
    throw new RamaError("BAD_VALUE", `not a metastore path: ${JSON.stringify(path)}`, { path });
}

/** ZooKeeper ends the connection of a request that is larger than 1 MB (jute.maxbuffer), so larger data must not be sent at all. */
const maxRequestBytes = 1_000_000;

export function checkData(path: string, data: Uint8Array): void {
  if (data.length <= maxRequestBytes) return;
  const facts = { path, bytes: data.length, limit: maxRequestBytes };
  throw new RamaError("TOO_LARGE", `${path}: ${data.length} bytes, at most ${maxRequestBytes} fit into a node`, facts);
}

export function checkOps(ops: readonly MetastoreOp[]): void {
  let bytes = 0;
  for (const op of ops) {
    checkPath(op.path);
    bytes += op.path.length + ("data" in op ? op.data.length : 0);
  }
  if (bytes <= maxRequestBytes) return;
  throw new RamaError("TOO_LARGE", `a multi of ${bytes} bytes, at most ${maxRequestBytes} are allowed`, { bytes });
}

/** "/a" for "/a/b", "" for "/a". */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

export function conflict(path: string, why: string, facts: Record<string, unknown> = {}): RamaError {
  return new RamaError("METASTORE_CONFLICT", `${path}: ${why}`, { path, ...facts });
}

export function noNode(path: string): RamaError {
  return new RamaError("METASTORE_NO_NODE", `${path} is not there`, { path });
}

export function nodeExists(path: string): RamaError {
  return new RamaError("METASTORE_NODE_EXISTS", `${path} is there already`, { path });
}

export function unavailable(why: string, facts: Record<string, unknown> = {}): RamaError {
  return new RamaError("METASTORE_UNAVAILABLE", why, facts);
}
