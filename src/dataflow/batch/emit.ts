// The JavaScript of flow nodes of batches (`flow.ts`): calls of `x.batch`, and the rows that come out of a sink.
import type { Emitter, Spot } from "../emit.ts";
import type { Binding, FlowNode, SendTarget } from "../flow.ts";
import type { BatchFlowOp } from "./flow.ts";
import { aggregatedRows, joinedRows } from "./rows.ts";
import type { BatchPlan, JoinSink } from "./sinks.ts";

type OpOf<K extends BatchFlowOp["kind"]> = Extract<BatchFlowOp, { kind: K }>;

export function emitBatchNode(e: Emitter, node: FlowNode, op: BatchFlowOp, spot: Spot): void {
  const { code } = spot;
  switch (op.kind) {
    case "explode":
      return code.line(`x.batch.explode(${op.resume.stage}, ${e.vars(op.resume)}, ${op.source});`);
    case "explodeKept":
      return code.line(`x.batch.explodeKept(${op.resume.stage}, ${e.vars(op.resume)}, ${op.temporary});`);
    case "keep":
      code.line(`x.batch.keep(${op.temporary}, [${e.values(op.row, spot).join(", ")}]);`);
      return e.list(node.next, spot);
    case "batch":
      return batch(e, op, spot);
    case "put":
      put(e, op, spot);
      return e.list(node.next, spot);
    case "take":
      return code.line(
        `x.batch.take(${e.constants.name(op.sink)}, ${e.value(op.instance, spot)}, ${e.value(op.rows, spot)});`,
      );
    case "flush":
      return code.line(`x.batch.flush(${e.constants.name(op.sink)}, ${e.value(op.instance, spot)});`);
    case "rows":
      return rows(e, node, op, spot);
  }
}

function batch(e: Emitter, op: OpOf<"batch">, spot: Spot): void {
  const plan: BatchPlan = {
    phases: op.phases.map(({ sink, starts }) => ({
      sink,
      starts: starts.map(({ label, where }) => ({ stage: label.stage!, where })),
    })),
  };
  const starts = op.phases.flatMap((phase) => phase.starts.map(({ label }) => e.vars(label)));
  const resume = op.resume === undefined ? "-1, []" : `${op.resume.stage}, ${e.vars(op.resume)}`;
  spot.code.line(`x.batch.run(${e.constants.name(plan)}, [${starts.join(", ")}], ${resume});`);
}

function put(e: Emitter, op: OpOf<"put">, spot: Spot): void {
  const { sink, side, feeds } = op;
  const live = op.args.filter((_, i) => feeds === undefined || e.isUsed(feeds[i]!));
  const keys = e.values(op.keys, spot);
  const values = e.values(live, spot);
  const row =
    sink.kind === "join" ? `[[${keys.join(", ")}], [${values.join(", ")}]]` : `[${[...keys, ...values].join(", ")}]`;
  const task = taskSource(e, op.to, keys, spot);
  spot.code.line(`x.batch.put(${e.constants.name(sink)}, ${e.value(op.instance, spot)}, ${task}, ${side}, ${row});`);
}

/** A join, and groupBy, go by their keys; the caller tells that with a hash target whose key is ignored. */
function taskSource(e: Emitter, to: SendTarget | undefined, keys: readonly string[], spot: Spot): string {
  switch (to?.kind) {
    case undefined:
      return "-1";
    case "all":
      return "-2";
    case "shuffle":
      return "x.shuffleTask()";
    case "origin":
      return "x.originTask()";
    case "hash": {
      const key = to.byKeys ? (keys.length === 1 ? keys[0]! : `[${keys.join(", ")}]`) : e.value(to.key, spot);
      return `R.taskOf(${key}, x.numTasks)`;
    }
    case "path":
      return `x.pathTask(${to.pstate}, ${e.value(to.key, spot)})`;
    case "task":
      return to.task.kind === "const" ? e.value(to.task, spot) : `R.taskIndex(${e.value(to.task, spot)})`;
    case "custom": {
      const partitions = to.partitions === "one" ? "1" : "x.numTasks";
      return `${e.constants.name(to.fn)}(${[partitions, ...e.values(to.args, spot)].join(", ")})`;
    }
  }
}

function rows(e: Emitter, node: FlowNode, op: OpOf<"rows">, spot: Spot): void {
  const { sink } = op;
  const outs = node.outs ?? [];
  const row = e.name();
  const found = e.name();
  const sinkName = e.constants.name(sink);
  let kept: readonly Binding[] = outs;
  if (sink.kind === "join") {
    const used = op.sides.map((side) => side.filter((each) => e.isUsed(each)));
    (sink as JoinSink).widths = [used[0]!.length, used[1]!.length];
    kept = [...outs.slice(0, op.keyCount), ...used[0]!, ...used[1]!];
    spot.code.line(`const ${found} = ${e.constants.name(joinedRows)}(x, ${sinkName}, ${e.value(op.instance, spot)});`);
  } else {
    spot.code.suspends = true;
    spot.code.line(
      `const ${found} = yield* ${e.constants.name(aggregatedRows)}(x, ${sinkName}, ${e.value(op.instance, spot)});`,
    );
  }
  e.block(
    `for (const ${row} of ${found})`,
    spot,
    (inner) => {
      kept.forEach((out, i) => {
        if (e.isUsed(out)) e.declare(out, `${row}[${i}]`, inner);
      });
      e.list(node.next, inner);
    },
    false,
  );
}
