// `Block`: code as data. Static methods start a block, chained ones (`chain.ts`) lengthen it; a block is immutable and may be used many times.
import type { Aggregator } from "../aggregators/aggregator.ts";
import type { CompoundAgg } from "../aggregators/compound.ts";
import type { ArgsOf, Callable, PStateVar, ValueVar } from "../paths/arg.ts";
import { Chain } from "./chain.ts";
import type { Operation } from "./emission.ts";
import type { BlockNode, NodeShape } from "./nodes.ts";
import { runDetached } from "./run-detached.ts";

type Args<K extends keyof Chain> = Chain[K] extends (...args: infer A) => unknown ? A : never;

export class Block extends Chain {
  readonly nodes: readonly BlockNode[];

  protected constructor(nodes: readonly BlockNode[]) {
    super();
    this.nodes = nodes;
  }

  protected override grown(nodes: readonly BlockNode[]): this {
    return new Block(Object.freeze([...this.nodes, ...nodes])) as this;
  }

  /** Runs the block here and now, by itself: no tasks and no module. Rejects with what its code throws. */
  async execute(): Promise<void> {
    await runDetached(this.nodes);
  }

  /** An empty block, to be lengthened. */
  static create(): Block {
    return empty;
  }

  static each<F extends Callable | Operation | ValueVar>(fn: F, ...args: ArgsOf<F>): Block {
    return empty.each(fn, ...(args as ArgsOf<F>));
  }
  static eachAsync<F extends ((...args: any[]) => Promise<unknown>) | ValueVar>(fn: F, ...args: ArgsOf<F>): Block {
    return empty.eachAsync(fn, ...args);
  }
  static keepTrue(...args: Args<"keepTrue">): Block {
    return empty.keepTrue(...args);
  }
  static override bind(...args: Args<"bind">): Block {
    return empty.bind(...args);
  }
  static macro(...args: Args<"macro">): Block {
    return empty.macro(...args);
  }
  static yieldIfOvertime(): Block {
    return empty.yieldIfOvertime();
  }
  static ackReturn(...args: Args<"ackReturn">): Block {
    return empty.ackReturn(...args);
  }
  static localSelect(...args: Args<"localSelect">): Block {
    return empty.localSelect(...args);
  }
  static select(...args: Args<"select">): Block {
    return empty.select(...args);
  }
  static localTransform(...args: Args<"localTransform">): Block {
    return empty.localTransform(...args);
  }
  static localClear(...args: Args<"localClear">): Block {
    return empty.localClear(...args);
  }
  static agg(...args: [Aggregator] | [PStateVar, Aggregator]): Block {
    return empty.agg(...(args as [Aggregator]));
  }
  static compoundAgg(...args: [CompoundAgg] | [PStateVar, CompoundAgg]): Block {
    return empty.compoundAgg(...(args as [CompoundAgg]));
  }
  static ifTrue(...args: Args<"ifTrue">): Block {
    return empty.ifTrue(...args);
  }
  static cond(...args: Args<"cond">): Block {
    return empty.cond(...args);
  }
  static subSource(...args: Args<"subSource">): Block {
    return empty.subSource(...args);
  }
  static anchor(...args: Args<"anchor">): Block {
    return empty.anchor(...args);
  }
  static hook(...args: Args<"hook">): Block {
    return empty.hook(...args);
  }
  static branch(...args: Args<"branch">): Block {
    return empty.branch(...args);
  }
  static unify(...args: Args<"unify">): Block {
    return empty.unify(...args);
  }
  static loop(...args: Args<"loop">): Block {
    return empty.loop(...args);
  }
  static loopWithVars(...args: Args<"loopWithVars">): Block {
    return empty.loopWithVars(...args);
  }
  static continueLoop(...args: Args<"continueLoop">): Block {
    return empty.continueLoop(...args);
  }
  static emitLoop(...args: Args<"emitLoop">): Block {
    return empty.emitLoop(...args);
  }
  static atomicBlock(...args: Args<"atomicBlock">): Block {
    return empty.atomicBlock(...args);
  }
  static hashPartition(...args: Args<"hashPartition">): Block {
    return empty.hashPartition(...args);
  }
  static allPartition(...args: Args<"allPartition">): Block {
    return empty.allPartition(...args);
  }
  static globalPartition(...args: Args<"globalPartition">): Block {
    return empty.globalPartition(...args);
  }
  static directPartition(...args: Args<"directPartition">): Block {
    return empty.directPartition(...args);
  }
  static shufflePartition(): Block {
    return empty.shufflePartition();
  }
  static pathPartition(...args: Args<"pathPartition">): Block {
    return empty.pathPartition(...args);
  }
  static originPartition(): Block {
    return empty.originPartition();
  }
  static customPartition(...args: Args<"customPartition">): Block {
    return empty.customPartition(...args);
  }
  static invokeQuery(...args: Args<"invokeQuery">): Block {
    return empty.invokeQuery(...args);
  }
  static depotPartitionAppend(...args: Args<"depotPartitionAppend">): Block {
    return empty.depotPartitionAppend(...args);
  }
  static batchBlock(...args: Args<"batchBlock">): Block {
    return empty.batchBlock(...args);
  }
  static explodeMicrobatch(...args: Args<"explodeMicrobatch">): Block {
    return empty.explodeMicrobatch(...args);
  }
  static freshBatchSource(): Block {
    return empty.freshBatchSource();
  }
  static subBatch(...args: Args<"subBatch">): Block {
    return empty.subBatch(...args);
  }
  static groupBy(...args: Args<"groupBy">): Block {
    return empty.groupBy(...args);
  }
  static limitAgg(...args: Args<"limitAgg">): Block {
    return empty.limitAgg(...args);
  }
  static materialize(...args: Args<"materialize">): Block {
    return empty.materialize(...args);
  }
  static explodeMaterialized(...args: Args<"explodeMaterialized">): Block {
    return empty.explodeMaterialized(...args);
  }
}

class RootBlock extends Block {
  constructor() {
    super(Object.freeze([]));
  }
}

const empty: Block = new RootBlock();

/** The block of a topology's source or of a query: each call appends to it. */
export class GrowingBlock extends Block {
  readonly #list: BlockNode[];

  constructor(first: NodeShape, line: string) {
    const list = [Object.freeze({ ...first, line })];
    super(list);
    this.#list = list;
  }

  protected override grown(nodes: readonly BlockNode[]): this {
    this.#list.push(...nodes);
    return this;
  }
}
