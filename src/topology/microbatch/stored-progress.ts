// What the store keeps of a microbatch topology on one engine: how far its groups and slices are, their dead letters. Read at recovery, from the Kv and then from
// the log; collected by the flush.
import type { ByteReader } from "../../base/value-bytes.ts";
import type { ProgressOwner } from "../../task/topology-runtime.ts";
import { decodeGroup } from "./progress.ts";
import type { MicrobatchRunner } from "./runner.ts";
import type { SourceSlice } from "./slice.ts";
import type { SliceLetters } from "./slice-letters.ts";

export class StoredProgress implements ProgressOwner {
  /** Until the slices begin. */
  readonly loaded = new Map<SourceSlice, Uint8Array>();

  constructor(
    /** Stable number of the topology's name in the store. */
    readonly id: number,
    readonly runners: ReadonlyMap<number, MicrobatchRunner>,
    readonly slices: readonly SourceSlice[],
  ) {}

  #lettersOf(id: number, task: number): SliceLetters | undefined {
    return this.slices.find(({ letters }) => letters.id === id && letters.task === task)?.letters;
  }

  loadProgress(sourceId: number, task: number, state: Uint8Array): void {
    if (sourceId === this.id) {
      const runner = this.runners.get(task);
      if (runner !== undefined) runner.durable = runner.state = decodeGroup(state);
      return;
    }
    this.#lettersOf(sourceId, task)?.load(state);
    const slice = this.slices.find((each) => each.id === sourceId && each.task.id === task);
    if (slice !== undefined) this.loaded.set(slice, state);
  }

  replayProgress(sourceId: number, task: number, reader: ByteReader, whole: boolean): void {
    if (!whole) {
      this.#lettersOf(sourceId, task)?.replay(reader);
      return;
    }
    const state = reader.bytes.slice(reader.pos, reader.end);
    this.loadProgress(sourceId, task, state);
    const runner = this.runners.get(task);
    if (sourceId === this.id && runner !== undefined) runner.dirty = true;
    for (const slice of this.slices) if (slice.id === sourceId && slice.task.id === task) slice.dirty = true;
  }

  collectProgress(group: number): { sourceId: number; task: number; state: Uint8Array }[] {
    const runner = this.runners.get(group);
    return runner === undefined ? [] : runner.collectProgress();
  }

  progressLost(): void {
    for (const runner of this.runners.values()) runner.dirty = true;
    for (const slice of this.slices) slice.dirty = slice.letters.dirty = true;
  }
}
