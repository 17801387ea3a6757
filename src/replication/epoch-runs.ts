// Which leader's epoch wrote which entries of a replog, as runs: the part of a log that two replicas compare to find out how far they agree. An epoch has one
// leader, and a leader writes each offset once; so where two logs have an entry of the same epoch at the same offset, they are the same up to there.

export interface EpochRun {
  readonly epoch: number;
  /** Offset of the run's first entry; it goes up to the next run's. */
  readonly start: number;
}

export class EpochRuns {
  #runs: EpochRun[];
  #end: number;

  /** `end`: offset behind the last entry. Runs ascend in both. Below the first run nothing is known. */
  constructor(end: number, runs: readonly EpochRun[] = []) {
    this.#end = end;
    this.#runs = [...runs];
  }

  get end(): number {
    return this.#end;
  }

  get runs(): readonly EpochRun[] {
    return this.#runs;
  }

  /** Of the last entry; 0 when that is not known. */
  get lastEpoch(): number {
    return this.#runs.at(-1)?.epoch ?? 0;
  }

  append(epoch: number, count = 1): void {
    if (epoch !== this.lastEpoch || this.#runs.length === 0) this.#runs.push({ epoch, start: this.#end });
    this.#end += count;
  }

  /** Entries from `end` on are gone. */
  truncate(end: number): void {
    this.#end = Math.min(this.#end, end);
    while (this.#runs.length > 0 && this.#runs.at(-1)!.start >= this.#end) this.#runs.pop();
  }

  /** Entries below `start` need not be compared any more. */
  forget(start: number): void {
    while (this.#runs.length > 1 && this.#runs[1]!.start <= start) this.#runs.shift();
  }

  /** Epoch of the entry at `offset`; undefined where it is not known. */
  epochAt(offset: number): number | undefined {
    if (offset >= this.#end) return undefined;
    let found: number | undefined;
    for (const { epoch, start } of this.#runs) {
      if (start > offset) break;
      found = epoch;
    }
    return found;
  }
}

/**
 * How many entries the follower may keep: the logs are the same below. Entries below `agreed` (the follower has applied them, hence they are committed) are the same in
 * any case.
 */
export function commonEnd(leader: EpochRuns, follower: EpochRuns, agreed: number): number {
  let end = Math.min(leader.end, follower.end);
  while (end > agreed) {
    const [ours, theirs] = [leader.epochAt(end - 1), follower.epochAt(end - 1)];
    if (ours === undefined || theirs === undefined) return agreed;
    if (ours === theirs) return end;
    // The greater of the two epochs began behind what they share.
    end = Math.max(agreed, ours > theirs ? startOf(leader, end - 1) : startOf(follower, end - 1));
  }
  return agreed;
}

function startOf(runs: EpochRuns, offset: number): number {
  let start = 0;
  for (const run of runs.runs) if (run.start <= offset) start = run.start;
  return start;
}
