// Text of generated functions: lines, calls between them, constants, names. A call's form depends on whether the called function suspends, which is known only
// when all functions are written; so calls are kept as data until then.
import type { Label } from "./flow.ts";

export interface CallLine {
  readonly label: Label;
  readonly args: readonly string[];
  /** Nothing follows: the call returns for its caller. JavaScriptCore makes it a jump, so loops over functions do not grow the stack. */
  readonly tail: boolean;
}

export class FunctionCode {
  readonly lines: (string | CallLine)[] = [];
  suspends = false;

  constructor(
    readonly name: string,
    readonly parameters: readonly string[],
    readonly label: Label,
    readonly isStage = false,
  ) {}

  line(text: string): void {
    this.lines.push(text);
  }

  get calls(): readonly CallLine[] {
    return this.lines.filter((line) => typeof line === "object");
  }

  text(of: ReadonlyMap<Label, FunctionCode>): string {
    const lines = this.lines.map((line) =>
      typeof line === "string" ? line : callText(line, of.get(line.label)!, this),
    );
    return `function${this.suspends ? "*" : ""} ${this.name}(${this.parameters.join(", ")}) {\n${lines.join("\n")}\n}`;
  }
}

/**
 * A generator hands its last call to its caller (`R.go` runs such a chain), so that loops over generators do not grow the stack either. Stages have no
 * caller that knows of this.
 */
function callText({ args, tail }: CallLine, target: FunctionCode, inside: FunctionCode): string {
  const call = `${target.name}(${args.join(", ")})`;
  if (target.suspends)
    return tail && !inside.isStage ? `return ${call};` : `yield* R.go(${call});${tail ? " return;" : ""}`;
  return tail && !inside.suspends ? `return ${call};` : `${call};${tail ? " return;" : ""}`;
}

/** A function that calls one that suspends, suspends. */
export function spreadSuspension(functions: readonly FunctionCode[], of: ReadonlyMap<Label, FunctionCode>): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const each of functions) {
      if (each.suspends || !each.calls.some(({ label }) => of.get(label)!.suspends)) continue;
      each.suspends = true;
      changed = true;
    }
  }
}

/** Values that generated code refers to by name. */
export class Constants {
  readonly values: unknown[] = [];
  readonly #names = new Map<unknown, string>();

  name(value: unknown): string {
    let name = this.#names.get(value);
    if (name === undefined) {
      name = `c${this.values.push(value) - 1}`;
      this.#names.set(value, name);
    }
    return name;
  }

  /** A literal where that is exact and short. */
  literal(value: unknown): string {
    if (value === null || typeof value === "boolean") return String(value);
    if (typeof value === "number" && Number.isFinite(value) && !Object.is(value, -0))
      return value < 0 ? `(${value})` : `${value}`;
    if (typeof value === "string" && value.length < 100 && value.isWellFormed()) return JSON.stringify(value);
    return this.name(value);
  }
}
