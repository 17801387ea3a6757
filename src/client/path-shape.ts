// Tells the shape of a client's path from its arguments, so that `Path.key("a")` and `Path.key("b")` are one prepared path on the wire. The key made here is cheap and
// for the client alone; the shape's bytes are made once, by `paths/path-codec.ts`, which meets the arguments in the same order.
import { RamaError } from "../base/errors.ts";
import { type ArgNode, isOp } from "../paths/arg.ts";
import { isNavigator } from "../paths/navigator.ts";
import type { Step, Steps } from "../paths/spec.ts";

export interface PathShape {
  /** Equal for equal shapes. */
  readonly key: string;
  /** Values of the slots. */
  readonly args: readonly unknown[];
}

export function shapeOfPath(steps: Steps): PathShape {
  const keys = keysOnly(steps);
  if (keys !== undefined) return keys;
  const args: unknown[] = [];
  return { key: stepsKey(steps, args), args };
}

/** Of paths of `key(x)` alone, by their number of steps: the texts are always the same, and found faster than ones made anew. */
const keysShapes = [0, 1, 2, 3, 4, 5, 6].map((count) => "key_;".repeat(count));

/** `Path.key(x, y, …)`, the most frequent path by far, is spared the walk. */
function keysOnly(steps: Steps): PathShape | undefined {
  if (steps.length >= keysShapes.length) return undefined;
  const args: unknown[] = [];
  for (const { nav, args: own } of steps) {
    const arg = own[0];
    if (nav !== "key" || own.length !== 1 || arg!.kind !== "const") return undefined;
    if (typeof arg!.value !== "string" && typeof arg!.value !== "number") return undefined;
    args.push(arg!.value);
  }
  return { key: keysShapes[steps.length]!, args };
}

function stepsKey(steps: Steps, args: unknown[]): string {
  let key = "";
  for (const step of steps) key += stepKey(step, args);
  return key;
}

function stepKey(step: Step, args: unknown[]): string {
  let key = step.nav as string;
  for (const arg of step.args) key += argKey(arg, args, step.nav);
  if (step.range !== undefined) key += rangeKey(step.range);
  if (step.names !== undefined) key += JSON.stringify(step.names);
  for (const path of step.paths) key += `[${stepsKey(path, args)}]`;
  return `${key};`;
}

function argKey(arg: ArgNode, args: unknown[], where: string): string {
  if (arg.kind === "const") {
    if (isOp(arg.value)) return `<${arg.value.name}>`;
    if (typeof arg.value === "function") throw functionInPath(where, arg.value.name);
    if (isNavigator(arg.value)) throw functionInPath(where, "a navigator");
    args.push(arg.value);
    return "_";
  }
  if (arg.kind === "expr") throw functionInPath(where, "an expression");
  if (arg.kind === "slot") throw new RamaError("BAD_PATH", `${where}: a client's path has no slots`, { where });
  // What looks like a var is data at a client.
  args.push(arg.name);
  return "_";
}

function rangeKey(range: NonNullable<Step["range"]>): string {
  let key = "";
  for (const flag of [
    range.hasFrom,
    range.fromExclusive,
    range.hasTo,
    range.toInclusive,
    range.hasLimit,
    range.reverse,
  ]) {
    key += flag ? "1" : "0";
  }
  return key;
}

function functionInPath(where: string, name: string): RamaError {
  return new RamaError(
    "FUNCTION_IN_CLIENT_PATH",
    `${where} holds ${name === "" ? "a function" : name}; a client's path can hold Ops only`,
    { where },
  );
}
