// Several ackReturn values of one record become one, on the record's start task. The source's `ackReturnAgg` decides how; without one the last stays.

/** RamaCombinerAgg: values combine with each other. */
interface Combiner {
  readonly zeroVal?: () => unknown;
  combine(current: unknown, value: unknown): unknown;
}

/** RamaAccumulatorAgg1: a state takes values in. */
interface Accumulator {
  readonly initVal: () => unknown;
  accumulate(current: unknown, value: unknown): unknown;
}

export function combineReturns(aggregator: unknown, values: readonly unknown[]): unknown {
  if (values.length === 0) return null;
  if (aggregator === undefined || aggregator === null) return values[values.length - 1];
  if (isCombiner(aggregator)) {
    let current = values[0];
    for (let i = 1; i < values.length; i++) current = aggregator.combine(current, values[i]);
    return current;
  }
  if (isAccumulator(aggregator)) {
    let current = aggregator.initVal();
    for (const value of values) current = aggregator.accumulate(current, value);
    return current;
  }
  return values[values.length - 1];
}

function isCombiner(aggregator: unknown): aggregator is Combiner {
  return typeof (aggregator as Combiner).combine === "function";
}

function isAccumulator(aggregator: unknown): aggregator is Accumulator {
  const { initVal, accumulate } = aggregator as Accumulator;
  return typeof initVal === "function" && typeof accumulate === "function";
}
