// From the plan of a topology to what people read: stages in order, each with its steps, and the edges between them. Code that is reached from several places
// stands where it is met first, with a number; elsewhere the number is named. What only carries rows of batches between engines is left out.
import type { ModuleDefinition, TopologyDefinition } from "../../module/definition.ts";
import type { PhaseWhere } from "../batch/flow.ts";
import { planTopology, startOf, type TopologyPlan } from "../compile.ts";
import type { FlowNode, Label } from "../flow.ts";
import type {
  ExplainedEdge,
  ExplainedModule,
  ExplainedObject,
  ExplainedStage,
  ExplainedTopology,
} from "./explained.ts";
import { type Block, StepReader } from "./steps.ts";
import { depotWords, isAuthors, PlanText, schemaWords, varName } from "./text.ts";

export function explainModule(module: ModuleDefinition): ExplainedModule {
  return {
    module: module.name,
    objects: objectsOf(module),
    topologies: module.topologies.map((topology) => explainTopology(module, topology)),
  };
}

function objectsOf(module: ModuleDefinition): ExplainedObject[] {
  return [
    ...module.depots.map((depot) => ({ kind: "depot" as const, name: depot.name, about: depotWords(depot) })),
    ...module.pstates.map(({ name, schema, topology, global, private: hidden }) => ({
      kind: "pstate" as const,
      name,
      about: `${schemaWords(schema)}${global ? ", on task 0" : ""}${hidden ? ", private" : ""}; written by ${module.topologies[topology]!.name}`,
    })),
    ...module.globals.map(({ name, value }) => ({
      kind: "global" as const,
      name,
      about: typeof value === "function" ? "one object per task" : "a constant of all tasks",
    })),
    ...module.mirrors.map(({ name, kind, module: other, object }) => ({
      kind: "mirror" as const,
      name,
      about: `${kind === "pstate" ? "PState" : kind} ${object} of ${other}`,
    })),
  ];
}

const transactions: Readonly<Record<TopologyDefinition["kind"], string>> = {
  stream:
    "A stage runs as one event: its writes on its task are committed and become visible together. What was written is committed before the record moves to another task.",
  microbatch:
    "The whole microbatch is one transaction over all tasks: everything below commits together, once, or runs again with the same records.",
  query: "Reads what is committed; writes nothing but its temporary state.",
};

function explainTopology(module: ModuleDefinition, topology: TopologyDefinition): ExplainedTopology {
  const { name, kind } = topology;
  const outline = new Outline(module, topology, planTopology(module, topology));
  const { stages, edges } = outline.build();
  const touched = (wanted: "read" | "write") => [
    ...new Set(stages.flatMap((stage) => outline.pstatesOf(stage.stage, wanted))),
  ];
  return {
    name,
    kind,
    transaction: transactions[kind],
    start: startWords(module, topology),
    stages,
    edges,
    reads: touched("read"),
    writes: touched("write"),
  };
}

function startWords(module: ModuleDefinition, topology: TopologyDefinition): string {
  if (topology.kind === "stream")
    return "Each record of a source starts on the task of its partition, as it is appended.";
  if (topology.kind === "microbatch") return "Each source block starts on task 0, once per microbatch.";
  const mirrors = module.mirrors.map((each) => each.name);
  const start = startOf(topology.block!.nodes, topology.inputs, mirrors);
  if (start.kind === "task") return `An invoke starts on task ${start.task}: the client sends it there.`;
  if (start.kind === "hashInput")
    return `An invoke starts on the task of hash(${topology.inputs[start.input]}): the client sends it there.`;
  return "An invoke starts on any task.";
}

class Outline {
  readonly #module: ModuleDefinition;
  readonly #topology: TopologyDefinition;
  readonly #plan: TopologyPlan;
  readonly #text: PlanText;
  readonly #numbers = new Map<Label, number>();
  readonly #readers = new Map<number, StepReader>();

  constructor(module: ModuleDefinition, topology: TopologyDefinition, plan: TopologyPlan) {
    this.#module = module;
    this.#topology = topology;
    this.#plan = plan;
    this.#text = new PlanText(module);
  }

  build(): { stages: ExplainedStage[]; edges: ExplainedEdge[] } {
    const shown = this.#plan.plan.program.stages.filter((label) => !isPlumbing(label));
    for (const [i, label] of shown.entries()) this.#numbers.set(label, i + 1);
    const edges: ExplainedEdge[] = [];
    const blocks = new Map<Label, Block>();
    const inside: { label: Label; edge: ExplainedEdge }[] = [];
    const joined: { label: Label; stage: number }[] = [];
    const batches = new Map<number, ExplainedStage["batch"] & { readonly where: PhaseWhere }>();
    const made = shown.map((label) => {
      const stage = this.#numbers.get(label)!;
      const reader = new StepReader({
        module: this.#module,
        topology: this.#topology,
        plan: this.#plan.plan,
        text: this.#text,
        blocks,
        numberOf: (each) => this.#numbers.get(each)!,
        from: stage,
        edge: (edge, within) => {
          edges.push(edge);
          for (const each of within) inside.push({ label: each, edge });
        },
        joins: (each) => joined.push({ label: each, stage }),
        phase: (to, batch) => batches.set(to, batch),
      });
      this.#readers.set(stage, reader);
      return { label, stage, steps: reader.stage(label.entry) };
    });
    for (const { label, stage } of joined) {
      for (const { edge } of inside.filter((each) => each.label === label && each.edge.from !== stage)) {
        if (edges.some(({ from, to }) => from === stage && to === edge.to)) continue;
        const moved = edge.kind === "move" && this.#topology.kind === "stream";
        edges.push({
          ...edge,
          from: stage,
          commits: moved && (blocks.get(label)!.writes || this.#readers.get(stage)!.wrote),
        });
      }
    }
    const stages = made.map(({ label, stage, steps }): ExplainedStage => {
      const batch = batches.get(stage);
      const where = this.#whereOf(label, stage, edges, batch?.where);
      const takes = this.#takesOf(label);
      return {
        stage,
        title: titleOf(label),
        where,
        takes,
        steps,
        batch: batch === undefined ? undefined : { line: batch.line, phase: batch.phase },
      };
    });
    return { stages, edges };
  }

  pstatesOf(stage: number, wanted: "read" | "write"): readonly string[] {
    return [...this.#readers.get(stage)!.touched[wanted]];
  }

  #whereOf(label: Label, stage: number, edges: readonly ExplainedEdge[], phase: PhaseWhere | undefined): string {
    if (phase !== undefined)
      return { here: "on the task that runs the batch", first: "on task 0", all: "on every task" }[phase];
    const isSource = this.#plan.plan.program.sources.some((source) => source.label === label);
    if (isSource) return this.#topology.kind === "microbatch" ? "on task 0" : "on the task of the record's partition";
    const into = edges.filter(({ to }) => to === stage);
    if (into.length === 0) return "on the start task";
    return [...new Set(into.map((edge) => (edge.kind === "wait" ? "on the same task" : `on ${edge.how}`)))].join(
      " or ",
    );
  }

  /** Names of what arrives; of a record only the fields that are decoded. */
  #takesOf(label: Label): string[] {
    const { plan } = this.#plan;
    const params = label.params.filter((binding) => plan.used.has(binding));
    return [...plan.free(label), ...params]
      .map(({ name }) => name)
      .filter(isAuthors)
      .map(varName);
  }
}

function isPlumbing(label: Label): boolean {
  return label.entry.length > 0 && label.entry.every(({ op }: FlowNode) => op.kind === "take" || op.kind === "flush");
}

function titleOf(label: Label): string {
  const first = label.entry[0]?.op;
  if (first?.kind === "rows") return first.sink.kind === "join" ? "joined rows" : "after the aggregation";
  return label.text.replaceAll("Ops.", "");
}
