// Liveness over the flow graph: which bindings are used at all, which each label needs from outside of it (what a hop carries, what a function is given), and
// which labels become functions. Labels may lead to each other in circles (loops), so sets grow until nothing changes.
import {
  argsOf,
  type Binding,
  boundBy,
  type FlowNode,
  type FlowProgram,
  insideOf,
  type Label,
  labelsOf,
  visitBindings,
  visitNodes,
} from "./flow.ts";
import { patternBindings, targetBindings } from "./flow.ts";

export interface Plan {
  readonly program: FlowProgram;
  readonly used: ReadonlySet<Binding>;
  /** In a fixed order: the order of stage vars and function parameters. */
  free(label: Label): readonly Binding[];
  /** Becomes a function of its own; otherwise its code stands where it is reached. */
  isFunction(label: Label): boolean;
}

export function planOf(program: FlowProgram): Plan {
  prune(program);
  const used = usedBindings(program);
  const free = freeSets(program, used);
  const sorted = new Map<Label, readonly Binding[]>();
  for (const [label, set] of free)
    sorted.set(
      label,
      [...set].sort((a, b) => a.id - b.id),
    );
  return {
    program,
    used,
    free: (label) => sorted.get(label)!,
    isFunction: (label) => label.kind === "loop" || label.refs + (label.stage === undefined ? 0 : 1) > 1,
  };
}

/** Leaves out jumps to labels where nothing happens, so that what stands before them comes last in its function. */
function prune(program: FlowProgram): void {
  const isIdle = ({ op, next }: FlowNode) =>
    op.kind === "goto" &&
    op.label.kind !== "loop" &&
    op.label.entry.length === 0 &&
    next.length === 0 &&
    !op.args.some(({ kind }) => kind === "expr");
  const pruneList = (list: readonly FlowNode[]): boolean => {
    const kept = list.filter((node) => !isIdle(node));
    for (const node of list) if (isIdle(node)) (node.op as { label: Label }).label.refs--;
    const changed = kept.length < list.length;
    if (changed) (list as FlowNode[]).splice(0, list.length, ...kept);
    const inner = kept.flatMap((node) => [...insideOf(node.op), ...node.streams.map(({ next }) => next), node.next]);
    return inner.map(pruneList).some((each) => each) || changed;
  };
  while (program.labels.map(({ entry }) => pruneList(entry)).some((each) => each));
}

/** Arguments that matter: of a goto those whose parameter is used and expressions, which run in any case; of a destructuring none when nothing that it binds is. */
function liveArgs(node: FlowNode, used: ReadonlySet<Binding>): readonly ReturnType<typeof argsOf>[number][] {
  const { op } = node;
  if (op.kind === "goto") return op.args.filter((arg, i) => arg.kind === "expr" || used.has(op.label.params[i]!));
  if (op.kind === "put" && op.feeds !== undefined)
    return argsOf({ ...op, args: op.args.filter((_, i) => used.has(op.feeds![i]!)) });
  if (
    op.kind === "destructure" &&
    op.pattern.kind === "object" &&
    !patternBindings(op.pattern).some((each) => used.has(each))
  )
    return [];
  if (op.kind === "rebind") {
    const live = op.from.filter(
      (_, i) =>
        targetBindings(op.to[i]!).some((each) => used.has(each)) || ("kind" in op.to[i]! && op.to[i]!.kind === "list"),
    );
    return live.map((binding) => ({ kind: "var", binding }));
  }
  return argsOf(op);
}

function usedBindings(program: FlowProgram): Set<Binding> {
  const used = new Set<Binding>();
  for (let before = -1; before !== used.size; ) {
    before = used.size;
    for (const label of program.labels) {
      visitNodes(label.entry, (node) => {
        for (const arg of liveArgs(node, used)) visitBindings(arg, (binding) => used.add(binding));
      });
    }
  }
  return used;
}

function freeSets(program: FlowProgram, used: ReadonlySet<Binding>): Map<Label, Set<Binding>> {
  const free = new Map<Label, Set<Binding>>(program.labels.map((label) => [label, new Set()]));
  const needs = (list: readonly FlowNode[], into: Set<Binding>): Set<Binding> => {
    for (const node of list) {
      for (const arg of liveArgs(node, used)) visitBindings(arg, (binding) => into.add(binding));
      for (const inner of insideOf(node.op)) needs(inner, into);
      for (const label of labelsOf(node.op)) for (const binding of free.get(label)!) into.add(binding);
      for (const { outs, next } of node.streams) without(needs(next, new Set()), outs, into);
      without(needs(node.next, new Set()), boundBy(node), into);
    }
    return into;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const label of program.labels) {
      const set = free.get(label)!;
      const before = set.size;
      without(needs(label.entry, new Set()), label.params, set);
      if (set.size !== before) changed = true;
    }
  }
  return free;
}

function without(needed: ReadonlySet<Binding>, bound: readonly Binding[], into: Set<Binding>): void {
  for (const binding of needed) if (!bound.includes(binding)) into.add(binding);
}
