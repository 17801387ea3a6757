// Who leads: a candidate that holds an ephemeral node leads, until that node is lost. Each leadership has an epoch of its own, greater than all before it,
// kept in a persistent node beside: whoever writes for the leader makes its writes conditional on the epoch, so that a leader which was paused and does not
// know yet that it leads no more changes nothing. Time decides nothing here.
//
// The epoch is taken after the ephemeral node, never before: two candidates could otherwise lead in the wrong order of their epochs.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Metastore } from "./metastore.ts";

export interface ElectionOptions {
  /** Of the ephemeral node. */
  readonly path: string;
  /** Of the node that keeps the last epoch, as decimal text. Its version grows with each leadership. */
  readonly epochPath: string;
  /** Content of the ephemeral node: says who leads and where. Must differ between candidates. */
  readonly record: Uint8Array;
}

export interface Leadership {
  readonly epoch: number;
  /** Version of the node at `epochPath` during this leadership: for the `check` of a `multi`. */
  readonly epochVersion: number;
  /** Aborts when leadership is lost, or `stop` of `lead` was asked for. */
  readonly signal: AbortSignal;
}

const retryMs = 200;

/**
 * Stands for election again and again until `stop` aborts. Whenever this candidate leads, `lead` is called; it should return soon after its signal has
 * aborted, and only then the candidate stands again. When `lead` returns on its own, the office is given up and stood for again.
 */
export async function standForElection(
  env: Env,
  metastore: Metastore,
  options: ElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    try {
      await untilVacant(metastore, options, stop);
      if (!stop.aborted) await tryToLead(metastore, options, lead, stop);
    } catch (error) {
      if (!(error instanceof RamaError && error.retryable)) throw error;
      env.log.warn("an election is repeated", { path: options.path, error });
      await env.sleep(retryMs, stop);
    }
  }
}

/** The record of who leads now; undefined when nobody does. */
export async function leaderRecord(
  metastore: Metastore,
  options: { readonly path: string },
): Promise<Uint8Array | undefined> {
  return (await metastore.get(options.path))?.data;
}

/** Returns when the office is vacant, or held by us (a create whose answer was lost, a renewed session). */
async function untilVacant(metastore: Metastore, options: ElectionOptions, stop: AbortSignal): Promise<void> {
  for await (const node of metastore.watch(options.path, stop)) {
    if (node === undefined || sameBytes(node.data, options.record)) return;
  }
}

async function tryToLead(
  metastore: Metastore,
  options: ElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const lost = new AbortController();
  const signal = AbortSignal.any([stop, lost.signal]);
  const forget = metastore.onSession((event) => {
    if (event === "renewed") lost.abort();
  });
  try {
    if (!(await takeOffice(metastore, options))) return;
    const epoch = await nextEpoch(metastore, options.epochPath);
    if (signal.aborted) return;
    const watching = untilTaken(metastore, options, signal).then(() => lost.abort());
    try {
      await lead({ ...epoch, signal });
    } finally {
      lost.abort();
      await watching;
      await leaveOffice(metastore, options);
    }
  } finally {
    forget();
  }
}

async function takeOffice(metastore: Metastore, options: ElectionOptions): Promise<boolean> {
  try {
    await metastore.create(options.path, options.record, { ephemeral: true });
    return true;
  } catch (error) {
    if (!(error instanceof RamaError && error.code === "METASTORE_NODE_EXISTS")) throw error;
  }
  const node = await metastore.get(options.path);
  return node !== undefined && sameBytes(node.data, options.record);
}

/** One more than any epoch before. */
async function nextEpoch(metastore: Metastore, path: string): Promise<{ epoch: number; epochVersion: number }> {
  for (;;) {
    const node = await metastore.get(path);
    if (node === undefined) {
      await metastore.create(path, encode(0)).catch(unlessCode("METASTORE_NODE_EXISTS"));
      continue;
    }
    const epoch = Number(new TextDecoder().decode(node.data)) + 1;
    const epochVersion = await metastore.set(path, encode(epoch), node.version).catch(unlessCode("METASTORE_CONFLICT"));
    if (epochVersion !== undefined) return { epoch, epochVersion };
  }
}

/** Returns when the node is not ours any more. */
async function untilTaken(metastore: Metastore, options: ElectionOptions, signal: AbortSignal): Promise<void> {
  for await (const node of metastore.watch(options.path, signal)) {
    if (node === undefined || !sameBytes(node.data, options.record)) return;
  }
}

/** Removes our node, so that the next one need not wait for the session's timeout. */
async function leaveOffice(metastore: Metastore, options: ElectionOptions): Promise<void> {
  try {
    const node = await metastore.get(options.path);
    if (node !== undefined && sameBytes(node.data, options.record)) await metastore.remove(options.path, node.version);
  } catch (error) {
    // A session that has ended, or a node that somebody else has replaced: either way it is not ours to remove.
    if (!(error instanceof RamaError)) throw error;
  }
}

function unlessCode(code: string): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof RamaError && error.code === code) return undefined;
    throw error;
  };
}

function encode(epoch: number): Uint8Array {
  return new TextEncoder().encode(String(epoch));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
