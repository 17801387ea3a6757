// Where partitioners of the own module go.
import type { Steps } from "../paths/spec.ts";
import type { FlowArg, SendTarget } from "./flow.ts";
import { type BlockNode, builderError, type NodeOf } from "./nodes.ts";
import type { Resolver } from "./resolve.ts";
import type { Scope } from "./scope.ts";

export const onlyTask: SendTarget = { kind: "task", task: { kind: "const", value: 0 } };

export function sendTarget(node: NodeOf<"partition">, args: readonly FlowArg[], one: boolean): SendTarget {
  switch (node.by) {
    case "hash":
      return { kind: "hash", key: args[0]! };
    case "direct":
      return { kind: "task", task: args[0]! };
    case "global":
      return onlyTask;
    case "custom":
      return { kind: "custom", fn: node.fn!, args, partitions: one ? "one" : "tasks" };
    default:
      return { kind: node.by as "all" | "shuffle" | "origin" };
  }
}

/** The key that a path on a PState begins with. KEY_REQUIRED. */
export function leadingKey(
  resolver: Resolver,
  node: BlockNode,
  on: { readonly name: string; readonly steps: Steps },
  scope: Scope,
): FlowArg {
  const first = on.steps[0];
  if (first !== undefined && first.nav === "key") return resolver.arg(first.args[0]!, scope, node);
  const message = `the path on ${on.name} must begin with key(…), which tells the partition`;
  throw builderError("KEY_REQUIRED", node, message, { pstate: on.name });
}
