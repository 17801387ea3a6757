// Runs a module's `define` once and freezes what it declared. References between declarations are checked here; the code of the topologies is checked by
// `dataflow/compile.ts`.
import { Agg } from "../aggregators/agg.ts";
import { Aggregator } from "../aggregators/aggregator.ts";
import { builderLine } from "../base/builder-line.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import type {
  DepotDefinition,
  ModuleDefinition,
  PStateDefinition,
  SourceDefinition,
  TopologyDefinition,
} from "./definition.ts";
import {
  declarationError,
  type DepotDraft,
  ModuleDraft,
  type OptionDraft,
  type PStateDraft,
  type SourceDraft,
  type TopologyDraft,
} from "./draft.ts";
import { RamaModule } from "./module.ts";
import { Setup } from "./setup.ts";
import { Topologies } from "./topologies.ts";

/** The definition of a module, by its class or an instance. Errors of kind BAD_MODULE, DUPLICATE_NAME, … name the line of the declaration. */
export function defineModule(module: (new () => RamaModule) | RamaModule): ModuleDefinition {
  const instance = typeof module === "function" ? new module() : module;
  if (!(instance instanceof RamaModule))
    throw new RamaError("BAD_MODULE", "a module is a class that extends RamaModule");
  const draft = new ModuleDraft();
  const name = instance.getModuleName();
  if (typeof name !== "string" || name === "" || /\s|^\/|\/$/.test(name)) {
    throw new RamaError(
      "BAD_MODULE",
      `${JSON.stringify(name)} is no name of a module: give the class a name, or override getModuleName()`,
    );
  }
  runDefine(instance, draft, name);
  return freeze(name, draft);
}

function runDefine(instance: RamaModule, draft: ModuleDraft, name: string): void {
  try {
    const returned: unknown = instance.define(new Setup(draft), new Topologies(draft));
    if (returned instanceof Promise)
      throw new RamaError("BAD_MODULE", `define of ${name} is async: it must only describe the module`);
  } catch (error) {
    if (error instanceof RamaError) throw error.facts["line"] === undefined ? atItsLine(error) : error;
    throw new RamaError("BAD_MODULE", `define of ${name} threw: ${messageOf(error)}`, { module: name }, error);
  }
}

/** What a path, an aggregator or an option refuses knows no line: its stack does. */
function atItsLine(error: RamaError): RamaError {
  return declarationError(error.code, builderLine(error), error.message, error.facts);
}

function freeze(name: string, draft: ModuleDraft): ModuleDefinition {
  checkOptions(draft);
  return Object.freeze({
    name,
    depots: Object.freeze(draft.depots.map(depot)),
    pstates: Object.freeze(draft.pstates.map((each, index) => pstate(each, index, draft))),
    globals: Object.freeze(draft.globals.map(({ name, value }, index) => Object.freeze({ index, name, value }))),
    mirrors: Object.freeze(
      draft.mirrors.map(({ name, kind, module, object }, index) =>
        Object.freeze({ index, name, kind, module, object }),
      ),
    ),
    topologies: Object.freeze(draft.topologies.map((each, index) => topology(each, index, draft))),
    launchOptions: Object.freeze(
      draft.options.map(({ scope, object, name, value }) => Object.freeze({ scope, object, name, value })),
    ),
  });
}

function depot({ name, partitioning, global, tickMs, migration }: DepotDraft, index: number): DepotDefinition {
  return Object.freeze({
    index,
    name,
    partitioning,
    global,
    ...(tickMs === undefined ? {} : { tickMs }),
    ...(migration === undefined ? {} : { migration }),
  });
}

function pstate(each: PStateDraft, index: number, draft: ModuleDraft): PStateDefinition {
  const { name, schema, global, initial, keyPartitioner } = each;
  return Object.freeze({
    index,
    name,
    schema,
    topology: draft.topologies.indexOf(each.topology),
    global,
    private: each.private,
    ...(initial === undefined ? {} : { initialValue: initial.value }),
    ...(keyPartitioner === undefined ? {} : { keyPartitioner }),
  });
}

function topology(each: TopologyDraft, index: number, draft: ModuleDraft): TopologyDefinition {
  const { name, kind, inputs, output, temporary, block, line } = each;
  if (kind === "query" && block === undefined) {
    throw declarationError(
      "BAD_MODULE",
      line,
      `the query ${name} has no output: topologies.query("${name}", …).out("*result")`,
      { query: name },
    );
  }
  return Object.freeze({
    index,
    name,
    kind,
    sources: Object.freeze(each.sources.map((source, i) => sourceOf(source, i, draft))),
    inputs,
    ...(output === undefined ? {} : { output }),
    ...(temporary === undefined ? {} : { temporary }),
    ...(block === undefined ? {} : { block }),
  });
}

function sourceOf(source: SourceDraft, index: number, draft: ModuleDraft): SourceDefinition {
  const { line, depotName, settings, block } = source;
  const { ackReturnAgg, ...rest } = settings;
  return Object.freeze({
    index,
    line,
    depot: depotOf(depotName, line, draft),
    ...rest,
    ...(ackReturnAgg === undefined ? {} : { ackReturnAgg: returnAggregator(ackReturnAgg, line) }),
    block,
  });
}

function depotOf(name: string, line: string, draft: ModuleDraft): SourceDefinition["depot"] {
  const index = draft.depots.findIndex((each) => each.name === name);
  if (index >= 0) return { kind: "own", index };
  const mirror = draft.mirrors.find((each) => each.name === name);
  if (mirror?.kind === "depot") return { kind: "mirror", name };
  if (draft.globals.some((each) => each.name === name)) return { kind: "external", name };
  const known = [...draft.depots, ...draft.mirrors.filter(({ kind }) => kind === "depot")].map((each) => each.name);
  throw declarationError("UNKNOWN_OBJECT", line, `there is no depot ${name}${didYouMean(name, known)}`, {
    object: name,
  });
}

/** `Agg.sum` by reference becomes an accumulator of returned values; combiner and accumulator objects stay. */
function returnAggregator(given: unknown, line: string): unknown {
  if (typeof given === "object" && given !== null && ("combine" in given || "accumulate" in given)) return given;
  const byReference = Object.values(Agg).includes(given as never);
  const made = byReference ? (given as (...args: unknown[]) => unknown)("*value") : given;
  if (made instanceof Aggregator) {
    const { leaf } = made;
    return Object.freeze({
      initVal: () => leaf.init(),
      accumulate: (state: unknown, value: unknown) => leaf.step(state, value),
    });
  }
  throw declarationError(
    "BAD_MODULE",
    line,
    "ackReturnAgg takes Agg.sum (or count, min, max, first, last, list, set, and, or), a combiner or an accumulator",
  );
}

function checkOptions(draft: ModuleDraft): void {
  const known: Record<OptionDraft["scope"], readonly { readonly name: string }[]> = {
    module: [],
    topology: draft.topologies,
    depot: draft.depots,
    pstate: draft.pstates,
  };
  for (const { scope, object, line } of draft.options) {
    const names = known[scope].map(({ name }) => name);
    if (scope === "module" || names.includes(object)) continue;
    throw declarationError("UNKNOWN_OBJECT", line, `there is no ${scope} ${object}${didYouMean(object, names)}`, {
      object,
    });
  }
}
