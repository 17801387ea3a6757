// `CompoundAgg`: a template of maps, lists and fields whose leaves aggregate one by one. On a PState it is a path (`toTransformSteps`); as an output of
// a batch block it is one leaf whose state is the template filled with states (`compoundLeaf`).
import { mapGet, mapSet } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { defineField } from "../base/values.ts";
import { type Arg, type ArgNode, toArg, type ValueVar } from "../paths/arg.ts";
import { step, type Step, type Steps } from "../paths/spec.ts";
import { Aggregator, type AggregatorLeaf, finished, leaf } from "./aggregator.ts";

export type AggTemplate = Aggregator | CompoundAgg;

export type CompoundNode =
  | { readonly kind: "map"; readonly entries: readonly { readonly key: ArgNode; readonly sub: AggTemplate }[] }
  | { readonly kind: "list"; readonly subs: readonly AggTemplate[] }
  | { readonly kind: "fields"; readonly names: readonly string[]; readonly subs: readonly AggTemplate[] };

export class CompoundAgg {
  readonly kind = "compoundAgg";
  readonly node: CompoundNode;

  private constructor(node: CompoundNode) {
    this.node = Object.freeze(node);
    Object.freeze(this);
  }

  /** A map level: `map("*word", Agg.count())`; several pairs make a template of several keys. */
  static map(...pairs: (Arg | AggTemplate)[]): CompoundAgg {
    if (pairs.length === 0 || pairs.length % 2 !== 0)
      throw badTemplate("CompoundAgg.map takes pairs of key and aggregator");
    const entries = [];
    for (let i = 0; i < pairs.length; i += 2) entries.push({ key: toArg(pairs[i]), sub: asTemplate(pairs[i + 1]) });
    return new CompoundAgg({ kind: "map", entries });
  }

  /** A list of fixed length: position i holds aggregator i. */
  static list(...subs: AggTemplate[]): CompoundAgg {
    if (subs.length === 0) throw badTemplate("CompoundAgg.list takes aggregators");
    return new CompoundAgg({ kind: "list", subs: subs.map(asTemplate) });
  }

  /** A plain object: `fields({ count: Agg.count(), total: Agg.sum("*x") })`. */
  static fields(fields: Readonly<Record<string, AggTemplate>>): CompoundAgg {
    const names = Object.keys(fields);
    if (names.length === 0) throw badTemplate("CompoundAgg.fields takes aggregators by name");
    return new CompoundAgg({ kind: "fields", names, subs: names.map((name) => asTemplate(fields[name])) });
  }

  /** Nested maps of one key each: `path("*k1", "*k2", Agg.count())`. */
  static path(...keysAndSub: (Arg | AggTemplate)[]): CompoundAgg {
    if (keysAndSub.length < 2) throw badTemplate("CompoundAgg.path takes keys and an aggregator");
    const sub = asTemplate(keysAndSub[keysAndSub.length - 1]);
    const keys = keysAndSub.slice(0, -1);
    return keys.reduceRight<AggTemplate>((below, key) => CompoundAgg.map(key, below), sub) as CompoundAgg;
  }
}

function badTemplate(message: string): RamaError {
  return new RamaError("BAD_MODULE", message);
}

function asTemplate(value: unknown): AggTemplate {
  if (value instanceof Aggregator || value instanceof CompoundAgg) return value;
  throw badTemplate('an aggregator is expected: Agg.count(), Agg.sum("*x"), CompoundAgg.map(…), …');
}

// ---- on a PState, one input at a time

/** The transform path that aggregates one input in place: keys become `key`, a leaf "null is its start value, then one step". */
export function toTransformSteps(template: AggTemplate): Steps {
  if (template instanceof Aggregator) return [leafStep(template)];
  const { node } = template;
  switch (node.kind) {
    case "map":
      return branches(node.entries.map(({ key, sub }) => [step("key", [key]), ...toTransformSteps(sub)]));
    case "list": {
      const empty = Object.freeze(node.subs.map(() => null));
      const routes = node.subs.map((sub, i) => [step("nth", [{ kind: "const", value: i }]), ...toTransformSteps(sub)]);
      return [step("nullToVal", [{ kind: "const", value: empty }]), ...branches(routes)];
    }
    case "fields": {
      const routes = node.names.map((value, i) => [
        step("key", [{ kind: "const", value }]),
        ...toTransformSteps(node.subs[i]!),
      ]);
      return [step("nullToVal", [{ kind: "const", value: emptyFields }]), ...branches(routes)];
    }
  }
}

const emptyFields = Object.freeze({});

function branches(routes: readonly Steps[]): Steps {
  return Object.freeze(routes.length === 1 ? [...routes[0]!] : [step("multiPath", [], routes)]);
}

function leafStep({ leaf, args }: Aggregator): Step {
  if (leaf.batchOnly) throw new RamaError("NOT_ALLOWED_HERE", `Agg.${leaf.name} is an output of batch blocks only`);
  if (leaf.voids) return step("termVoid");
  return step("aggregate", [{ kind: "const", value: leaf }, ...args]);
}

// ---- in a batch

/** All inputs of a template in the order in which its leaf takes them: keys before what is below them. */
export function templateArgs(template: AggTemplate): readonly ArgNode[] {
  if (template instanceof Aggregator) return template.args;
  const { node } = template;
  if (node.kind === "map") return node.entries.flatMap(({ key, sub }) => [key, ...templateArgs(sub)]);
  return node.subs.flatMap(templateArgs);
}

/** Vars of `captureNewValInto` in the template. */
export function capturedVars(template: AggTemplate): ValueVar[] {
  if (template instanceof Aggregator) return template.captureVar === undefined ? [] : [template.captureVar];
  const { node } = template;
  return (node.kind === "map" ? node.entries.map(({ sub }) => sub) : node.subs).flatMap(capturedVars);
}

/** One leaf for a whole template; its inputs are `templateArgs`. */
export function templateLeaf(template: AggTemplate): AggregatorLeaf {
  if (template instanceof Aggregator) return template.leaf;
  const { node } = template;
  if (node.kind === "map") return mapLeaf(node.entries.map(({ key, sub }) => ({ key, ...subOf(sub) })));
  return tupleLeaf(node.subs.map(subOf), node.kind === "fields" ? node.names : undefined);
}

interface Sub {
  readonly leaf: AggregatorLeaf;
  readonly width: number;
}
interface KeyedSub extends Sub {
  readonly key: ArgNode;
}
type Method = "step" | "accumulate";

function subOf(template: AggTemplate): Sub {
  return { leaf: templateLeaf(template), width: templateArgs(template).length };
}

function mapLeaf(subs: readonly KeyedSub[]): AggregatorLeaf {
  const apply = (method: Method, state: Map<unknown, unknown>, inputs: readonly unknown[]) => {
    let at = 0;
    for (const { leaf, width } of subs) {
      const key = inputs[at];
      const before = mapGet(state, key);
      const own = inputs.slice(at + 1, at + 1 + width);
      mapSet(state, key, leaf[method](before === undefined ? leaf.init() : before, ...own));
      at += 1 + width;
    }
    return state;
  };
  const leafOf = leafByKey(subs);
  const mergeable = leafOf !== undefined && subs.every(({ leaf }) => leaf.combine !== undefined);
  return leaf({
    name: "CompoundAgg.map",
    init: () => new Map(),
    step: (state, ...inputs) => apply("step", new Map(state), inputs),
    accumulate: (state, ...inputs) => apply("accumulate", state, inputs),
    ...(mergeable ? { combine: (a: any, b: any) => combinedMaps(leafOf, a, b) } : {}),
    ...(leafOf === undefined ? {} : { finish: (state: any) => finishedMap(leafOf, state) }),
    flushRequired: true,
  });
}

type LeafOf = (key: unknown) => AggregatorLeaf;

/**
 * Which leaf the state at a key belongs to: known when all leaves are alike or all keys are constants. Where it is not, states are not merged, and
 * leaves whose result is not their state are refused.
 */
function leafByKey(subs: readonly KeyedSub[]): LeafOf | undefined {
  const alike = subs[0]!.leaf;
  if (subs.every(({ leaf }) => leaf === alike)) return () => alike;
  const constants = new Map<unknown, unknown>();
  for (const { key, leaf } of subs) if (key.kind === "const") mapSet(constants, key.value, leaf);
  if (constants.size === subs.length) return (key) => mapGet(constants, key) as AggregatorLeaf;
  const special = subs.find(({ leaf }) => leaf.finish !== undefined);
  if (special === undefined) return undefined;
  const message = `Agg.${special.leaf.name} cannot stand beside others in one CompoundAgg.map with var keys: use CompoundAgg.fields`;
  throw badTemplate(message);
}

function combinedMaps(leafOf: LeafOf, a: Map<unknown, unknown>, b: Map<unknown, unknown>): Map<unknown, unknown> {
  const all = new Map(a);
  for (const [key, state] of b) {
    const before = mapGet(all, key);
    mapSet(all, key, before === undefined ? state : leafOf(key).combine!(before, state));
  }
  return all;
}

function finishedMap(leafOf: LeafOf, state: Map<unknown, unknown>): Map<unknown, unknown> {
  return new Map([...state].map(([key, each]) => [key, finished(leafOf(key), each)]));
}

/** A fixed list of leaves, as a list or as fields. */
function tupleLeaf(subs: readonly Sub[], names: readonly string[] | undefined): AggregatorLeaf {
  const apply = (method: Method, state: readonly unknown[], inputs: readonly unknown[]) => {
    let at = 0;
    return subs.map(({ leaf, width }, i) => {
      at += width;
      return leaf[method](state[i], ...inputs.slice(at - width, at));
    });
  };
  const mergeable = subs.every(({ leaf }) => leaf.combine !== undefined);
  return leaf({
    name: names === undefined ? "CompoundAgg.list" : "CompoundAgg.fields",
    init: () => subs.map(({ leaf }) => leaf.init()),
    step: (state, ...inputs) => apply("step", state, inputs),
    accumulate: (state, ...inputs) => apply("accumulate", state, inputs),
    ...(mergeable ? { combine: (a: any, b: any) => subs.map(({ leaf }, i) => leaf.combine!(a[i], b[i])) } : {}),
    finish: (state: readonly unknown[]) =>
      shaped(
        subs.map(({ leaf }, i) => finished(leaf, state[i])),
        names,
      ),
    flushRequired: subs.some(({ leaf }) => leaf.flushRequired),
  });
}

function shaped(results: unknown[], names: readonly string[] | undefined): unknown {
  if (names === undefined) return results;
  const fields: Record<string, unknown> = {};
  names.forEach((name, i) => {
    defineField(fields, name, results[i]);
  });
  return fields;
}
