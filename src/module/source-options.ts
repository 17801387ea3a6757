// Options of a topology's source. Static methods start them, chained ones refine; literals with the methods' names do as well:
// `{ retryNone: true, sourceId: "b", startFromOffsetAgo: [10, "RECORDS"] }`.
import { RamaError } from "../base/errors.ts";
import type { SourceDefinition, StartFrom } from "./definition.ts";

const unitMs = {
  MILLIS: 1,
  SECONDS: 1000,
  MINUTES: 60_000,
  HOURS: 3_600_000,
  DAYS: 86_400_000,
  WEEKS: 604_800_000,
  MONTHS: 2_629_746_000,
  YEARS: 31_556_952_000,
};

export type OffsetAgoUnit = "RECORDS" | keyof typeof unitMs;

/** Units of `startFromOffsetAgo`. Months and years are mean ones. */
export const OffsetAgo = Object.freeze({
  RECORDS: "RECORDS",
  MILLIS: "MILLIS",
  SECONDS: "SECONDS",
  MINUTES: "MINUTES",
  HOURS: "HOURS",
  DAYS: "DAYS",
  WEEKS: "WEEKS",
  MONTHS: "MONTHS",
  YEARS: "YEARS",
} as const);

/** Options as a literal: what the methods of that name take, `true` for those that take nothing. */
export interface SourceLiteral {
  readonly startFromBeginning?: boolean;
  readonly startFromOffsetAfterTimestamp?: number | bigint;
  readonly startFromOffsetAgo?: readonly [amount: number | bigint, unit: OffsetAgoUnit];
  readonly sourceId?: string;
  readonly deadLetterAfter?: number;
}
export interface StreamSourceLiteral extends SourceLiteral {
  readonly retryIndividual?: boolean;
  readonly retryAllAfter?: boolean;
  readonly retryNone?: boolean;
  readonly ackReturnAgg?: unknown;
}

interface SourceSettings {
  readonly startFrom?: StartFrom;
  readonly sourceId?: string;
  readonly deadLetterAfter?: number;
  readonly retry?: SourceDefinition["retry"];
  readonly ackReturnAgg?: unknown;
}

abstract class SourceOptions {
  readonly settings: SourceSettings;

  protected constructor(settings: SourceSettings) {
    this.settings = Object.freeze(settings);
    Object.freeze(this);
  }

  protected abstract changed(settings: SourceSettings): this;

  protected change(settings: SourceSettings): this {
    return this.changed({ ...this.settings, ...settings });
  }

  /** From the first available record, when the source sees the partition for the first time. Default: the end at launch. */
  startFromBeginning(): this {
    return this.change({ startFrom: { kind: "beginning" } });
  }

  /** From the first record appended after that time (epoch milliseconds). */
  startFromOffsetAfterTimestamp(epochMs: number | bigint): this {
    return this.change({ startFrom: { kind: "afterTimestamp", epochMs: Number(epochMs) } });
  }

  /** From so many records, or so much time, before the end. */
  startFromOffsetAgo(amount: number | bigint, unit: OffsetAgoUnit): this {
    const number = Number(amount);
    if (!Number.isFinite(number) || number < 0)
      throw new RamaError("BAD_MODULE", `startFromOffsetAgo takes an amount from 0 on, not ${amount}`);
    if (unit === "RECORDS") return this.change({ startFrom: { kind: "ago", amount: number, unit } });
    if (!Object.hasOwn(unitMs, unit))
      throw new RamaError("BAD_MODULE", `startFromOffsetAgo takes a unit of OffsetAgo, not ${String(unit)}`);
    return this.change({ startFrom: { kind: "ago", amount: number * unitMs[unit], unit: "MILLIS" } });
  }

  /** Distinguishes further sources of one depot in one topology. */
  sourceId(id: string): this {
    return this.change({ sourceId: id });
  }

  /**
   * A record that has failed `failures` times is set aside as a dead letter, with its error, and the others go on; `rama deadLetters` lists, retries and drops them.
   * Default: never. Example: `StreamSourceOptions.deadLetterAfter(5)`.
   */
  deadLetterAfter(failures: number): this {
    if (!Number.isInteger(failures) || failures < 1)
      throw new RamaError("BAD_MODULE", `deadLetterAfter takes a number of failures from 1 on, not ${failures}`);
    return this.change({ deadLetterAfter: failures });
  }
}

export class StreamSourceOptions extends SourceOptions {
  protected override changed(settings: SourceSettings): this {
    return new StreamSourceOptions(settings) as this;
  }

  /** A failed record is processed again by itself. The default. */
  retryIndividual(): this {
    return this.change({ retry: "individual" });
  }
  /** A failed record and all later ones of its partition are processed again, in order. */
  retryAllAfter(): this {
    return this.change({ retry: "allAfter" });
  }
  /** A failed record is never processed again: at most once. */
  retryNone(): this {
    return this.change({ retry: "none" });
  }
  /** How several `ackReturn`s of one record become one value; default: the last. `Agg.sum`, or a combiner or accumulator object. */
  ackReturnAgg(agg: unknown): this {
    return this.change({ ackReturnAgg: agg });
  }

  static retryIndividual(): StreamSourceOptions {
    return stream.retryIndividual();
  }
  static retryAllAfter(): StreamSourceOptions {
    return stream.retryAllAfter();
  }
  static retryNone(): StreamSourceOptions {
    return stream.retryNone();
  }
  static ackReturnAgg(agg: unknown): StreamSourceOptions {
    return stream.ackReturnAgg(agg);
  }
  static startFromBeginning(): StreamSourceOptions {
    return stream.startFromBeginning();
  }
  static startFromOffsetAfterTimestamp(epochMs: number | bigint): StreamSourceOptions {
    return stream.startFromOffsetAfterTimestamp(epochMs);
  }
  static startFromOffsetAgo(amount: number | bigint, unit: OffsetAgoUnit): StreamSourceOptions {
    return stream.startFromOffsetAgo(amount, unit);
  }
  static sourceId(id: string): StreamSourceOptions {
    return stream.sourceId(id);
  }
  static deadLetterAfter(failures: number): StreamSourceOptions {
    return stream.deadLetterAfter(failures);
  }
  static none(): StreamSourceOptions {
    return new StreamSourceOptions({});
  }
}

export class MicrobatchSourceOptions extends SourceOptions {
  protected override changed(settings: SourceSettings): this {
    return new MicrobatchSourceOptions(settings) as this;
  }

  static startFromBeginning(): MicrobatchSourceOptions {
    return microbatch.startFromBeginning();
  }
  static startFromOffsetAfterTimestamp(epochMs: number | bigint): MicrobatchSourceOptions {
    return microbatch.startFromOffsetAfterTimestamp(epochMs);
  }
  static startFromOffsetAgo(amount: number | bigint, unit: OffsetAgoUnit): MicrobatchSourceOptions {
    return microbatch.startFromOffsetAgo(amount, unit);
  }
  static sourceId(id: string): MicrobatchSourceOptions {
    return microbatch.sourceId(id);
  }
  static deadLetterAfter(failures: number): MicrobatchSourceOptions {
    return microbatch.deadLetterAfter(failures);
  }
  static none(): MicrobatchSourceOptions {
    return new MicrobatchSourceOptions({});
  }
}

const stream = StreamSourceOptions.none();
const microbatch = MicrobatchSourceOptions.none();

/** What `source` was given, with the defaults filled in. */
export function sourceSettings(
  given: SourceOptions | StreamSourceLiteral | undefined,
  kind: "stream" | "microbatch",
): Required<Omit<SourceSettings, "ackReturnAgg">> & { readonly ackReturnAgg?: unknown } {
  if (given instanceof SourceOptions && given instanceof StreamSourceOptions !== (kind === "stream")) {
    throw new RamaError(
      "BAD_MODULE",
      `a source of a ${kind} topology takes ${kind === "stream" ? "StreamSourceOptions" : "MicrobatchSourceOptions"}`,
    );
  }
  const options = given instanceof SourceOptions ? given : fromLiteral(given ?? {}, kind);
  return { startFrom: { kind: "end" }, sourceId: "", deadLetterAfter: 0, retry: "individual", ...options.settings };
}

const literalNames = {
  microbatch: [
    "startFromBeginning",
    "startFromOffsetAfterTimestamp",
    "startFromOffsetAgo",
    "sourceId",
    "deadLetterAfter",
  ],
  stream: ["retryIndividual", "retryAllAfter", "retryNone", "ackReturnAgg"],
};

function fromLiteral(literal: object, kind: "stream" | "microbatch"): SourceOptions {
  const known = kind === "stream" ? [...literalNames.microbatch, ...literalNames.stream] : literalNames.microbatch;
  let options: SourceOptions = kind === "stream" ? stream : microbatch;
  for (const [name, value] of Object.entries(literal)) {
    if (!known.includes(name))
      throw new RamaError("BAD_MODULE", `${name} is no option of a source; there are: ${known.join(", ")}`);
    if (value === undefined || value === false) continue;
    const method = options[name as keyof SourceOptions] as unknown as (...args: unknown[]) => SourceOptions;
    options = method.apply(options, value === true ? [] : name === "startFromOffsetAgo" ? value : [value]);
  }
  return options;
}
