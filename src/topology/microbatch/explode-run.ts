// The records of one slice, or kept rows, on their way into a stage: one event of a phase's tree, a row at a time.
import { u32At } from "../../base/bytes.ts";
import type { CompiledSource } from "../../dataflow/compiled.ts";
import type { RecordRun } from "../../depot/segment-blocks.ts";
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

/** The next records are those of `#run`. */
const inRun = Symbol("records of a run");

/** Records of one slice on their way, or kept rows. One event of its tree. */
export class ExplodeRun {
  #views: readonly View[] = [];
  #at = 0;
  /** Of the last record. */
  #last = 0;
  /** Where the next records are read. */
  #offset: number;
  /** Records that lie in memory behind each other, up to `#runEnd`; the next one's length stands at `#runAt`. */
  #run: RecordRun | undefined = undefined;
  #runAt = 0;
  #runEnd = 0;
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

  /** Vars of the next row's stage; undefined at the end, then again. */
  next(): unknown[] | undefined | typeof notHereYet {
    if (this.slice === undefined) {
      const row = this.rows[this.#at++];
      return row === undefined ? undefined : [...this.vars, ...row];
    }
    for (;;) {
      const run = this.#run;
      if (run === undefined) {
        const view = this.#readView();
        if (view === undefined || view === notHereYet) return view;
        if (view === inRun) continue;
        this.#last = view.offset;
        if (this.#runs(view.bytes, view.start, view.end)) return this.#varsOf(view.bytes, view.start, view.end);
        continue;
      }
      const { bytes } = run;
      const start = this.#runAt + 4;
      const end = start + u32At(bytes, this.#runAt);
      this.#last = this.#offset++;
      this.#runAt = end;
      if (this.#offset === this.#runEnd) this.#run = undefined;
      if (this.#runs(bytes, start, end)) return this.#varsOf(bytes, start, end);
    }
  }

  /** A record of no bytes is a tombstone; one is left out. */
  #runs(bytes: Uint8Array, start: number, end: number): boolean {
    const slice = this.slice!;
    if (slice.skip === undefined || slice.skip.offset !== this.#last) return start < end;
    slice.onPassedOver(bytes.slice(start, end));
    return false;
  }

  #varsOf(bytes: Uint8Array, start: number, end: number): unknown[] {
    const decoded = this.decode!(bytes, start, end);
    return this.vars.length === 0 ? decoded : [...this.vars, ...decoded];
  }

  #readView(): View | undefined | typeof notHereYet | typeof inRun {
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
      if (this.#enterRun(end)) return inRun;
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

  /** Records of the own module that are in memory need no view each. */
  #enterRun(end: number): boolean {
    const { isTick, depot, remote, task } = this.slice!;
    if (isTick || remote !== undefined) return false;
    const run = task.depots[depot.index]!.runAt(this.#offset);
    if (run === undefined) return false;
    let at = run.start;
    for (let offset = run.offset; offset < this.#offset; offset++) at += 4 + u32At(run.bytes, at);
    this.#run = run;
    this.#runAt = at;
    this.#runEnd = Math.min(end, run.offset + run.count);
    return true;
  }

  get offset(): number {
    return this.#last;
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
