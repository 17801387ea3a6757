// Which builder calls may stand in which kind of code (language.md 3, the column "Where").
import { type BlockNode, builderError, nodeText } from "./nodes.ts";

export type ProgramKind = "stream" | "microbatch" | "query" | "detached";

/** NOT_ALLOWED_HERE with what to do instead. */
export function checkKind(node: BlockNode, kind: ProgramKind, name: string | undefined): void {
  const problem = problemOf(node, kind);
  if (problem === undefined) return;
  const where = kind === "detached" ? "a detached block" : `the ${kind} topology ${name}`;
  throw builderError("NOT_ALLOWED_HERE", node, `${nodeText(node)} may not stand in ${where}: ${problem}`, { kind });
}

function problemOf(node: BlockNode, kind: ProgramKind): string | undefined {
  switch (node.kind) {
    case "ackReturn":
      return kind === "stream" ? undefined : "only appends to stream topologies wait for values";
    case "partition":
      if (kind === "detached") return "it has no tasks";
      return node.by === "origin" && kind !== "query" ? "only queries have an origin" : undefined;
    case "invokeQuery":
    case "depotAppend":
      return kind === "detached" ? "it has no module" : undefined;
    case "batchBlock":
      return kind === "stream" || kind === "query" ? batchHint(kind) : undefined;
    case "explodeMicrobatch":
    case "materialize":
    case "explodeMaterialized":
      return kind === "stream" || kind === "query" ? "it needs a microbatch" : undefined;
    case "freshBatchSource":
    case "subBatch":
    case "groupBy":
    case "limitAgg":
      return kind === "stream" ? "batch computations need a microbatch or a query" : undefined;
    default:
      return undefined;
  }
}

function batchHint(kind: "stream" | "query"): string {
  return kind === "stream" ? "use a microbatch topology" : "a query's body is a batch block already";
}
