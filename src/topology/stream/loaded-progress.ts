// What the store knew of a stream topology's progress, between recovery and the beginning of each source: those of remote partitions begin later than others.
import { RamaError } from "../../base/errors.ts";
import type { ByteReader } from "../../base/value-bytes.ts";
import { applyDelta, decodeState, type ProgressState } from "./progress.ts";

export class LoadedProgress {
  readonly #topology: string;
  /** By source, then partition. */
  readonly #states = new Map<number, Map<number, ProgressState>>();

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

  take(source: number, partition: number): ProgressState | undefined {
    const state = this.#states.get(source)?.get(partition);
    this.#states.get(source)?.delete(partition);
    return state;
  }
}
