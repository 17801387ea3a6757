// Two sources of a batch become one: each puts its rows into a sink by the vars that they have in common; the next phase takes the pairs out, task by task.
import type { Scope } from "../scope.ts";
import { type Branch, joinKeys, namesOf, namesSince } from "./branch.ts";
import type { FlowPhase } from "./flow.ts";
import { byKeys, type FlowParts, instanceOf, phaseLabel, placeOf, sinkStages } from "./parts.ts";
import type { JoinSink } from "./sinks.ts";

export function joinBranches(
  parts: FlowParts,
  outside: Scope,
  left: Branch,
  right: Branch,
): { readonly branch: Branch; readonly phase: FlowPhase } {
  const { flow, fresh, resolver } = parts;
  const node = right.first;
  const keys = joinKeys(namesOf(left, outside), namesOf(right, outside))!;
  const sink: JoinSink = {
    kind: "join",
    id: parts.nextSink(),
    line: node.line,
    takeStage: -1,
    flushStage: -1,
    keepsAlone: [right.optional, left.optional],
    widths: [0, 0],
  };
  sinkStages(parts, outside, sink, node);
  const label = phaseLabel(parts, node);
  const keyOuts = keys.map((name) => fresh(name));
  const sides = [left, right].map((branch, side) => {
    const names = namesSince(branch.place.scope, outside).filter((name) => !keys.includes(name));
    const feeds = names.map((name) => fresh(name));
    flow(branch.place, node, {
      kind: "put",
      sink,
      side,
      instance: instanceOf(parts, branch.place, node),
      to: byKeys,
      keys: keys.map((name) => resolver.var(name, branch.place.scope, node)),
      args: names.map((name) => resolver.var(name, branch.place.scope, node)),
      feeds,
    });
    return feeds;
  });
  const start = placeOf(label, outside.with(label.params[0]!));
  const instance = instanceOf(parts, start, node);
  const rows = flow(start, node, { kind: "rows", sink, instance, keyCount: keys.length, sides });
  rows.outs = [...keyOuts, ...sides.flat()];
  const branch: Branch = {
    place: { ...start, list: rows.next, scope: rows.outs.reduce((scope, each) => scope.with(each), start.scope) },
    roots: new Set([...left.roots, ...right.roots]),
    first: left.first,
    unground: new Set([...left.unground, ...right.unground]),
    optional: left.optional && right.optional,
    frozen: false,
    final: undefined,
    last: undefined,
  };
  return { branch, phase: { sink, starts: [{ label, where: "all" }] } };
}
