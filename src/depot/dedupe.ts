// Appends that are sent again land once: per client of a partition, the tokens of its last appends and the offsets they got. A client sends its appends to a
// partition in order and, after trouble, all that are open once more in order, 16 batches at most; 32 are remembered.
//
// Bounded: beyond `clientsMax` the client that has been silent longest goes out. A client that is not in the table and does not begin at sequence 0 may be one of
// those and may be sending again, which only a recent one would do: it is answered APPEND_OUTCOME_UNKNOWN for as long as an evicted client's last append is
// younger than `resendMs`, and taken as new after that.
//
// On disk: one value per client, written with the flush that its appends were applied before (depot-state.ts).
//   value := version u8 (1) | last append time u48 | (sequence u48, offset u48)*          oldest first
import { latin1Of } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import { getU48, putU48 } from "./append-entry.ts";

const VALUE_VERSION = 1;
export const appendsKeptPerClient = 32;
const resendMs = 10 * 60 * 1000;

interface ClientAppends {
  readonly key: string;
  /** As it was given last, which is the same object for all appends of a connection. */
  given: Uint8Array;
  readonly client: Uint8Array;
  /** Ascending, as the offsets. */
  readonly seqs: number[];
  readonly offsets: number[];
  lastMs: number;
  dirty: boolean;
}

export class DedupeTable {
  /** In the order of last appends. */
  readonly #clients = new Map<string, ClientAppends>();
  readonly #clientsMax: number;
  /** The client of the last question or append: most often the next one's too. */
  #last: ClientAppends | undefined;
  /** The one at the end of the order. */
  #newest: ClientAppends | undefined;
  #dirty: ClientAppends[] = [];
  #evicted: Uint8Array[] = [];
  /** Last append time of the youngest client that was evicted; 0: none. */
  evictedMs = 0;

  constructor(clientsMax = 10_000) {
    this.#clientsMax = clientsMax;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** The offset that the append got when it was here before; undefined: it is new. APPEND_OUTCOME_UNKNOWN. */
  find(client: Uint8Array, seq: number, nowMs: number): number | undefined {
    const known = this.#known(client);
    if (known === undefined) {
      if (seq > 0 && this.evictedMs > 0 && nowMs - this.evictedMs < resendMs) {
        throw unknown("the client is among those whose appends are no longer remembered", seq);
      }
      return undefined;
    }
    const last = known.seqs.length - 1;
    if (seq > known.seqs[last]!) return undefined;
    for (let i = last; i >= 0; i--) if (known.seqs[i] === seq) return known.offsets[i];
    throw unknown(`the last append of the client has number ${known.seqs[last]}`, seq);
  }

  record(client: Uint8Array, seq: number, offset: number, nowMs: number): void {
    let known = this.#known(client);
    // Sent again in the log of an earlier process: already here from the Kv.
    if (known !== undefined && seq <= known.seqs.at(-1)!) return;
    known ??= newClient(client, nowMs);
    if (this.#newest !== known) {
      this.#clients.delete(known.key);
      this.#clients.set(known.key, known);
      this.#newest = known;
      this.#last = known;
    }
    known.seqs.push(seq);
    known.offsets.push(offset);
    known.lastMs = nowMs;
    if (known.seqs.length > appendsKeptPerClient) {
      known.seqs.shift();
      known.offsets.shift();
    }
    if (!known.dirty) {
      known.dirty = true;
      this.#dirty.push(known);
    }
    if (this.#clients.size > this.#clientsMax) this.#evictOldest();
  }

  /** What has changed since the last call. Only appends below `offsetMax` are in the values: the others are not applied yet and stay to be told. */
  takeChanges(offsetMax: number): { puts: { client: Uint8Array; value: Uint8Array }[]; deletes: Uint8Array[] } {
    const puts: { client: Uint8Array; value: Uint8Array }[] = [];
    const still: ClientAppends[] = [];
    for (const known of this.#dirty) {
      if (!known.dirty) continue;
      const applied = known.offsets.findLastIndex((offset) => offset < offsetMax) + 1;
      if (applied > 0) puts.push({ client: known.client, value: encodeClient(known, applied) });
      if (applied < known.offsets.length) still.push(known);
      else known.dirty = false;
    }
    const deletes = this.#evicted;
    this.#dirty = still;
    this.#evicted = [];
    return { puts, deletes };
  }

  /** From the Kv, in any order; `loaded` puts the table in order. */
  load(client: Uint8Array, value: Uint8Array): void {
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    if (value[0] !== VALUE_VERSION) throw new RamaError("STORE_CORRUPT", `tokens of unknown version ${value[0]}`);
    const known = newClient(client, getU48(view, 1));
    for (let at = 7; at + 12 <= value.length; at += 12) {
      known.seqs.push(getU48(view, at));
      known.offsets.push(getU48(view, at + 6));
    }
    this.#clients.set(known.key, known);
  }

  loaded(): void {
    const byAge = [...this.#clients].sort(([, a], [, b]) => a.lastMs - b.lastMs);
    this.#clients.clear();
    for (const [key, known] of byAge) this.#clients.set(key, known);
  }

  #known(client: Uint8Array): ClientAppends | undefined {
    if (this.#last?.given === client) return this.#last;
    const known = this.#clients.get(latin1Of(client));
    if (known === undefined) return undefined;
    known.given = client;
    this.#last = known;
    return known;
  }

  #evictOldest(): void {
    for (const [key, oldest] of this.#clients) {
      this.#clients.delete(key);
      if (this.#last === oldest) this.#last = undefined;
      this.#evicted.push(oldest.client);
      oldest.dirty = false;
      this.evictedMs = Math.max(this.evictedMs, oldest.lastMs);
      return;
    }
  }
}

function newClient(given: Uint8Array, lastMs: number): ClientAppends {
  const client = given.slice();
  return { key: latin1Of(client), given: client, client, seqs: [], offsets: [], lastMs, dirty: false };
}

function encodeClient(known: ClientAppends, count: number): Uint8Array {
  const value = new Uint8Array(7 + 12 * count);
  const view = new DataView(value.buffer);
  value[0] = VALUE_VERSION;
  putU48(view, 1, known.lastMs);
  for (let i = 0; i < count; i++) {
    putU48(view, 7 + 12 * i, known.seqs[i]!);
    putU48(view, 13 + 12 * i, known.offsets[i]!);
  }
  return value;
}

function unknown(why: string, seq: number): RamaError {
  return new RamaError("APPEND_OUTCOME_UNKNOWN", `append ${seq} may be stored already: ${why}`, { seq });
}
