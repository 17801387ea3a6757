// Objects of other modules in dataflow. An object partitioner on a mirror chooses a partition of the remote object, which is bound to a hidden var and so travels
// with the event, and goes to the local task that has that partition. What then happens there - a select, a query, an append - is asked of `StageContext.mirrors`,
// and the event goes on when the answer comes; so all of it is made of nodes that are there for other reasons: calls, sends, awaits.
//   hashPartition("$$remote", k)   p = hash of k over the remote partitions;  go to task p mod tasks
//   localSelect("$$remote", path)  await mirrors.select($$remote, p, path);   each row goes on
// With R remote partitions and L tasks, both powers of two, p mod L gives each task R/L of them, or R of the tasks one each.
import { latin1Of } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import type { MirrorDefinition } from "../module/definition.ts";
import { type ArgNode, isOp, type Op } from "../paths/arg.ts";
import { cardinality, compileSelect } from "../paths/compile.ts";
import { isNavigator } from "../paths/navigator.ts";
import { encodePath } from "../paths/path-codec.ts";
import { collectArgs, mapArgs, slotOf, type Steps, visitArgs } from "../paths/spec.ts";
import type { MirrorAccess, MirrorPartition, StageContext } from "./compiled.ts";
import type { FlowArg } from "./flow.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "./nodes.ts";

/** A path on a remote PState: its shape, made once, and where each of its arguments comes from. */
export class MirrorPath {
  readonly shape: Uint8Array;
  /** Equal for equal shapes. */
  readonly key: string;
  readonly one: boolean;
  readonly #args: readonly unknown[];

  /** FUNCTION_IN_CLIENT_PATH, BAD_PATH. */
  constructor(steps: Steps) {
    refuseFunctions(steps);
    compileSelect(steps);
    this.one = cardinality(steps) === "one";
    const symbolic = collectArgs(steps);
    const data = mapArgs(steps, (arg) =>
      arg.kind === "const" ? arg : { kind: "const", value: new Given(slotOf(symbolic, arg)) },
    );
    const { shape, args } = encodePath(data);
    this.shape = shape;
    this.key = latin1Of(shape);
    this.#args = args;
  }

  /** The path's arguments, with the values of `collectArgs`. */
  args(values: readonly unknown[]): readonly unknown[] {
    return this.#args.map((arg) => (arg instanceof Given ? values[arg.slot] : arg));
  }
}

/** Stands for a value that is known when the path is run. */
class Given {
  constructor(readonly slot: number) {}
}

/** The remote module does not have this one's functions. */
function refuseFunctions(steps: Steps): void {
  visitArgs(steps, (arg: ArgNode) => {
    if (arg.kind !== "const" || isOp(arg.value)) return;
    if (typeof arg.value !== "function" && !isNavigator(arg.value)) return;
    const name = (arg.value as { name?: string }).name || "a function";
    throw new RamaError(
      "FUNCTION_IN_CLIENT_PATH",
      `${name} stands in a path on a PState of another module, which does not have it: use Ops, or call it on what the path finds`,
      { function: name },
    );
  });
}

/** Name of the hidden var that holds the chosen partition of a mirror. */
export function partitionVar(mirror: MirrorDefinition): string {
  return `@partition of ${mirror.name}`;
}

/** The local task that has a partition of a mirror, or of an external depot. */
export function mirrorTask(partition: number, tasks: number): number {
  return partition % tasks;
}

function internal(name: string, fn: (x: StageContext, ...args: any[]) => unknown, emits: Op["emits"] = "one"): Op {
  return Object.freeze({
    kind: "op",
    name,
    arity: Object.freeze({ min: 0, max: Number.POSITIVE_INFINITY }),
    emits,
    fields: 1,
    fn,
    context: true,
    structures: false,
  });
}

function access(x: StageContext): MirrorAccess {
  if (x.mirrors !== undefined) return x.mirrors;
  throw new RamaError("NOT_ALLOWED_HERE", "there is no cluster here whose modules could be asked");
}

const toTask = internal("task of a partition", (x, partition: number) => mirrorTask(partition, x.numTasks));

/** The send to where the partition that `partition` holds is assigned. */
export function taskOfPartition(partition: FlowArg): FlowArg {
  return { kind: "expr", op: toTask, args: [partition] };
}

const choosers: { readonly [By in NodeOf<"partition">["by"]]?: Op } = {
  hash: internal("hashPartition", (x, mirror: number, key: unknown) =>
    taskOf(key ?? null, access(x).partitions(mirror)),
  ),
  direct: internal("directPartition", (x, mirror: number, given: unknown) => checked(x, mirror, given)),
  global: internal("globalPartition", () => 0),
  shuffle: internal("shufflePartition", (x, mirror: number) => access(x).shuffled(mirror)),
  all: internal(
    "allPartition",
    (x, mirror: number) => Array.from({ length: access(x).partitions(mirror) }, (_, p) => p),
    "many",
  ),
};

function checked(x: StageContext, mirror: number, given: unknown): number {
  const count = access(x).partitions(mirror);
  const partition = typeof given === "bigint" ? Number(given) : given;
  if (typeof partition === "number" && Number.isInteger(partition) && partition >= 0 && partition < count)
    return partition;
  throw new RamaError("BAD_PARTITION", `partition ${String(given)} is not in [0, ${count})`, {
    partition: String(given),
    count,
  });
}

/** Chooses the remote partition; takes the mirror's index and then the partitioner's arguments. */
export function chooserOf(node: NodeOf<"partition">): Op {
  const { by, fn } = node;
  if (by === "custom") {
    return internal("customPartition", (x, mirror: number, ...args: unknown[]) =>
      checked(x, mirror, fn!(access(x).partitions(mirror), ...args)),
    );
  }
  const chooser = choosers[by];
  if (chooser === undefined) throw builderError("NOT_ALLOWED_HERE", node, `${nodeText(node)} knows no other module`);
  return chooser;
}

/** Resolves to the remote partition of a path's leading key. */
export const partitionOfKey = internal("partition of a key", (x, mirror: number, key: unknown) =>
  access(x).partitionOfKey(mirror, key ?? null),
);

function here(x: StageContext, name: string, partition: number): number {
  if (mirrorTask(partition, x.numTasks) === x.taskId) return partition;
  throw new RamaError(
    "BAD_PARTITION",
    `partition ${partition} of ${name} was chosen on task ${mirrorTask(partition, x.numTasks)}, and this is task ${x.taskId}: choose it again after other partitioners`,
    { object: name, partition, task: x.taskId },
  );
}

/** Resolves to the value, or to the rows, of the path. */
export function selectOf(mirror: MirrorDefinition, path: MirrorPath): Op {
  return internal(`select of ${mirror.name}`, (x, partition: number, ...values: unknown[]) =>
    access(x).select(mirror.index, here(x, mirror.name, partition), path, path.args(values)),
  );
}

/** The rows of a select, one emit each. */
export const eachRow = internal("rows", (_x, rows: readonly unknown[]) => rows, "many");

export function invokeOf(mirror: MirrorDefinition): Op {
  return internal(`query ${mirror.name}`, (x, ...args: unknown[]) => access(x).invoke(mirror.index, args));
}

/** What an append to the chosen partition is addressed to. */
export function appendTarget(mirror: MirrorDefinition, partition: FlowArg): FlowArg {
  const target = internal(
    `partition of ${mirror.name}`,
    (x, chosen: number): MirrorPartition => ({ mirror: mirror.index, partition: here(x, mirror.name, chosen) }),
  );
  return { kind: "expr", op: target, args: [partition] };
}

/** NOT_ALLOWED_HERE: no partition has been chosen on the way here. */
export function noPartition(node: BlockNode, mirror: MirrorDefinition): RamaError {
  const message = `${nodeText(node)} needs a partition of ${mirror.name}, an object of ${mirror.module}: put hashPartition("${mirror.name}", …), or another partitioner with the object, before it`;
  return builderError("NOT_ALLOWED_HERE", node, message, { object: mirror.name });
}
