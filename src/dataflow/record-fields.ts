// Decodes of a source's record only the fields that its code uses, when the code does nothing with the record but take fields out of it: the record's binding is
// replaced by one binding per field, so that hops carry the fields too.
import { scanFields } from "../base/value-shapes.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { CompiledSource } from "./compiled.ts";
import {
  argsOf,
  type Binding,
  type FlowNode,
  type FlowPattern,
  type FlowProgram,
  type Label,
  visitBindings,
  visitNodes,
} from "./flow.ts";
import { Ops } from "./ops.ts";
import type { Plan } from "./plan.ts";

type Decode = CompiledSource["decode"];

/** Changes the program where it can; answers the fields by label. */
export function splitRecords(program: FlowProgram): Map<Label, readonly string[]> {
  const fieldsOf = new Map<Label, readonly string[]>();
  for (const label of [...program.sources.map(({ label }) => label), ...program.exploded]) {
    const record = label.params[0];
    if (record === undefined) continue;
    const uses = usesOf(program, record);
    const takes = uses.map((node) => fieldsTaken(node, record));
    if (uses.length === 0 || takes.some((each) => each === undefined)) continue;
    const bindings = new Map<string, Binding>();
    for (const { name } of takes.flatMap((each) => each!)) {
      if (!bindings.has(name)) bindings.set(name, fieldBinding(record, name, bindings.size));
    }
    uses.forEach((node, i) => {
      node.op = {
        kind: "rebind",
        from: takes[i]!.map(({ name }) => bindings.get(name)!),
        to: takes[i]!.map(({ to }) => to),
      };
      node.outs = undefined;
    });
    label.params.splice(0, 1, ...bindings.values());
    fieldsOf.set(label, [...bindings.keys()]);
  }
  return fieldsOf;
}

function fieldBinding(record: Binding, name: string, index: number): Binding {
  return { id: record.id + (index + 1) / 1000, name: `${record.name}.${name}`, js: `${record.js}_f${index}` };
}

function usesOf(program: FlowProgram, record: Binding): FlowNode[] {
  const nodes: FlowNode[] = [];
  for (const label of program.labels) {
    visitNodes(label.entry, (node) => {
      let uses = false;
      for (const arg of argsOf(node.op)) visitBindings(arg, (binding) => (uses ||= binding === record));
      if (uses) nodes.push(node);
    });
  }
  return nodes;
}

/** The fields that a node takes out of the record; undefined when it does more with it. */
function fieldsTaken(node: FlowNode, record: Binding): { name: string; to: Binding | FlowPattern }[] | undefined {
  const { op } = node;
  if (op.kind === "destructure" && op.value.kind === "var" && op.value.binding === record) {
    return op.pattern.kind === "object" ? [...op.pattern.fields] : undefined;
  }
  if (op.kind !== "call" || op.fn !== Ops.GET || node.outs?.length !== 1) return undefined;
  const [from, key] = op.args;
  if (from!.kind !== "var" || from!.binding !== record || key!.kind !== "const" || typeof key!.value !== "string")
    return undefined;
  return [{ name: key!.value, to: node.outs[0]! }];
}

/** How the stage's array is made of an encoded record. */
export function recordDecoder(
  plan: Plan,
  label: Label,
  fields: readonly string[] | undefined,
  classes: ClassRegistry | undefined,
): Decode {
  if (fields === undefined) return (bytes, start, end) => [decodeValue(bytes, start, end, classes)];
  const live = fields.map((_, i) => plan.used.has(label.params[i]!));
  const scan = scanFields(
    fields.filter((_, i) => live[i]),
    classes,
  );
  if (live.every((each) => each)) return scan;
  return (bytes, start, end) => {
    const found = scan(bytes, start, end);
    let at = 0;
    return live.map((each) => (each ? found[at++] : null));
  };
}
