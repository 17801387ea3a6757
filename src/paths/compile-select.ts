// The JavaScript of reading along a path: nested straight code, one loop per navigator that branches out. What is reached is handed to `then`.
import { RamaError } from "../base/errors.ts";
import { transformInto } from "./compile-transform.ts";
import type { Generator } from "./generator.ts";
import { type Step, type StepName, type Steps, terminals } from "./spec.ts";

/** Writes what happens at a place: `value` and `collected` name variables; collected is undefined where nothing can have been collected. */
export type Then = (value: string, collected: string | undefined) => void;

const virtual: ReadonlySet<StepName> = new Set(["afterElem", "beforeElem", "beforeIndex", "voidSetElem"]);

export function select(g: Generator, steps: Steps, value: string, collected: string | undefined, then: Then): void {
  const [first, ...rest] = steps;
  if (first === undefined) return then(value, collected);
  const go: Then = (next, list) => select(g, rest, next, list, then);
  if (terminals.has(first.nav))
    throw new RamaError("BAD_PATH", `${first.nav} ends transforms; it cannot stand where a path reads`);
  if (virtual.has(first.nav)) throw new RamaError("BAD_PATH", `${first.nav} navigates in transforms only`);
  const looped = loops[first.nav];
  if (looped !== undefined) {
    const source = g.pages ? `R.paged(session, ${value}, ${JSON.stringify(first.nav)})` : looped(value);
    g.pages = false;
    return loop(g, source, (each) => go(each, collected));
  }
  if (first.nav === "stop") return;
  const viewed = viewSource(g, first, value);
  if (viewed !== undefined) return go(declare(g, viewed), collected);
  const filtered = filterSource(g, first, value, collected);
  if (filtered !== undefined) return block(g, `if (${filtered}) {`, () => go(value, collected));
  const optional = optionalSource(g, first, value);
  if (optional !== undefined) {
    const place = declare(g, optional);
    return block(g, `if (${place} !== undefined) {`, () => go(place, collected));
  }
  selectControl(g, first, value, collected, go, rest.length === 0);
}

export function declare(g: Generator, source: string): string {
  const name = g.name("v");
  g.line(`const ${name} = ${source};`);
  return name;
}

export function block(g: Generator, head: string, body: () => void): void {
  g.line(head);
  body();
  g.line("}");
}

function loop(g: Generator, source: string, body: (element: string) => void): void {
  const element = g.name("v");
  block(g, `for (const ${element} of ${source}) {`, () => {
    body(element);
    if (g.condition !== undefined) g.line(`if (${g.condition}) break;`);
  });
}

const loops: Partial<Record<StepName, (value: string) => string>> = {
  all: (value) => `R.elements(${value})`,
  mapVals: (value) => `R.mapVals(${value})`,
  mapKeys: (value) => `R.mapKeys(${value})`,
  indexedVals: (value) => `R.indexed(${value})`,
};

/** `a[i] ?? null`-like reads that may find nothing: undefined means nowhere. */
function optionalSource(g: Generator, { nav, args }: Step, value: string): string | undefined {
  switch (nav) {
    case "must":
      return lookupSource(g, value, g.arg(args[0]!));
    case "first":
      return `R.endOf(${value}, false)`;
    case "last":
      return `R.endOf(${value}, true)`;
    case "mapKey":
      return `R.presentKey(${value}, ${g.arg(args[0]!)})`;
    case "setElem":
      return `R.presentElement(${value}, ${g.arg(args[0]!)})`;
    case "index":
      return `(R.isIndexOf(R.sizeOfList(${value}, "index"), ${g.arg(args[0]!)}) ? Number(${g.arg(args[0]!)}) : undefined)`;
    default:
      return undefined;
  }
}

/** The read of a key: at the top of a PState the first case holds. */
export function lookupSource(_g: Generator, value: string, key: string): string {
  return `(${value} instanceof IndexedMap ? ${value}.get(${key}) : R.lookup(${value}, ${key}))`;
}

/** Navigators to exactly one place that reading and transforming compute alike. */
export function viewSource(g: Generator, step: Step, value: string): string | undefined {
  const args = step.args;
  switch (step.nav) {
    case "nullToVal":
      return `(${value} === null || ${value} === VOID ? ${g.arg(args[0]!)} : ${value})`;
    case "nullToList":
      return `(${value} === null || ${value} === VOID ? [] : ${value})`;
    case "nullToSet":
      return `(${value} === null || ${value} === VOID ? new Set() : ${value})`;
    case "view":
      return g.call(args[0]!, [value, ...g.args(args.slice(1))], [value]);
    case "contains":
      return `R.contains(${value}, ${g.arg(args[0]!)})`;
    case "transformed":
      return `R.unvoid(${transformInto(g, step.paths[0]!, declare(g, `R.plain(${value})`))})`;
    default:
      return partSource(g, step, value);
  }
}

/** Navigators to one part or element; a transform has other code for them. */
function partSource(g: Generator, step: Step, value: string): string | undefined {
  const args = g.args(step.args);
  switch (step.nav) {
    case "key":
      return `(${lookupSource(g, value, args[0]!)} ?? null)`;
    case "nth":
      return `R.nth(${value}, ${args[0]})`;
    case "beginning":
      return `R.sublist(${value}, 0, 0)`;
    case "end":
      return "[]";
    case "sublist":
      return `R.sublist(${value}, ${args[0]}, ${args[1]})`;
    case "sublistDynamic": {
      const bounds = declare(g, `R.dynamicBounds(${value}, R.callable(${args[0]}), R.callable(${args[1]}))`);
      return `R.sublist(${value}, ${bounds}[0], ${bounds}[1])`;
    }
    case "subMap":
      return `R.subMap(${value}, [${args.join(", ")}])`;
    case "subMapOf":
      return `R.subMap(${value}, ${args[0]})`;
    case "subSet":
      return `R.subSet(${value}, [${args.join(", ")}])`;
    case "subSetOf":
      return `R.subSet(${value}, ${args[0]})`;
    case "mapRange":
      return `R.mapRange(${value}, ${g.constant(step.range)}, [${args.join(", ")}])`;
    case "setRange":
      return `R.setRange(${value}, ${g.constant(step.range)}, [${args.join(", ")}])`;
    case "subselect":
      return gather(g, step.paths[0]!, value);
    case "filteredList":
      return gatherFiltered(g, step.paths[0]!, value);
    default:
      return undefined;
  }
}

/** A list of everything that `steps` navigates to. */
export function gather(g: Generator, steps: Steps, value: string): string {
  const list = declare(g, "[]");
  const condition = g.condition;
  g.condition = undefined;
  g.line("{");
  select(g, steps, value, undefined, (each, collected) => g.line(`${list}.push(${withCollected(each, collected)});`));
  g.line("}");
  g.condition = condition;
  return list;
}

function gatherFiltered(g: Generator, steps: Steps, value: string): string {
  const list = declare(g, "[]");
  const element = g.name("v");
  block(g, `for (const ${element} of R.elements(${value})) {`, () => {
    g.line(`if (${condition(g, steps, element, undefined)}) ${list}.push(${element});`);
  });
  return list;
}

/** What a route yields at its end: the value, or the list of what was collected and the value. */
export function withCollected(value: string, collected: string | undefined): string {
  if (collected === undefined) return value;
  return `(${collected} === undefined || ${collected}.length === 0 ? ${value} : [...${collected}, ${value}])`;
}

/** A variable that is true when `steps` navigates anywhere. */
export function condition(g: Generator, steps: Steps, value: string, collected: string | undefined): string {
  const met = g.name("t");
  g.line(`let ${met} = false;`);
  const outer = g.condition;
  g.condition = met;
  g.line("{");
  select(g, steps, value, collected, () => g.line(`${met} = true;`));
  g.line("}");
  g.condition = outer;
  return met;
}

const comparisons: Partial<Record<StepName, string>> = {
  filterLessThan: "<",
  filterLessThanOrEqual: "<=",
  filterGreaterThan: ">",
  filterGreaterThanOrEqual: ">=",
};

/** The condition of a filter; undefined for other navigators. */
export function filterSource(
  g: Generator,
  { nav, args, paths }: Step,
  at: string,
  collected: string | undefined,
): string | undefined {
  const value = at.startsWith("p") ? `R.unvoid(${at})` : at;
  switch (nav) {
    case "filterPred":
      return `R.truthy(${g.call(args[0]!, [value], [value])})`;
    case "filterEqual":
      return `R.equal(${value}, ${g.arg(args[0]!)})`;
    case "filterNotEqual":
      return `!R.equal(${value}, ${g.arg(args[0]!)})`;
    case "filterSelected":
      return condition(g, paths[0]!, value, collected);
    case "filterNotSelected":
      return `!${condition(g, paths[0]!, value, collected)}`;
    case "isCollected":
      return `R.truthy(${g.call(args[0]!, [collected === undefined ? "[]" : `(${collected} ?? [])`])})`;
    case "stay":
      return "true";
    case "stop":
      return "false";
    default: {
      const operator = comparisons[nav];
      return operator === undefined ? undefined : `R.compare(${value}, ${g.arg(args[0]!)}) ${operator} 0`;
    }
  }
}

/** The new list of collected values of a collecting navigator; undefined for others. */
export function collectSource(
  g: Generator,
  { nav, args, paths }: Step,
  value: string,
  collected: string | undefined,
): string | undefined {
  const before = collected === undefined ? "" : `...(${collected} ?? []), `;
  switch (nav) {
    case "putCollected":
      return `[${before}${g.arg(args[0]!)}]`;
    case "collect":
      return `[${before}${gather(g, paths[0]!, value)}]`;
    case "collectOne": {
      const list = gather(g, paths[0]!, value);
      return `[${before}(${list}.length === 1 ? ${list}[0] : R.notOne(${list}.length))]`;
    }
    case "dispenseCollected":
      return "undefined";
    default:
      return undefined;
  }
}

export function navigatorSource(g: Generator, { nav, args }: Step): string {
  if (nav === "customNav") return `R.navigator(${g.arg(args[0]!)})`;
  return `R.navigator(${g.call(args[0]!, g.args(args.slice(1)))})`;
}

function selectControl(
  g: Generator,
  step: Step,
  value: string,
  collected: string | undefined,
  go: Then,
  last: boolean,
): void {
  const { nav, paths } = step;
  const gathered = collectSource(g, step, value, collected);
  if (gathered !== undefined) return go(value, gathered === "undefined" ? undefined : declare(g, gathered));
  switch (nav) {
    case "customNav":
    case "customNavBuilder":
      return loop(g, `${navigatorSource(g, step)}.select(${value})`, (each) =>
        go(declare(g, `R.some(${each})`), collected),
      );
    case "withPageSize":
      return select(g, paths[0]!, value, collected, go);
    default:
  }
  // Several routes meet again behind these: what follows is written once, as a function, unless it is the end.
  const rejoin = last ? go : joined(g, go, collected !== undefined || paths.some(collects));
  switch (nav) {
    case "multiPath":
      for (const path of paths) block(g, "{", () => select(g, path, value, collected, rejoin));
      return;
    case "continueThenStay":
      block(g, "{", () => select(g, paths[0]!, value, collected, rejoin));
      return rejoin(value, collected);
    case "ifPath":
      block(g, `if (${condition(g, paths[0]!, value, collected)}) {`, () =>
        select(g, paths[1]!, value, collected, rejoin),
      );
      return block(g, "else {", () => select(g, paths[2]!, value, collected, rejoin));
    case "condPath":
      return conditions(g, paths, value, collected, (path) => select(g, path, value, collected, rejoin));
    default:
      throw new RamaError("BAD_PATH", `${nav} cannot stand where a path reads`, { nav });
  }
}

/** `if … else { if … }` over pairs of condition and path. */
export function conditions(
  g: Generator,
  paths: readonly Steps[],
  value: string,
  collected: string | undefined,
  follow: (path: Steps) => void,
  otherwise: () => void = () => {},
): void {
  const [test, path, ...others] = paths;
  if (test === undefined) return otherwise();
  block(g, `if (${condition(g, test, value, collected)}) {`, () => follow(path!));
  block(g, "else {", () => conditions(g, others, value, collected, follow, otherwise));
}

export function collects(steps: Steps): boolean {
  return steps.some(
    ({ nav, paths }) => nav === "collect" || nav === "collectOne" || nav === "putCollected" || paths.some(collects),
  );
}

function joined(g: Generator, go: Then, withList: boolean): Then {
  const name = g.name("k");
  const [value, collected] = [g.name("v"), withList ? g.name("l") : undefined];
  block(g, `const ${name} = (${collected === undefined ? value : `${value}, ${collected}`}) => {`, () =>
    go(value, collected),
  );
  return (at, list) => g.line(`${name}(${withList ? `${at}, ${list ?? "undefined"}` : at});`);
}
