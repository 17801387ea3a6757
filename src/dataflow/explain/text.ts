// Plain words for what stands in a plan: arguments, functions, paths, targets, schemas.
import { type ArgNode, isOp } from "../../paths/arg.ts";
import type { Step, Steps } from "../../paths/spec.ts";
import type { DepotDefinition, ModuleDefinition } from "../../module/definition.ts";
import type { SchemaNode } from "../../module/schema.ts";
import { isOperation } from "../emission.ts";
import { type FlowArg, isFlowArg, type SendTarget } from "../flow.ts";
import { argText } from "../nodes.ts";

const longest = 56;

/** One line, cut where it gets long. */
export function short(text: string, most = longest): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

export class PlanText {
  readonly #module: ModuleDefinition;

  constructor(module: ModuleDefinition) {
    this.#module = module;
  }

  arg(arg: FlowArg): string {
    switch (arg.kind) {
      case "var":
        return varName(arg.binding.name);
      case "global":
        return this.#module.globals[arg.index]?.name ?? "a task global";
      case "const":
        return constantText(arg.value);
      case "expr":
        return `${this.fn(arg.op)}(${this.args(arg.args)})`;
    }
  }

  args(args: readonly FlowArg[]): string {
    return args.map((each) => this.arg(each)).join(", ");
  }

  /** An Op's name, a function's name, else its source as far as it is short. */
  fn(fn: unknown): string {
    if (isOp(fn)) return opName(fn);
    if (isOperation(fn)) return fn.fn.name || "operation(…)";
    if (typeof fn === "object" && fn !== null && isFlowArg(fn)) return this.arg(fn);
    const { name } = fn as { name: string };
    return name === "" ? `(${short(String(fn), 44)})` : name;
  }

  target(to: SendTarget): string {
    switch (to.kind) {
      case "all":
        return "every task";
      case "task":
        // The task of a chosen partition of another module's object.
        if (to.task.kind === "expr" && isOp(to.task.op) && to.task.op.name === "task of a partition")
          return `the task that has that partition`;
        return to.task.kind === "const" ? `task ${String(to.task.value)}` : `task ${this.arg(to.task)}`;
      case "hash":
        return to.byKeys ? "the task of its keys' hash" : `the task of hash(${this.arg(to.key)})`;
      case "shuffle":
        return "the next task of a shuffled round";
      case "origin":
        return "the task where the query started";
      case "path":
        return `the partition of ${this.#module.pstates[to.pstate]!.name} that has ${this.arg(to.key)}`;
      case "custom":
        return `the task that ${this.fn(to.fn)}(${[to.partitions === "one" ? "1" : "tasks", ...to.args.map((each) => this.arg(each))].join(", ")}) names`;
    }
  }
}

function opName(op: { readonly name: string }): string {
  return op.name.replace(/^Ops\./, "");
}

/** The compiler's own names: a value that is taken apart at once, and the fields that a record is decoded to. */
export function varName(name: string): string {
  return name === "whole" ? "it" : name.replace(/^whole\./, "record.");
}

function constantText(value: unknown): string {
  if (isOp(value)) return opName(value);
  if (typeof value === "function") return value.name === "" ? `(${short(String(value), 30)})` : value.name;
  if (typeof value === "string") return JSON.stringify(short(value, 24));
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Map || value instanceof Set) return `${value.constructor.name}(${value.size})`;
  return short(JSON.stringify(value) ?? "{…}", 30);
}

function stepArg(arg: ArgNode): string {
  if (arg.kind === "const") return constantText(arg.value);
  if (arg.kind !== "expr") return argText(arg);
  const { op } = arg;
  const name = isOp(op) ? opName(op) : "kind" in op && op.kind === "var" ? op.name : constantText(op);
  return `${name}(${arg.args.map(stepArg).join(", ")})`;
}

export function pathText(steps: Steps): string {
  return steps.length === 0 ? "all of it" : steps.map(stepText).join(".");
}

function stepText(step: Step): string {
  const { nav, args, paths, range, names } = step;
  if (nav === "aggregate") {
    const [leaf, ...inputs] = args;
    const { name } = (leaf as { value: { name: string } }).value;
    return `${name}(${inputs.map(stepArg).join(", ")})`;
  }
  if (names !== undefined) return `${nav}({ ${names.map((name, i) => `${name}: ${stepArg(args[i]!)}`).join(", ")} })`;
  const inner = [...args.map(stepArg), ...paths.map(pathText)].join(", ");
  if (range === undefined) return `${nav}(${inner})`;
  return `${nav === "mapRange" ? "sortedMap" : "sortedSet"}${rangeText(range, args.map(stepArg))}`;
}

function rangeText(range: NonNullable<Step["range"]>, args: readonly string[]): string {
  let at = 0;
  const parts: string[] = [];
  if (range.hasFrom) parts.push(`${range.fromExclusive ? "after" : "from"} ${args[at++]}`);
  if (range.hasTo) parts.push(`${range.toInclusive ? "up to and with" : "before"} ${args[at++]}`);
  if (range.hasLimit) parts.push(`${range.reverse ? "the last" : "at most"} ${args[at]}`);
  return `Range(${parts.join(", ")})`;
}

export function schemaWords(node: SchemaNode): string {
  switch (node.kind) {
    case "leaf":
      return node.type.name;
    case "map":
      return `${indexed(node)}map of ${node.key.name} to ${schemaWords(node.value)}`;
    case "set":
      return `${indexed(node)}set of ${node.element.name}`;
    case "list":
      return `${indexed(node)}list of ${schemaWords(node.element)}`;
    case "fixed":
      return `{ ${[...node.fields].map(([name, field]) => `${name}: ${schemaWords(field)}`).join(", ")} }`;
    case "migrated":
      return `${schemaWords(node.to)} (migrated by "${node.id}")`;
  }
}

function indexed(node: { readonly subindexed?: unknown }): string {
  return node.subindexed === undefined ? "" : "subindexed ";
}

export function depotWords(depot: DepotDefinition): string {
  if (depot.tickMs !== undefined) return `a tick every ${depot.tickMs} ms, on task 0`;
  const { partitioning } = depot;
  const scheme = {
    random: () => "appends go to random partitions",
    hashField: () => `partitioned by the hash of "${(partitioning as { field: string }).field}"`,
    hashOp: () => `partitioned by the hash of ${(partitioning as { op: string }).op} of the record`,
    hashFunction: () =>
      `partitioned by the hash of ${short(String((partitioning as { fn: unknown }).fn), 44)}, evaluated in the cluster`,
    custom: () => "partitioned by a class of its own",
    disallow: () => "only topologies append",
  }[partitioning.kind]();
  return depot.global ? "one partition, on task 0" : scheme;
}

/** Vars whose names are not the author's are how the compiler keeps track. */
export function isAuthors(name: string): boolean {
  return /^[*$]/.test(name) || name.includes(".");
}
