// From the flow graph to JavaScript. Everything downstream of a node is nested inside it, so one emit runs all that follows before the next, as the language
// says; labels that are reached from several places become functions; vars are locals. Per kind of node: `emit-nodes.ts`.
import { type Callable, isOp } from "../paths/arg.ts";
import { type CallLine, Constants, FunctionCode, spreadSuspension } from "./code.ts";
import type { CompiledStage } from "./compiled.ts";
import { emitNode } from "./emit-nodes.ts";
import { type Binding, type FlowArg, type FlowNode, type FlowPattern, isFlowArg, type Label } from "./flow.ts";
import type { Plan } from "./plan.ts";
import { runtime } from "./runtime.ts";

/** Where code is being written. */
export interface Spot {
  readonly code: FunctionCode;
  /** Nothing follows in this function. */
  readonly tail: boolean;
  /** The loop whose function this is. */
  readonly loop: Label | undefined;
}

export class Emitter {
  readonly constants = new Constants();
  readonly #functions: FunctionCode[] = [];
  readonly #byLabel = new Map<Label, FunctionCode>();
  readonly #loopsWithContinue = new Set<Label>();
  #names = 0;

  constructor(
    readonly plan: Plan,
    /** Vars may hold states of their own. */
    readonly detached = false,
  ) {}

  /** All functions, and the stages that run them. */
  emit(): { stages: CompiledStage[]; sourceText: string } {
    const { program } = this.plan;
    for (const label of program.labels) if (this.plan.isFunction(label)) this.#function(label);
    const stages = program.stages.map((label) => this.#stage(label));
    spreadSuspension(this.#functions, this.#byLabel);
    spreadSuspension(stages, this.#byLabel);
    const texts = [...this.#functions, ...stages].map((each) => each.text(this.#byLabel));
    const sourceText = texts.join("\n\n");
    const { values } = this.constants;
    const names = values.map((_, i) => `c${i}`).join(", ");
    const source = `"use strict";\nconst [${names}] = C;\n${sourceText}\nreturn [${stages.map(({ name }) => name).join(", ")}];`;
    const made = new Function("C", "R", source)(values, runtime) as CompiledStage["run"][];
    const compiled = made.map((run, i) => ({ suspends: stages[i]!.suspends, run, name: stages[i]!.label.text }));
    return { stages: compiled as CompiledStage[], sourceText };
  }

  // ---- functions

  #function(label: Label): void {
    const parameters = ["x", ...this.params(label).map(({ js }) => js), ...this.plan.free(label).map(({ js }) => js)];
    const code = new FunctionCode(`f${label.id}`, parameters, label);
    this.#functions.push(code);
    this.#byLabel.set(label, code);
    const loop = label.kind === "loop" ? label : undefined;
    this.list(label.entry, { code, tail: true, loop });
    if (loop === undefined || !this.#loopsWithContinue.has(label)) return;
    code.lines.unshift(`L${label.id}: for (;;) {`);
    code.lines.push("return;", "}");
  }

  /** A stage takes its vars out of the array: what is free in it, then what the runtime adds. */
  #stage(label: Label): FunctionCode {
    const code = new FunctionCode(`s${label.stage}`, ["x", "v"], label, true);
    const vars = [...this.plan.free(label), ...label.params];
    const slots = new Map(vars.map((binding, i) => [binding, `v[${i}]`]));
    if (this.plan.isFunction(label)) {
      const given = [...this.params(label), ...this.plan.free(label)];
      code.lines.push({ label, args: ["x", ...given.map((binding) => slots.get(binding)!)], tail: true });
      return code;
    }
    for (const [binding, slot] of slots) if (this.plan.used.has(binding)) code.line(`const ${binding.js} = ${slot};`);
    this.list(label.entry, { code, tail: true, loop: undefined });
    return code;
  }

  /** Parameters of a label that anything uses. */
  params(label: Label): readonly Binding[] {
    return label.params.filter((binding) => this.plan.used.has(binding));
  }

  /** The vars that a hop to the stage carries. */
  vars(label: Label): string {
    return `[${this.plan
      .free(label)
      .map(({ js }) => js)
      .join(", ")}]`;
  }

  // ---- code

  list(list: readonly FlowNode[], spot: Spot): void {
    list.forEach((node, i) => {
      emitNode(this, node, i === list.length - 1 ? spot : { ...spot, tail: false });
    });
  }

  /** Goes on at a label, with these values for its parameters. */
  go(label: Label, args: readonly string[], spot: Spot): void {
    const { code, tail } = spot;
    const given = label.params.flatMap((binding, i) =>
      this.plan.used.has(binding) ? [{ binding, value: args[i]! }] : [],
    );
    if (!this.plan.isFunction(label)) {
      for (const { binding, value } of given) code.line(`const ${binding.js} = ${value};`);
      this.list(label.entry, spot);
    } else if (tail && spot.loop === label) {
      this.#loopsWithContinue.add(label);
      const names = given.map(() => this.name());
      if (names.length > 0) code.line(`const ${given.map(({ value }, i) => `${names[i]} = ${value}`).join(", ")};`);
      code.line(`${given.map(({ binding }, i) => `${binding.js} = ${names[i]}; `).join("")}continue L${label.id};`);
    } else {
      const all = ["x", ...given.map(({ value }) => value), ...this.plan.free(label).map(({ js }) => js)];
      code.lines.push({ label, args: all, tail } satisfies CallLine);
    }
  }

  block(head: string, spot: Spot, body: (inner: Spot) => void, tail = spot.tail): void {
    spot.code.line(`${head} {`);
    body({ ...spot, tail });
    spot.code.line("}");
  }

  name(): string {
    return `t${this.#names++}`;
  }

  isUsed(binding: Binding): boolean {
    return this.plan.used.has(binding);
  }

  /** Declares a local with a value that is never undefined. */
  declare(binding: Binding, value: string, spot: Spot, mayBeUndefined = false): void {
    const line = mayBeUndefined
      ? `let ${binding.js} = ${value}; if (${binding.js} === undefined) ${binding.js} = null;`
      : `const ${binding.js} = ${value};`;
    spot.code.line(line);
  }

  // ---- arguments

  /** A name or literal of the argument's value; expressions are computed into locals first. */
  value(arg: FlowArg, spot: Spot): string {
    switch (arg.kind) {
      case "const":
        return this.constants.literal(arg.value);
      case "var":
        return arg.binding.js;
      case "global": {
        const name = this.name();
        spot.code.line(`const ${name} = x.global(${arg.index});`);
        return name;
      }
      default: {
        const args = this.values(arg.args, spot);
        const name = this.name();
        const call = this.call(arg.op, args, spot);
        if ("kind" in arg.op && arg.op.kind === "op") spot.code.line(`const ${name} = ${call};`);
        else spot.code.line(`let ${name} = ${call}; if (${name} === undefined) ${name} = null;`);
        return name;
      }
    }
  }

  values(args: readonly FlowArg[], spot: Spot): string[] {
    return args.map((arg) => this.value(arg, spot));
  }

  /** The source of a call of an op, a function or what a var holds. */
  call(fn: Callable | FlowArg, args: readonly string[], spot: Spot): string {
    if (typeof fn === "object" && isFlowArg(fn)) return `R.callable(${this.value(fn, spot)})(${args.join(", ")})`;
    if (!isOp(fn)) return `${this.constants.name(fn)}(${args.join(", ")})`;
    const self = this.constants.name(fn.fn);
    if (fn.context) return `${self}(${["x", ...args].join(", ")})`;
    return fn.jsInline === undefined ? `${self}(${args.join(", ")})` : fn.jsInline(args, self);
  }

  // ---- patterns

  destructure(value: string, pattern: FlowPattern, spot: Spot): void {
    if (pattern.kind === "object") {
      for (const { name, to } of pattern.fields) this.#target(`R.field(${value}, ${JSON.stringify(name)})`, to, spot);
      return;
    }
    const list = this.name();
    spot.code.line(`const ${list} = R.list(${value}, ${pattern.items.length});`);
    pattern.items.forEach((to, i) => {
      this.#target(`${list}[${i}]`, to, spot);
    });
  }

  #target(value: string, to: Binding | FlowPattern, spot: Spot): void {
    if ("js" in to) {
      if (this.isUsed(to)) this.declare(to, value, spot, true);
      return;
    }
    const name = this.name();
    spot.code.line(`const ${name} = ${value};`);
    this.destructure(name, to, spot);
  }
}
