// What the store keeps of a microbatch topology on one engine: how far its groups and slices are, their dead letters. Read at recovery, from the Kv and then from
// the log; collected by the flush.
import type { ByteReader } from "../../base/value-bytes.ts";
import type { ProgressOwner } from "../../task/topology-runtime.ts";
import { LaterLetters } from "../later-letters.ts";
import type { RemoteSources } from "../remote/remote-sources.ts";
import { decodeGroup, decodeSlice, type SliceState } from "./progress.ts";
import type { MicrobatchRunner } from "./runner.ts";
import type { SourceSlice } from "./slice.ts";
import type { SliceLetters } from "./slice-letters.ts";

export class StoredProgress implements ProgressOwner {
  /** Until their slices begin: by source, then partition. */
  readonly #loaded = new Map<number, Map<number, Uint8Array>>();
  /** Of those, what the Kv does not have: a replica that follows begins none. */
  readonly #changed = new Map<string, { readonly sourceId: number; readonly task: number }>();
  readonly #lettersLater = new LaterLetters();

  constructor(
    /** Stable number of the topology's name in the store. */
    readonly id: number,
    readonly runners: ReadonlyMap<number, MicrobatchRunner>,
    readonly slices: readonly SourceSlice[],
    readonly remotes: Pick<RemoteSources, "has" | "hasLetters">,
  ) {}

  #lettersOf(id: number, partition: number): SliceLetters | undefined {
    return this.slices.find((slice) => slice.letters.id === id && slice.partitionId === partition)?.letters;
  }

  /** A remote source has come, and has not begun. */
  entered({ letters }: SourceSlice): void {
    this.#lettersLater.hand(letters);
  }

  loadProgress(sourceId: number, partition: number, state: Uint8Array): void {
    if (sourceId === this.id) {
      const runner = this.runners.get(partition);
      if (runner !== undefined) runner.durable = runner.state = decodeGroup(state);
      return;
    }
    const letters = this.#lettersOf(sourceId, partition);
    if (letters !== undefined) letters.load(state);
    else if (this.remotes.hasLetters(sourceId)) this.#lettersLater.load(sourceId, partition, state);
    const known = this.slices.some((each) => each.id === sourceId && each.partitionId === partition);
    if (!known && !this.remotes.has(sourceId)) return;
    const states = this.#loaded.get(sourceId);
    if (states === undefined) this.#loaded.set(sourceId, new Map([[partition, state]]));
    else states.set(partition, state);
  }

  replayProgress(sourceId: number, partition: number, reader: ByteReader, whole: boolean): void {
    if (!whole) {
      const letters = this.#lettersOf(sourceId, partition);
      if (letters !== undefined) letters.replay(reader);
      else if (this.remotes.hasLetters(sourceId)) this.#lettersLater.replay(sourceId, partition, reader);
      return;
    }
    this.loadProgress(sourceId, partition, reader.bytes.slice(reader.pos, reader.end));
    if (sourceId !== this.id) this.#changed.set(`${sourceId}/${partition}`, { sourceId, task: partition });
    const runner = this.runners.get(partition);
    if (sourceId === this.id && runner !== undefined) runner.dirty = true;
    for (const slice of this.slices) if (slice.id === sourceId && slice.partitionId === partition) slice.dirty = true;
  }

  /** Partitions with progress whose slices have not begun. */
  partitions(sourceId: number): number[] {
    return [...(this.#loaded.get(sourceId)?.keys() ?? [])];
  }

  take({ id, partitionId }: SourceSlice): SliceState | undefined {
    const states = this.#loaded.get(id);
    const state = states?.get(partitionId);
    states?.delete(partitionId);
    return state === undefined ? undefined : decodeSlice(state);
  }

  collectProgress(group: number): { sourceId: number; task: number; state: Uint8Array }[] {
    const runner = this.runners.get(group);
    const changed = [...this.#changed.values()].flatMap((at) => {
      const state = this.#loaded.get(at.sourceId)?.get(at.task);
      return state === undefined ? [] : [{ ...at, state }];
    });
    this.#changed.clear();
    changed.push(...this.#lettersLater.takeChanged());
    return runner === undefined ? changed : [...changed, ...runner.collectProgress(this.#hasBegun)];
  }

  readonly #hasBegun = ({ id, partitionId }: SourceSlice): boolean => this.#loaded.get(id)?.has(partitionId) !== true;

  progressLost(): void {
    this.#lettersLater.lost();
    for (const [sourceId, states] of this.#loaded)
      for (const task of states.keys()) this.#changed.set(`${sourceId}/${task}`, { sourceId, task });
    for (const runner of this.runners.values()) runner.dirty = true;
    for (const slice of this.slices) slice.dirty = slice.letters.dirty = true;
  }
}
