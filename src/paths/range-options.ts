// Options of range navigators, as builders (`SortedRangeOptions.excludeStart().includeEnd()`) and as literals (`{ maxAmt: 20, excludeStart: true }`).
import { type Arg, type ArgNode, constArg, isExpr, isVar, toArg } from "./arg.ts";
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";

interface RangeLiteral {
  readonly excludeStart?: boolean;
  readonly includeEnd?: boolean;
  readonly maxAmt?: Arg;
}
export type SortedRangeLiteral = Pick<RangeLiteral, "excludeStart" | "includeEnd">;
export type SortedRangeFromLiteral = Pick<RangeLiteral, "excludeStart" | "maxAmt">;
export type SortedRangeToLiteral = Pick<RangeLiteral, "includeEnd" | "maxAmt">;

/** Default: start inclusive, end exclusive. */
export class SortedRangeOptions {
  constructor(readonly literal: SortedRangeLiteral = {}) {}

  static excludeStart(): SortedRangeOptions {
    return new SortedRangeOptions().excludeStart();
  }
  static includeEnd(): SortedRangeOptions {
    return new SortedRangeOptions().includeEnd();
  }
  excludeStart(): SortedRangeOptions {
    return new SortedRangeOptions({ ...this.literal, excludeStart: true });
  }
  includeEnd(): SortedRangeOptions {
    return new SortedRangeOptions({ ...this.literal, includeEnd: true });
  }
}

/** Default: start inclusive, no limit. `maxAmt` takes a number or a var. */
export class SortedRangeFromOptions {
  constructor(readonly literal: SortedRangeFromLiteral = {}) {}

  static excludeStart(): SortedRangeFromOptions {
    return new SortedRangeFromOptions().excludeStart();
  }
  static maxAmt(amount: Arg): SortedRangeFromOptions {
    return new SortedRangeFromOptions().maxAmt(amount);
  }
  excludeStart(): SortedRangeFromOptions {
    return new SortedRangeFromOptions({ ...this.literal, excludeStart: true });
  }
  maxAmt(amount: Arg): SortedRangeFromOptions {
    return new SortedRangeFromOptions({ ...this.literal, maxAmt: amount });
  }
}

/** Default: end exclusive, no limit. The limit takes the entries nearest the end, still ascending. */
export class SortedRangeToOptions {
  constructor(readonly literal: SortedRangeToLiteral = {}) {}

  static includeEnd(): SortedRangeToOptions {
    return new SortedRangeToOptions().includeEnd();
  }
  static maxAmt(amount: Arg): SortedRangeToOptions {
    return new SortedRangeToOptions().maxAmt(amount);
  }
  includeEnd(): SortedRangeToOptions {
    return new SortedRangeToOptions({ ...this.literal, includeEnd: true });
  }
  maxAmt(amount: Arg): SortedRangeToOptions {
    return new SortedRangeToOptions({ ...this.literal, maxAmt: amount });
  }
}

export interface ReadRangeOptions {
  readonly excludeStart: boolean;
  readonly includeEnd: boolean;
  readonly maxAmt: ArgNode | undefined;
}

/** Options as an author writes them: a class, a literal, or (where there is a limit) the amount alone. */
export function readRangeOptions(options: unknown, where: string, allowed: readonly string[]): ReadRangeOptions {
  if (options === undefined || options === null) return { excludeStart: false, includeEnd: false, maxAmt: undefined };
  if (allowed.includes("maxAmt") && isAmount(options)) {
    return { excludeStart: false, includeEnd: false, maxAmt: toArg(options) };
  }
  const literal = literalOf(options);
  if (literal === undefined) throw new RamaError("BAD_PATH", `${where} does not take these options`, { where });
  for (const name of Object.keys(literal)) {
    if (!allowed.includes(name)) throw new RamaError("BAD_PATH", `${where} has no option ${name}`, { where, name });
  }
  return {
    excludeStart: literal.excludeStart ?? false,
    includeEnd: literal.includeEnd ?? false,
    maxAmt: literal.maxAmt === undefined ? undefined : toArg(literal.maxAmt),
  };
}

function literalOf(options: unknown): RangeLiteral | undefined {
  if (options instanceof SortedRangeOptions || options instanceof SortedRangeFromOptions) return options.literal;
  if (options instanceof SortedRangeToOptions) return options.literal;
  return isPlainObject(options) ? (options as RangeLiteral) : undefined;
}

function isAmount(value: unknown): boolean {
  return typeof value === "number" || typeof value === "bigint" || isVar(value) || isExpr(value);
}

export function amountNode(amount: Arg): ArgNode {
  return isAmount(amount) ? toArg(amount) : constArg(amount);
}
