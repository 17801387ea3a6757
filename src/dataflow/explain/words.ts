// What `rama explain` prints: the plan in plain words.
import type { ExplainedEdge, ExplainedModule, ExplainedStep, ExplainedTopology } from "./explained.ts";

export function planWords({ module, objects, topologies }: ExplainedModule): string {
  const lines = [module];
  if (objects.length > 0) {
    const width = Math.max(...objects.map(({ name }) => name.length));
    lines.push("", ...objects.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`));
  }
  for (const topology of topologies) lines.push("", ...topologyWords(topology));
  return lines.join("\n");
}

function topologyWords(topology: ExplainedTopology): string[] {
  const lines = [`${topology.kind} ${topology.name}`, `  ${topology.start}`, `  ${topology.transaction}`];
  if (topology.reads.length > 0) lines.push(`  Reads ${topology.reads.join(", ")}.`);
  if (topology.writes.length > 0) lines.push(`  Writes ${topology.writes.join(", ")}.`);
  const width = Math.max(0, ...topology.stages.flatMap(({ steps }) => lineWidths(steps)));
  for (const { stage, title, where, takes, steps, batch } of topology.stages) {
    const phase = batch === undefined ? "" : `, phase ${batch.phase} of the batch at ${batch.line}`;
    lines.push("", `  Stage ${stage}: ${title}, ${where}${phase}`);
    if (takes.length > 0) lines.push(`    takes ${takes.join(", ")}`);
    lines.push(...stepWords(steps, width, 0));
    lines.push(...topology.edges.filter((edge) => edge.from === stage && edge.commits).map(commitWords));
  }
  return lines;
}

function commitWords({ to }: ExplainedEdge): string {
  return `    ---- its writes are committed before it leaves for stage ${to}`;
}

function lineWidths(steps: readonly ExplainedStep[]): number[] {
  return steps.flatMap(({ line, inside }) => [line.length, ...inside.flatMap((each) => lineWidths(each.steps))]);
}

function stepWords(steps: readonly ExplainedStep[], width: number, depth: number): string[] {
  const indent = "  ".repeat(depth);
  return steps.flatMap(({ line, text, inside }) => [
    `    ${line.padEnd(width)}  ${indent}${text}`,
    ...inside.flatMap(({ label, steps: inner }) => [
      `    ${" ".repeat(width)}  ${indent}  ${label}${inner.length === 0 ? ": nothing" : ""}`,
      ...stepWords(inner, width, depth + 2),
    ]),
  ]);
}
