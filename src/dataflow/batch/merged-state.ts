// Two-phase aggregation into a PState: where every leaf of the template is a combiner, inputs are combined per key path first, and the PState is changed once per
// key path with the combined state. A key that comes a thousand times in a microbatch costs one change, and one row on the way to another engine.
import { add } from "../../base/arithmetic.ts";
import type { AggregatorLeaf } from "../../aggregators/aggregator.ts";
import { type AggTemplate, toTransformSteps } from "../../aggregators/compound.ts";
import type { ArgNode } from "../../paths/arg.ts";
import { IndexedList, IndexedMap, IndexedSet } from "../../paths/indexed.ts";
import { entries } from "../../paths/read.ts";
import { slotOf, type Step, step, type Steps } from "../../paths/spec.ts";

export interface MergedLeaf {
  readonly leaf: AggregatorLeaf;
  /** Places of its inputs among a row's arguments; -1: the constant. */
  readonly inputs: readonly number[];
  readonly constants: readonly unknown[];
}

export interface MergedState {
  /** Places of the key path among a row's arguments. */
  readonly keys: readonly number[];
  readonly leaves: readonly MergedLeaf[];
  /** Takes the keys, then the states of the leaves. */
  readonly steps: Steps;
}

/** undefined where rows have to be aggregated one by one. `args`: those of the template's path. */
export function mergedState(template: AggTemplate, args: readonly ArgNode[]): MergedState | undefined {
  if (!isChain(template)) return undefined;
  const keys: number[] = [];
  const leaves: MergedLeaf[] = [];
  const rewrite = (steps: Steps): Steps =>
    Object.freeze(
      steps.map((each): Step => {
        const [first, ...inputs] = each.args;
        if (each.nav === "aggregate") {
          const { value: leaf } = first as { value: AggregatorLeaf };
          leaves.push({ leaf, inputs: inputs.map((arg) => placeOf(args, arg)), constants: inputs.map(constantOf) });
          return step("aggregate", [
            { kind: "const", value: mergingLeaf(leaf) },
            { kind: "slot", index: leaves.length - 1 },
          ]);
        }
        if (each.nav === "key" && first!.kind !== "const") {
          keys.push(placeOf(args, first!));
          return step("key", [{ kind: "slot", index: -keys.length }]);
        }
        return step(each.nav, each.args, each.paths.map(rewrite));
      }),
    );
  const rewritten = rewrite(toTransformSteps(template));
  return { keys, leaves, steps: withSlots(rewritten, keys.length) };
}

/** Keys were numbered from -1 down while their count was not known: they come first. */
function withSlots(steps: Steps, keyCount: number): Steps {
  const place = (arg: ArgNode): ArgNode =>
    arg.kind === "slot" ? { kind: "slot", index: arg.index < 0 ? -arg.index - 1 : keyCount + arg.index } : arg;
  return Object.freeze(
    steps.map((each) =>
      step(
        each.nav,
        each.args.map(place),
        each.paths.map((path) => withSlots(path, keyCount)),
      ),
    ),
  );
}

function placeOf(args: readonly ArgNode[], arg: ArgNode): number {
  return arg.kind === "const" ? -1 : slotOf(args, arg);
}

function constantOf(arg: ArgNode): unknown {
  return arg.kind === "const" ? arg.value : undefined;
}

/** Maps of one key each, then one leaf or a list (or fields) of leaves, all of them combiners. */
function isChain(template: AggTemplate): boolean {
  if (template.kind === "agg") return template.leaf.combine !== undefined && template.leaf.voids !== true;
  const { node } = template;
  if (node.kind === "map") return node.entries.length === 1 && isChain(node.entries[0]!.sub);
  return node.subs.every((sub) => sub.kind === "agg" && isChain(sub));
}

/** Takes combined states in, where the leaf takes inputs. */
function mergingLeaf(leaf: AggregatorLeaf): AggregatorLeaf {
  return Object.freeze({
    name: leaf.name,
    init: () => leaf.init(),
    step: (state: unknown, partial: unknown) => mergedInto(leaf, state, partial),
    accumulate: (state: unknown, partial: unknown) => mergedInto(leaf, state, partial),
    flushRequired: leaf.flushRequired,
  });
}

/** Subindexed structures are changed in place, element by element. */
function mergedInto(leaf: AggregatorLeaf, state: unknown, partial: unknown): unknown {
  if (state instanceof IndexedList || state instanceof IndexedSet) {
    let next: unknown = state;
    for (const each of partial as Iterable<unknown>) next = leaf.step(next, each);
    return next;
  }
  if (!(state instanceof IndexedMap)) return leaf.combine!(state, partial);
  const counts = leaf.name === "multiSet";
  for (const [key, value] of entries(partial)) state.set(key, counts ? add(state.get(key) ?? 0, value) : value);
  return state;
}
