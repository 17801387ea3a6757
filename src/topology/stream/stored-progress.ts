// What the store keeps of a stream topology on one engine: progress of its sources, their dead letters, marks of open trees. Read at recovery, from the Kv and then
// from the log; collected by the flush.
import { type ByteReader, ByteWriter } from "../../base/value-bytes.ts";
import type { ProgressOwner } from "../../task/topology-runtime.ts";
import { readMarks } from "./applied-marks.ts";
import type { StreamRunner } from "./batch.ts";
import { LaterLetters } from "../later-letters.ts";
import type { RemoteSources } from "../remote/remote-sources.ts";
import { LoadedProgress } from "./loaded-progress.ts";
import { encodeState } from "./progress.ts";
import type { SourceLetters } from "./source-letters.ts";
import type { SourcePartition } from "./source.ts";

export class StoredProgress implements ProgressOwner {
  /** Until the sources begin. */
  readonly loaded: LoadedProgress;
  readonly #lettersLater = new LaterLetters();

  constructor(
    readonly topology: string,
    /** Stable number of the topology's name in the store. */
    readonly id: number,
    readonly sources: readonly SourcePartition[],
    readonly runners: ReadonlyMap<number, StreamRunner>,
    readonly remotes: Pick<RemoteSources, "has" | "hasLetters">,
  ) {
    this.loaded = new LoadedProgress(topology);
  }

  #find(sourceId: number, partition: number): SourcePartition | undefined {
    return this.sources.find((source) => source.id === sourceId && source.partitionId === partition);
  }

  #lettersOf(id: number, partition: number): SourceLetters | undefined {
    return this.sources.find((source) => source.letters.id === id && source.partitionId === partition)?.letters;
  }

  /** A remote source has come, and has not begun. */
  entered({ letters }: SourcePartition): void {
    this.#lettersLater.hand(letters);
  }

  loadProgress(sourceId: number, partition: number, state: Uint8Array): void {
    const letters = this.#lettersOf(sourceId, partition);
    if (letters !== undefined) letters.load(state);
    else if (this.remotes.hasLetters(sourceId)) this.#lettersLater.load(sourceId, partition, state);
    if (this.#find(sourceId, partition) !== undefined || this.remotes.has(sourceId))
      this.loaded.load(sourceId, partition, state);
  }

  replayProgress(sourceId: number, partition: number, reader: ByteReader, whole: boolean): void {
    const letters = this.#lettersOf(sourceId, partition);
    if (letters !== undefined) letters.replay(reader);
    else if (this.remotes.hasLetters(sourceId)) this.#lettersLater.replay(sourceId, partition, reader);
    const source = this.#find(sourceId, partition);
    if (source === undefined && !this.remotes.has(sourceId)) return;
    if (source !== undefined) source.dirty = true;
    this.loaded.replay(sourceId, partition, reader, whole);
  }

  collectProgress(group: number): { readonly sourceId: number; readonly task: number; readonly state: Uint8Array }[] {
    const changed = [...this.loaded.takeChanged(), ...this.#lettersLater.takeChanged()];
    for (const source of this.sources) {
      if (source.task.group !== group) continue;
      const { letters } = source;
      if (letters.dirty) changed.push(letters.takeState());
      if (!source.dirty) continue;
      source.dirty = false;
      // What was loaded and has not begun is told above.
      if (this.loaded.has(source.id, source.partitionId)) continue;
      changed.push({ sourceId: source.id, task: source.partitionId, state: encodeState(source.durable) });
    }
    return changed;
  }

  progressLost(): void {
    this.loaded.lost();
    this.#lettersLater.lost();
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
