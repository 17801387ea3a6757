// `LimitAgg`: keeps at most n rows of a batch, by arrival or by an order.
import { RamaError } from "../base/errors.ts";
import { type Arg, type ArgNode, isValueVar, toArg, type ValueVar } from "../paths/arg.ts";

/** `LimitAgg.create(3, "*user", "*cents").sort("*cents").reverse().indexVar("*rank")` */
export class LimitAgg {
  readonly kind = "limitAgg";
  private constructor(
    readonly amount: ArgNode,
    /** The vars of a kept row; bound under the same names after it. */
    readonly vars: readonly ValueVar[],
    /** Ascending by these; none: the first to arrive. */
    readonly sortArgs: readonly ArgNode[],
    readonly descending: boolean,
    readonly rankVar: ValueVar | undefined,
  ) {
    Object.freeze(this);
  }

  static create(amount: Arg, ...vars: ValueVar[]): LimitAgg {
    if (vars.length === 0 || !vars.every(isValueVar))
      throw new RamaError("BAD_MODULE", "LimitAgg.create takes a number and vars");
    return new LimitAgg(toArg(amount), Object.freeze([...vars]), [], false, undefined);
  }

  /** They need not be among the kept vars, and are not bound afterwards. */
  sort(...by: Arg[]): LimitAgg {
    return new LimitAgg(this.amount, this.vars, Object.freeze(by.map(toArg)), this.descending, this.rankVar);
  }

  /** Descending. */
  reverse(): LimitAgg {
    return new LimitAgg(this.amount, this.vars, this.sortArgs, true, this.rankVar);
  }

  /** Also binds the rank, from 0. */
  indexVar(name: ValueVar): LimitAgg {
    if (!isValueVar(name)) throw new RamaError("BAD_MODULE", 'indexVar takes a var: "*rank"');
    return new LimitAgg(this.amount, this.vars, this.sortArgs, this.descending, name);
  }
}
