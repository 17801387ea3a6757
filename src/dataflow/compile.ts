// A module definition becomes a compiled module: every topology is resolved to a flow graph, planned and emitted as JavaScript. All checks of names, scope and
// structure happen here, before anything runs.
import { RamaError } from "../base/errors.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { ModuleDefinition, TopologyDefinition } from "../module/definition.ts";
import type { CompiledModule, CompiledSource, CompiledTopology } from "./compiled.ts";
import { Emitter } from "./emit.ts";
import type { Label } from "./flow.ts";
import { FlowBuilder } from "./flow-builder.ts";
import type { BlockNode } from "./nodes.ts";
import { type Plan, planOf } from "./plan.ts";
import { recordDecoder, splitRecords } from "./record-fields.ts";

export interface CompileModuleOptions {
  /** Classes that records may be instances of. */
  readonly classes?: ClassRegistry;
}

export function compileModule(definition: ModuleDefinition, options: CompileModuleOptions = {}): CompiledModule {
  const topologies = definition.topologies.map((topology) => compileTopology(definition, topology, options));
  return Object.freeze({ definition, topologies: Object.freeze(topologies) });
}

function compileTopology(
  module: ModuleDefinition,
  topology: TopologyDefinition,
  options: CompileModuleOptions,
): CompiledTopology {
  const { index, name, kind } = topology;
  const { plan, fields } = planTopology(module, topology);
  const { program } = plan;
  const { stages, sourceText } = new Emitter(plan).emit();
  const sources = program.sources.map(({ source, label }) =>
    compileSource(plan, source, label, fields.get(label), options),
  );
  const exploded = program.exploded.map((label) =>
    Object.freeze({ stage: label.stage!, decode: recordDecoder(plan, label, fields.get(label), options.classes) }),
  );
  const compiled: CompiledTopology = { index, name, kind, stages, sources, exploded, lines: program.lines, sourceText };
  if (kind !== "query") return Object.freeze(compiled);
  const mirrors = module.mirrors.map((each) => each.name);
  return Object.freeze({
    ...compiled,
    query: { stage: 0, start: startOf(topology.block!.nodes, topology.inputs, mirrors) },
  });
}

export interface TopologyPlan {
  readonly plan: Plan;
  /** What is decoded of a record, for stages that need no more of it. */
  readonly fields: ReadonlyMap<Label, readonly string[]>;
}

/** Names and scopes resolved, liveness known: what is emitted as code, and explained by `rama explain`. */
export function planTopology(module: ModuleDefinition, topology: TopologyDefinition): TopologyPlan {
  const { name, kind } = topology;
  const temporaries = new Map<string, number>();
  if (kind === "query")
    for (const each of [`$$${name}$$`, topology.temporary]) if (each !== undefined) temporaries.set(each, 0);
  const builder = new FlowBuilder({ module, topology, temporaries }, kind);
  if (kind === "query") builder.query(topology.block!.nodes, topology.output!);
  else for (const source of topology.sources) builder.source({ nodes: source.block.nodes, source: source.index });
  const fields = splitRecords(builder.program);
  return { plan: planOf(builder.program), fields };
}

function compileSource(
  plan: Plan,
  source: number,
  label: Label,
  fields: readonly string[] | undefined,
  options: CompileModuleOptions,
): CompiledSource {
  const ignoresRecord = !label.params.some((binding) => plan.used.has(binding));
  const decode = ignoresRecord ? () => [] : recordDecoder(plan, label, fields, options.classes);
  return Object.freeze({ source, stage: label.stage!, decode, ignoresRecord });
}

export type QueryStart = NonNullable<CompiledTopology["query"]>["start"];

/** Where a query may start: a leading partitioner over its inputs is evaluated by the client. */
export function startOf(
  nodes: readonly BlockNode[],
  inputs: readonly string[],
  mirrors: readonly string[],
): QueryStart {
  let first = nodes[1];
  while (first?.kind === "subBatch") first = first.block.nodes[0];
  if (first?.kind !== "partition" || (first.object !== undefined && first.by !== "global")) return { kind: "any" };
  if (first.object !== undefined && mirrors.includes(first.object)) return { kind: "any" };
  const [arg] = first.args;
  if (first.by === "global") return { kind: "task", task: 0 };
  if (first.by === "direct" && arg?.kind === "const" && typeof arg.value === "number")
    return { kind: "task", task: arg.value };
  if (first.by !== "hash" || arg?.kind !== "var") return { kind: "any" };
  const input = inputs.indexOf(arg.name);
  if (input < 0)
    throw new RamaError("UNKNOWN_VAR", `${first.line}: ${arg.name} is no input of the query`, { line: first.line });
  return { kind: "hashInput", input };
}
