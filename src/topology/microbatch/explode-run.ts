// The records of one slice, or kept rows, on their way into a stage: one event of a phase's tree, a row at a time.
import type { CompiledSource } from "../../dataflow/compiled.ts";
import type { EventRecord } from "../../task/event.ts";
import type { Task } from "../../task/task.ts";
import type { RunTree } from "../batch/phase-tree.ts";
import type { SourceSlice } from "./slice.ts";

const readBytesMax = 256 * 1024;
const tickRecord = Uint8Array.of(0);

interface View {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Records of a remote partition are on their way. */
export const notHereYet = Symbol("records that are not here yet");

/** Records of one slice on their way, or kept rows. One event of its tree. */
export class ExplodeRun {
  #views: readonly View[] = [];
  #at = 0;
  #offset: number;
  #place: EventRecord | undefined = undefined;

  constructor(
    readonly tree: RunTree,
    readonly stage: number,
    readonly vars: readonly unknown[],
    readonly task: Task,
    readonly slice: SourceSlice | undefined,
    readonly rows: readonly (readonly unknown[])[],
    readonly decode: CompiledSource["decode"] | undefined,
  ) {
    this.#offset = slice?.next ?? 0;
  }

  /** Vars of the next row's stage; undefined at the end. */
  next(): unknown[] | undefined | typeof notHereYet {
    if (this.slice === undefined) {
      const row = this.rows[this.#at++];
      return row === undefined ? undefined : [...this.vars, ...row];
    }
    const view = this.#nextView();
    if (view === notHereYet) return notHereYet;
    if (view === undefined) return undefined;
    const decoded = this.decode!(view.bytes, view.start, view.end);
    return this.vars.length === 0 ? decoded : [...this.vars, ...decoded];
  }

  #nextView(): View | undefined | typeof notHereYet {
    const slice = this.slice!;
    const skipped = slice.skip?.offset;
    for (;;) {
      const view = this.#readView();
      if (view === undefined || view === notHereYet) return view;
      if (view.offset === skipped) slice.onPassedOver(view.bytes.slice(view.start, view.end));
      // A view of no bytes is a tombstone.
      else if (view.start < view.end) return view;
    }
  }

  #readView(): View | undefined | typeof notHereYet {
    const { isTick, end, partition, remote, letter } = this.slice!;
    if (letter !== undefined) {
      if (this.#at > 0) return undefined;
      const { offset, record } = letter;
      this.#views = [{ offset, bytes: record, start: 0, end: record.length }];
      return this.#views[this.#at++];
    }
    if (this.#at === this.#views.length) {
      // Trimmed since the slice was chosen.
      if (!isTick && this.#offset < partition.startOffset) this.#offset = partition.startOffset;
      if (this.#offset >= end) return undefined;
      let to = end;
      if (remote !== undefined) {
        to = Math.min(end, remote.log.readableTo(this.#offset));
        if (to <= this.#offset) return notHereYet;
      }
      this.#at = 0;
      this.#views = isTick
        ? [{ offset: this.#offset, bytes: tickRecord, start: 0, end: 1 }]
        : partition.read(this.#offset, to, readBytesMax);
      // Nothing but records that are gone.
      if (this.#views.length === 0) {
        this.#offset = to;
        return this.#readView();
      }
      this.#offset = this.#views[this.#views.length - 1]!.offset + 1;
    }
    return this.#views[this.#at++];
  }

  get offset(): number {
    return this.#views[this.#at - 1]?.offset ?? 0;
  }

  /** Of the last record; made once, and only where events of it go on. */
  get place(): EventRecord | undefined {
    const { slice, offset } = this;
    if (slice === undefined) return undefined;
    if (this.#place?.offset !== offset)
      this.#place = { source: slice.compiled.source, task: slice.partitionId, offset };
    return this.#place;
  }
}

export interface Explode {
  readonly task: Task;
  /** It has been told of one event. */
  readonly tree: RunTree;
  readonly stage: number;
  readonly vars: readonly unknown[];
  /** Of the topology; -1: the rows kept in `temporary`. */
  readonly source: number;
  readonly temporary: number;
  readonly decode: CompiledSource["decode"] | undefined;
}

/** What the runner that owns the task has of the source, or kept rows, goes into its queue. */
export function explodeOn(
  runner: { readonly slices: readonly SourceSlice[]; push(run: ExplodeRun): void },
  { task, tree, stage, vars, source, temporary, decode }: Explode,
): void {
  if (source < 0) {
    const rows = tree.run.kept(temporary, task.id);
    if (rows.length === 0) tree.ended();
    else runner.push(new ExplodeRun(tree, stage, vars, task, undefined, rows, undefined));
    return;
  }
  const slices = runner.slices.filter((each) => each.compiled.source === source && each.task === task && !each.isEmpty);
  if (slices.length === 0) tree.ended();
  // A task may have several partitions of a remote depot.
  for (const [i, slice] of slices.entries()) {
    if (i > 0) tree.born();
    runner.push(new ExplodeRun(tree, stage, vars, task, slice, [], decode));
  }
}
