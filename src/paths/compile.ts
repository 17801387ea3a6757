// From a path to JavaScript functions. A compiled path takes the root value (plain data or an indexed structure) and the values of its symbolic
// arguments in the order of `collectArgs`. Compiled forms are kept beside the steps, so compiling the same path object again costs a lookup.
//
// Reading an indexed structure whose page is not in memory answers as if empty and notes that in its ReadSession: the caller looks at
// `session.missed`, throws result or error away, loads and evaluates again (`indexed.ts`).
import { block, select, withCollected } from "./compile-select.ts";
import { transformInto } from "./compile-transform.ts";
import { Generator, type WriteRuntime } from "./generator.ts";
import type { ReadSession } from "./indexed.ts";
import { pageSizeOf } from "./paging.ts";
import type { SchemaHint, StepName, Steps } from "./spec.ts";

export type CompiledSelect = (root: unknown, args: readonly unknown[], session?: ReadSession) => unknown[];
export type CompiledSelectOne = (root: unknown, args: readonly unknown[], session?: ReadSession) => unknown;
export type CompiledSelectEach = (root: unknown, args: readonly unknown[], emit: (value: unknown) => void) => void;
/** The new root value; the same handle where the root is an indexed structure, which is changed in place. */
export type CompiledTransform = (root: unknown, args: readonly unknown[], session?: ReadSession) => unknown;

export interface CompileOptions {
  /** The schema of the root: decides what is created, and which values need to be looked through for handles. */
  readonly schema?: SchemaHint;
  /** Another set of writing functions, which also notes what changes. */
  readonly runtime?: WriteRuntime;
}

interface Compiled {
  readonly schema: SchemaHint | undefined;
  readonly runtime: WriteRuntime | undefined;
  readonly kind: string;
  readonly fn: any;
}

const compiled = new WeakMap<Steps, Compiled[]>();

function cached<T>(steps: Steps, kind: string, options: CompileOptions, make: () => T): T {
  let list = compiled.get(steps);
  if (list === undefined) {
    list = [];
    compiled.set(steps, list);
  }
  const { schema, runtime } = options;
  for (const each of list) if (each.kind === kind && each.schema === schema && each.runtime === runtime) return each.fn;
  const fn = make();
  list.push({ kind, schema, runtime, fn });
  return fn;
}

/** Everything the path navigates to, in order. */
export function compileSelect(steps: Steps, options: CompileOptions = {}): CompiledSelect {
  return cached(steps, "select", options, () => {
    const g = new Generator(steps);
    g.line("const list = [];");
    selectAll(g, steps, options, (value) => `list.push(${value});`);
    g.line("return list;");
    return g.build("select", "root, a");
  });
}

/** The same; where the path allows it (`pageSizeOf`) only the page that the session asks for. */
export function compilePagedSelect(steps: Steps, options: CompileOptions = {}): CompiledSelect {
  if (pageSizeOf(steps) === undefined) return compileSelect(steps, options);
  return cached(steps, "paged", options, () => {
    const g = new Generator(steps);
    g.pages = true;
    g.line("const list = [];");
    selectAll(g, steps, options, (value) => `list.push(${value});`);
    g.line("return list;");
    return g.build("select", "root, a, session");
  });
}

/** The same, one call of `emit` per value: what is downstream runs before the next value is looked for. */
export function compileSelectEach(steps: Steps, options: CompileOptions = {}): CompiledSelectEach {
  return cached(steps, "each", options, () => {
    const g = new Generator(steps);
    selectAll(g, steps, options, (value) => `emit(${value});`);
    return g.build("selectEach", "root, a, emit");
  });
}

/** The one value. NOT_EXACTLY_ONE when there is none or more. */
export function compileSelectOne(steps: Steps, options: CompileOptions = {}): CompiledSelectOne {
  return cached(steps, "one", options, () => {
    const g = new Generator(steps);
    g.line("let count = 0; let found = null;");
    selectAll(g, steps, options, (value) => `count++; found = ${value};`);
    g.line("return count === 1 ? found : R.notOne(count);");
    return g.build("selectOne", "root, a");
  });
}

/** NO_TERMINAL and VOID_AT_ROOT are told at compilation where they can be known. */
export function compileTransform(steps: Steps, options: CompileOptions = {}): CompiledTransform {
  return cached(steps, "transform", options, () => {
    const g = new Generator(steps);
    const out = transformInto(g, steps, "root", options.schema);
    g.line(`return ${out} === VOID ? R.voidAtRoot() : ${out};`);
    return g.build("transform", "root, a", options.runtime);
  });
}

function selectAll(g: Generator, steps: Steps, { schema }: CompileOptions, use: (value: string) => string): void {
  const deep = yieldsParts(steps) && (schema === undefined || hasNestedStructure(schema));
  if (deep) g.line("const ship = R.isIndexedRoot(root) ? R.assertShippableDeep : R.assertShippable;");
  block(g, "{", () => {
    select(g, steps, "root", undefined, (value, collected) => {
      g.line(use(`${deep ? "ship" : "R.assertShippable"}(${withCollected(value, collected)})`));
    });
  });
}

const partNavigators: ReadonlySet<StepName> = new Set([
  "all",
  "first",
  "last",
  "indexedVals",
  "sublist",
  "sublistDynamic",
  "filteredList",
  "subMap",
  "subMapOf",
  "mapRange",
  "subselect",
  "collect",
  "collectOne",
  "customNav",
  "customNavBuilder",
  "view",
]);

/** Whether a value of the path may be a new collection that holds handles. */
function yieldsParts(steps: Steps): boolean {
  return steps.some(({ nav, paths }) => partNavigators.has(nav) || paths.some(yieldsParts));
}

function below(schema: SchemaHint): SchemaHint[] {
  const element = typeof schema.element === "object" && schema.element !== null ? [schema.element as SchemaHint] : [];
  const children = [schema.value, schema.to, ...element, ...(schema.fields?.values() ?? [])];
  return children.filter((child): child is SchemaHint => child !== undefined);
}

function hasNestedStructure(schema: SchemaHint): boolean {
  return below(schema).some((child) => child.subindexed !== undefined || hasNestedStructure(child));
}

const oneToOne: ReadonlySet<StepName> = new Set([
  "key",
  "nth",
  "beginning",
  "end",
  "sublist",
  "sublistDynamic",
  "filteredList",
  "subMap",
  "subMapOf",
  "subSet",
  "subSetOf",
  "mapRange",
  "setRange",
  "subselect",
  "nullToVal",
  "nullToList",
  "nullToSet",
  "view",
  "contains",
  "transformed",
  "stay",
  "collect",
  "collectOne",
  "putCollected",
  "dispenseCollected",
]);

/** "one" when the path navigates to exactly one value whatever the data is. */
export function cardinality(steps: Steps): "one" | "any" {
  const one = steps.every(({ nav, paths }) => {
    if (nav === "ifPath") return paths.slice(1).every((path) => cardinality(path) === "one");
    if (nav === "withPageSize" || (nav === "multiPath" && paths.length === 1)) return cardinality(paths[0]!) === "one";
    return oneToOne.has(nav);
  });
  return one ? "one" : "any";
}

const scans: ReadonlySet<StepName> = new Set([
  "all",
  "mapVals",
  "mapKeys",
  "first",
  "last",
  "mapRange",
  "setRange",
  "filteredList",
  "indexedVals",
  "sublist",
  "sublistDynamic",
  "end",
  "customNav",
  "customNavBuilder",
  "view",
  "transformed",
  "contains",
]);

/**
 * Whether evaluating the path may miss memory: it scans a structure that is stored element by element. Reads and writes of single elements never do.
 * Answers true where the schema leaves it open.
 */
export function mayMiss(steps: Steps, schema: SchemaHint | undefined): boolean {
  return steps.some(({ nav, paths }) => scans.has(nav) || paths.some((path) => mayMiss(path, schema)));
}
