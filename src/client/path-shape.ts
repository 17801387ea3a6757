// Splits a client's path into its shape and its arguments, so that `Path.key("a")` and `Path.key("b")` are one prepared path on the wire. Data in argument
// positions becomes slots, in the order in which `visitArgs` meets it; ops stay in the shape by name; functions cannot be sent.
import { RamaError } from "../base/errors.ts";
import { type ArgNode, isOp } from "../paths/arg.ts";
import { mapArgs, type Step, type Steps } from "../paths/spec.ts";

export interface PathShape {
  /** Equal for equal shapes. */
  readonly key: string;
  /** Values of the slots. */
  readonly args: readonly unknown[];
}

export function shapeOfPath(steps: Steps): PathShape {
  const args: unknown[] = [];
  return { key: stepsKey(steps, args), args };
}

/** The steps with slots in place of data; what the engine is sent. */
export function slottedSteps(steps: Steps): Steps {
  let index = 0;
  return mapArgs(steps, (arg) => {
    if (arg.kind !== "const" || isOp(arg.value)) return arg;
    return Object.freeze({ kind: "slot", index: index++ });
  });
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
    args.push(arg.value);
    return "_";
  }
  if (arg.kind === "expr") throw functionInPath(where, "an expression");
  throw new RamaError("BAD_PATH", `${where}: a client's path has no vars`, { where });
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
