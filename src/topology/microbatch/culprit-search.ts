// Which record makes a microbatch fail? When the same microbatch has failed often enough, it is tried with the first half of its records; a half that succeeds is committed,
// one that fails is halved, down to the one record that fails alone. That record is then left out of an attempt: when this one succeeds the record is set aside in its
// commit, when it fails, too, the record is not to blame. Each step is an ordinary attempt, so nothing is visible of one that failed. Pure; kept in memory only: a
// restarted coordinator begins anew.
//
// Example: records 0 … 7, 5 is bad: 0-7 fails, 0-3 is committed, 4-5 fails, 4 is committed, 5 fails alone as often as its source says, is left out; 6-7 is committed.

/** Records [from, to) of one source in one depot partition. */
export interface Span {
  /** Index of the source in the topology. */
  readonly source: number;
  readonly task: number;
  readonly from: number;
  readonly to: number;
}

export interface Suspect {
  readonly source: number;
  readonly task: number;
  readonly offset: number;
}

export interface SearchPlan {
  /** Records of the next attempt; all others wait. */
  readonly spans: readonly Span[];
  /** Passed over, to be set aside. */
  readonly skip: Suspect | undefined;
}

/** Without dead letters the search only finds the record to name, and only where the error does not tell. */
const searchAfter = 5;

export class CulpritSearch {
  readonly #failuresOf: (source: number) => number;
  /** Suspects in order; empty: no search. */
  #spans: readonly Span[] = [];
  /** So many of the first ones go into the next attempt. 1 ≤ take ≤ bad. */
  #take = 0;
  /** So many of the first ones are known to fail together, or have not been tried. */
  #bad = 0;
  /** Failures of the first one alone. */
  #alone = 0;
  #skips = false;
  /** Leaving the record out did not help: no further search before a microbatch succeeds. */
  #isHopeless = false;
  #hint: Suspect | undefined = undefined;

  /** `failuresOf`: after how many failures a record of the source is set aside; 0: never. */
  constructor(failuresOf: (source: number) => number) {
    this.#failuresOf = failuresOf;
  }

  /** undefined: the next attempt takes what it finds. */
  get plan(): SearchPlan | undefined {
    if (this.#spans.length === 0) return undefined;
    return { spans: firstOf(this.#spans, this.#take), skip: this.#skips ? this.alone : undefined };
  }

  /** The record that is tried alone. */
  get alone(): Suspect | undefined {
    const [span] = this.#spans;
    if (span === undefined || this.#take !== 1) return undefined;
    return { source: span.source, task: span.task, offset: span.from };
  }

  /** An attempt has failed in user code, the present microbatch so many times in a row. `hint`: the record, where the error tells. True: try the new plan at once. */
  failed(tried: readonly Span[], failures: number, hint: Suspect | undefined): boolean {
    if (this.#isHopeless) return false;
    if (this.#spans.length === 0) return this.#begin(tried, failures, hint);
    if (this.#skips) {
      this.#end();
      this.#isHopeless = true;
      return false;
    }
    if (this.#take > 1) return this.#narrow(hint);
    this.#alone++;
    return this.#mayskip();
  }

  #begin(tried: readonly Span[], failures: number, hint: Suspect | undefined): boolean {
    const total = sizeOf(tried);
    const limits = tried.map(({ source }) => this.#failuresOf(source)).filter((limit) => limit > 0);
    const limit = limits.length > 0 ? Math.min(...limits) : hint === undefined ? searchAfter : Number.POSITIVE_INFINITY;
    if (total === 0 || failures < limit) return false;
    this.#spans = tried.filter(({ from, to }) => from < to);
    this.#take = this.#bad = total;
    if (total > 1) return this.#narrow(hint);
    this.#alone = failures;
    return this.#mayskip();
  }

  #narrow(hint: Suspect | undefined): boolean {
    this.#bad = this.#take;
    this.#alone = 0;
    this.#hint = hint;
    this.#choose();
    return true;
  }

  /** The half of what is bad; where the record is known, what comes before it, then the record. */
  #choose(): void {
    const at = this.#hint === undefined ? -1 : positionOf(this.#spans, this.#hint);
    const isKnown = at >= 0 && at < this.#bad;
    this.#take = Math.max(1, isKnown ? at : this.#bad >> 1);
  }

  #mayskip(): boolean {
    const limit = this.#failuresOf(this.alone!.source);
    if (limit === 0 || this.#alone < limit) return false;
    this.#skips = true;
    return true;
  }

  /** The attempt has been committed. */
  committed(): void {
    this.#isHopeless = false;
    if (this.#spans.length === 0) return;
    const left = sizeOf(this.#spans) - this.#take;
    this.#spans = behindFirst(this.#spans, this.#take);
    // What comes after the culprit has not been tried without it: all of it, first.
    this.#bad = this.#skips ? left : this.#bad - this.#take;
    const isWhole = this.#skips || this.#bad === 0;
    if (isWhole) this.#bad = left;
    this.#skips = false;
    this.#alone = 0;
    if (left === 0) this.#end();
    else if (isWhole) this.#take = left;
    else this.#choose();
  }

  #end(): void {
    this.#spans = [];
    this.#take = this.#bad = this.#alone = 0;
    this.#skips = false;
    this.#hint = undefined;
  }
}

function sizeOf(spans: readonly Span[]): number {
  return spans.reduce((sum, { from, to }) => sum + to - from, 0);
}

function firstOf(spans: readonly Span[], count: number): Span[] {
  const first: Span[] = [];
  let left = count;
  for (const span of spans) {
    const size = Math.min(left, span.to - span.from);
    if (size > 0) first.push({ ...span, to: span.from + size });
    left -= size;
  }
  return first;
}

function behindFirst(spans: readonly Span[], count: number): Span[] {
  const rest: Span[] = [];
  let left = count;
  for (const span of spans) {
    const size = Math.min(left, span.to - span.from);
    left -= size;
    if (span.from + size < span.to) rest.push({ ...span, from: span.from + size });
  }
  return rest;
}

/** -1: not among them. */
function positionOf(spans: readonly Span[], { source, task, offset }: Suspect): number {
  let before = 0;
  for (const span of spans) {
    if (span.source === source && span.task === task && offset >= span.from && offset < span.to)
      return before + offset - span.from;
    before += span.to - span.from;
  }
  return -1;
}
