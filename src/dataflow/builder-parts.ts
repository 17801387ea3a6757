// What stands beside `Block` in builder calls: cases of `cond`, sub-sources, loop vars, sub-batches, options. All immutable.
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { type Arg, type ArgNode, isValueVar, toArg, type ValueVar } from "../paths/arg.ts";
import type { Block } from "./builder.ts";
import { Chain } from "./chain.ts";
import type { BlockNode, LoopVar } from "./nodes.ts";

const noNodes: readonly BlockNode[] = Object.freeze([]);

/** `Case.create(eq("*kind", "a")).each(…)`: a condition and the block that runs when it is the first to hold. */
export class Case extends Chain {
  readonly condition: ArgNode;
  readonly nodes: readonly BlockNode[];

  private constructor(condition: ArgNode, nodes: readonly BlockNode[]) {
    super();
    this.condition = condition;
    this.nodes = nodes;
  }

  static create(condition: Arg): Case {
    return new Case(toArg(condition), noNodes);
  }

  protected override grown(nodes: readonly BlockNode[]): this {
    return new Case(this.condition, Object.freeze([...this.nodes, ...nodes])) as this;
  }
}

/** `SubSource.create(Follow, Unfollow).each(…)`, or by fields: `SubSource.create({ type: "follow" })`. */
export class SubSource extends Chain {
  readonly patterns: readonly unknown[];
  readonly nodes: readonly BlockNode[];

  private constructor(patterns: readonly unknown[], nodes: readonly BlockNode[]) {
    super();
    this.patterns = patterns;
    this.nodes = nodes;
  }

  static create(
    ...patterns: (abstract new (...args: any[]) => unknown)[] | Readonly<Record<string, unknown>>[]
  ): SubSource {
    if (patterns.length === 0 || !patterns.every((each) => typeof each === "function" || isPlainObject(each))) {
      throw new RamaError("BAD_MODULE", "SubSource.create takes classes or objects of fields");
    }
    return new SubSource(Object.freeze([...patterns]), noNodes);
  }

  protected override grown(nodes: readonly BlockNode[]): this {
    return new SubSource(this.patterns, Object.freeze([...this.nodes, ...nodes])) as this;
  }
}

/** `LoopVars.var("*i", 0).var("*list", "*start")` */
export class LoopVars {
  readonly vars: readonly LoopVar[];

  private constructor(vars: readonly LoopVar[]) {
    this.vars = Object.freeze(vars);
  }

  static var(name: ValueVar, init: Arg): LoopVars {
    return new LoopVars([]).var(name, init);
  }

  var(name: ValueVar, init: Arg): LoopVars {
    if (!isValueVar(name)) throw new RamaError("BAD_MODULE", `a loop var is written "*i", not ${String(name)}`);
    return new LoopVars([...this.vars, { name, init: toArg(init) }]);
  }
}

/** A complete batch block whose rows of these vars are a source of another: `new SubBatch(block, "*user", "*sum")`. */
export class SubBatch {
  readonly block: Block;
  readonly vars: readonly ValueVar[];

  constructor(block: Block, ...vars: ValueVar[]) {
    this.block = block;
    this.vars = Object.freeze(vars);
    Object.freeze(this);
  }
}

export class SelectOptions {
  readonly allowYield: boolean;

  private constructor(allowYield: boolean) {
    this.allowYield = allowYield;
    Object.freeze(this);
  }

  /** The select may end the event and go on with its rows in later ones, over a stable snapshot. */
  static allowYield(): SelectOptions {
    return new SelectOptions(true);
  }
}
