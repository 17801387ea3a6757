// What the store keeps of a stream topology on one engine: progress of its sources, their dead letters, marks of open trees. Read at recovery, from the Kv and then
// from the log; collected by the flush.
import { RamaError } from "../../base/errors.ts";
import { type ByteReader, ByteWriter } from "../../base/value-bytes.ts";
import type { ProgressOwner } from "../../task/topology-runtime.ts";
import { readMarks } from "./applied-marks.ts";
import type { StreamRunner } from "./batch.ts";
import { applyDelta, decodeState, encodeState, type ProgressState } from "./progress.ts";
import type { SourceLetters } from "./source-letters.ts";
import type { SourcePartition } from "./source.ts";

export class StoredProgress implements ProgressOwner {
  /** Until the sources begin. */
  readonly loaded = new Map<SourcePartition, ProgressState>();

  constructor(
    readonly topology: string,
    /** Stable number of the topology's name in the store. */
    readonly id: number,
    readonly sources: readonly SourcePartition[],
    readonly runners: ReadonlyMap<number, StreamRunner>,
  ) {}

  #find(sourceId: number, task: number): SourcePartition | undefined {
    return this.sources.find((source) => source.id === sourceId && source.task.id === task);
  }

  #lettersOf(id: number, task: number): SourceLetters | undefined {
    return this.sources.find((source) => source.letters.id === id && source.task.id === task)?.letters;
  }

  loadProgress(sourceId: number, task: number, state: Uint8Array): void {
    this.#lettersOf(sourceId, task)?.load(state);
    const source = this.#find(sourceId, task);
    if (source !== undefined) this.loaded.set(source, decodeState(state));
  }

  replayProgress(sourceId: number, task: number, reader: ByteReader, whole: boolean): void {
    this.#lettersOf(sourceId, task)?.replay(reader);
    const source = this.#find(sourceId, task);
    if (source === undefined) return;
    source.dirty = true;
    if (whole) {
      this.loaded.set(source, decodeState(reader.bytes.subarray(reader.pos, reader.end)));
      return;
    }
    const state = this.loaded.get(source);
    if (state === undefined)
      throw new RamaError("STORE_CORRUPT", `progress of ${this.topology} on task ${task} has no beginning`);
    applyDelta(state, reader);
  }

  collectProgress(group: number): { readonly sourceId: number; readonly task: number; readonly state: Uint8Array }[] {
    const changed: { sourceId: number; task: number; state: Uint8Array }[] = [];
    for (const source of this.sources) {
      if (source.task.group !== group) continue;
      const { letters } = source;
      if (letters.dirty) changed.push(letters.takeState());
      if (!source.dirty) continue;
      source.dirty = false;
      changed.push({ sourceId: source.id, task: source.task.id, state: encodeState(source.durable) });
    }
    return changed;
  }

  progressLost(): void {
    for (const source of this.sources) source.dirty = source.letters.dirty = true;
    for (const runner of this.runners.values()) runner.marks.dirty = true;
  }

  loadMarks(topologyId: number, group: number, marks: ByteReader): void {
    if (topologyId === this.id) this.runners.get(group)?.marks.apply(readMarks(marks));
  }

  collectMarks(group: number): { readonly topologyId: number; readonly marks: Uint8Array } | undefined {
    const runner = this.runners.get(group);
    if (!runner?.marks.dirty) return undefined;
    runner.marks.dirty = false;
    const writer = new ByteWriter(1024);
    runner.marks.encode(writer);
    return { topologyId: this.id, marks: writer.take() };
  }
}
