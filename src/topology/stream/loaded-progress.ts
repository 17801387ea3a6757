// What the store knew of a stream topology's progress, between recovery and the beginning of each source: those of remote partitions begin later than others.
import { RamaError } from "../../base/errors.ts";
import type { ByteReader } from "../../base/value-bytes.ts";
import { applyDelta, decodeState, encodeState, type ProgressState } from "./progress.ts";

export class LoadedProgress {
  readonly #topology: string;
  /** By source, then partition. */
  readonly #states = new Map<number, Map<number, ProgressState>>();

  /** Told by the log since the last `takeChanged`: the Kv does not have that. */
  readonly #changed = new Map<string, { readonly source: number; readonly partition: number }>();

  constructor(topology: string) {
    this.#topology = topology;
  }

  load(source: number, partition: number, state: Uint8Array): void {
    const states = this.#states.get(source);
    if (states === undefined) this.#states.set(source, new Map([[partition, decodeState(state)]]));
    else states.set(partition, decodeState(state));
  }

  /** From the log, in order. */
  replay(source: number, partition: number, reader: ByteReader, whole: boolean): void {
    this.#changed.set(`${source}/${partition}`, { source, partition });
    if (whole) {
      this.load(source, partition, reader.bytes.subarray(reader.pos, reader.end));
      return;
    }
    const state = this.#states.get(source)?.get(partition);
    if (state === undefined) {
      const message = `progress of ${this.#topology} in partition ${partition} has no beginning`;
      throw new RamaError("STORE_CORRUPT", message);
    }
    applyDelta(state, reader);
  }

  partitions(source: number): number[] {
    return [...(this.#states.get(source)?.keys() ?? [])];
  }

  /** What the Kv should hold of sources that have not begun: a replica that follows begins none. */
  takeChanged(): { readonly sourceId: number; readonly task: number; readonly state: Uint8Array }[] {
    if (this.#changed.size === 0) return [];
    const changed = [...this.#changed.values()].flatMap(({ source, partition }) => {
      const state = this.#states.get(source)?.get(partition);
      return state === undefined ? [] : [{ sourceId: source, task: partition, state: encodeState(state) }];
    });
    this.#changed.clear();
    return changed;
  }

  /** The flush was not written. */
  lost(): void {
    for (const [source, partitions] of this.#states)
      for (const partition of partitions.keys()) this.#changed.set(`${source}/${partition}`, { source, partition });
  }

  has(source: number, partition: number): boolean {
    return this.#states.get(source)?.has(partition) === true;
  }

  take(source: number, partition: number): ProgressState | undefined {
    const state = this.#states.get(source)?.get(partition);
    this.#states.get(source)?.delete(partition);
    return state;
  }
}
