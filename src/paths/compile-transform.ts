// The JavaScript of changing along a path. `key`, filters, views and branches are straight code; navigators to many places or to parts hand the
// rest of the path to `write.ts` as a function. A place before insertion is VOID; user functions see null there.
import { RamaError } from "../base/errors.ts";
import type { ArgNode } from "./arg.ts";
import {
  block,
  collects,
  collectSource,
  condition,
  conditions,
  declare,
  filterSource,
  gather,
  lookupSource,
  navigatorSource,
  viewSource,
} from "./compile-select.ts";
import type { Generator } from "./generator.ts";
import { type SchemaHint, type Step, type StepName, type Steps, terminals } from "./spec.ts";

/** A place being transformed. `place` names its value, `out` the variable that takes the new one. */
interface Place {
  readonly place: string;
  readonly collected: string | undefined;
  readonly out: string;
  readonly hint: SchemaHint | undefined;
}

/** Writes the code of what follows the steps, for routes that meet again. */
type Follow = (at: Place) => void;

export function transformInto(g: Generator, steps: Steps, value: string, hint?: SchemaHint): string {
  checkTerminals(steps);
  const out = g.name("n");
  g.line(`let ${out} = ${value};`);
  const outer = g.condition;
  g.condition = undefined;
  g.line("{");
  transform(g, steps, { place: value, collected: undefined, out, hint: unwrapped(hint) }, noFollow);
  g.line("}");
  g.condition = outer;
  return out;
}

/** After `checkTerminals` no route gets past its end. */
const noFollow: Follow = () => {};

/** NO_TERMINAL unless every route ends in termVal, term, termVoid or termFields. */
export function checkTerminals(steps: Steps): void {
  if (!endsInTerminal(steps, 0, () => false)) {
    throw new RamaError(
      "NO_TERMINAL",
      "a route of the transform path ends in no terminal: add termVal, term or termVoid",
    );
  }
}

function endsInTerminal(steps: Steps, at: number, after: () => boolean): boolean {
  const step = steps[at];
  if (step === undefined) return after();
  const rest = () => endsInTerminal(steps, at + 1, after);
  if (terminals.has(step.nav)) {
    if (at < steps.length - 1)
      throw new RamaError("BAD_PATH", `${steps[at + 1]!.nav} stands after the terminal ${step.nav}`);
    return true;
  }
  switch (step.nav) {
    case "stop":
      return true;
    case "multiPath":
      return step.paths.every((path) => endsInTerminal(path, 0, rest));
    case "withPageSize":
      return endsInTerminal(step.paths[0]!, 0, rest);
    case "continueThenStay":
      return endsInTerminal(step.paths[0]!, 0, rest) && rest();
    case "ifPath":
      return step.paths.slice(1).every((path) => endsInTerminal(path, 0, rest));
    case "condPath":
      return step.paths.every((path, i) => i % 2 === 0 || endsInTerminal(path, 0, rest));
    default:
      return rest();
  }
}

function transform(g: Generator, steps: Steps, at: Place, follow: Follow): void {
  const [first, ...rest] = steps;
  if (first === undefined) return follow(at);
  const go: Follow = rest.length === 0 ? follow : (next) => transform(g, rest, next, follow);
  const { place, out, collected } = at;
  if (terminals.has(first.nav)) return g.line(`${out} = ${terminalSource(g, first, at)};`);
  if (first.nav === "key" || first.nav === "must" || first.nav === "nth") return transformKey(g, first, rest, at, go);
  if (first.nav === "stop") return g.line(`${out} = ${place};`);
  const call = partCalls[first.nav];
  if (call !== undefined) {
    const next = nextFunction(g, at, childHint(at.hint, first), go);
    return g.line(`${out} = W.${call(g, first, place, next)};`);
  }
  const collecting = collectSource(g, first, place, collected);
  if (collecting !== undefined)
    return go({ ...at, collected: collecting === "undefined" ? undefined : declare(g, collecting) });
  const filtered = filterSource(g, first, place, collected);
  if (filtered !== undefined) {
    block(g, `if (${filtered}) {`, () => go(at));
    return g.line(`else ${out} = ${place};`);
  }
  if (views.has(first.nav))
    return go({ ...at, place: declare(g, viewSource(g, first, unvoided(place))!), hint: undefined });
  transformControl(g, first, at, go, rest.length === 0);
}

const views: ReadonlySet<StepName> = new Set([
  "nullToVal",
  "nullToList",
  "nullToSet",
  "view",
  "contains",
  "transformed",
]);

/** Places that navigators of insertion can reach are named p…: they may be VOID. */
function unvoided(place: string): string {
  return place.startsWith("p") ? `R.unvoid(${place})` : place;
}

function terminalSource(g: Generator, { nav, args, names }: Step, { place, collected }: Place): string {
  switch (nav) {
    case "termVal":
      return g.arg(args[0]!);
    case "termVoid":
      return "VOID";
    case "termFields":
      return `W.setFields(${unvoided(place)}, ${g.constant(names)}, [${g.args(args).join(", ")}])`;
    case "aggregate":
      return aggregateSource(g, args, unvoided(place));
    default: {
      const before = collected === undefined ? [] : [`...(${collected} ?? [])`];
      const value = place.startsWith("p") ? declare(g, unvoided(place)) : place;
      return g.call(args[0]!, [...before, value, ...g.args(args.slice(1))], [value]);
    }
  }
}

/** What `aggregators/` puts into a path; see `aggregators/aggregator.ts`. */
export interface AggregateStep {
  init(): unknown;
  step(state: any, ...args: any[]): unknown;
  /** JavaScript of a step whose state is the variable `state`, falling back to a call of `self`. */
  readonly jsInline?: (state: string, args: readonly string[], self: string) => string;
}

function aggregateSource(g: Generator, args: readonly ArgNode[], state: string): string {
  const leaf = (args[0] as { value: AggregateStep }).value;
  const inputs = g.args(args.slice(1));
  const source = g.constant(leaf);
  const stepped = (from: string) => `${source}.step(${[from, ...inputs].join(", ")})`;
  const next = leaf.jsInline?.(state, inputs, source) ?? stepped(state);
  return `(${state} === null ? ${stepped(`${source}.init()`)} : ${next})`;
}

/** One lookup, the rest of the path, one write, where that changes anything. */
function transformKey(g: Generator, step: Step, rest: Steps, at: Place, go: Follow): void {
  const { place, out } = at;
  const key = g.arg(step.args[0]!);
  const fixed = at.hint?.kind === "fixed";
  if (step.nav === "key" && (rest[0]?.nav === "termVal" || rest[0]?.nav === "termVoid")) {
    const value = terminalSource(g, rest[0], at);
    return g.line(`${out} = W.setKey(${unvoided(place)}, ${key}, ${value}, ${fixed});`);
  }
  const parent = unvoided(place);
  const found = place === parent ? lookupSource(g, place, key) : `R.lookup(${parent}, ${key})`;
  const raw = declare(g, step.nav === "nth" ? `R.nth(${parent}, ${key})` : found);
  const child = declare(g, `${raw} ?? null`);
  const next = g.name("n");
  g.line(`let ${next} = ${child};`);
  const body = () => {
    go({ ...at, place: child, out: next, hint: childHint(at.hint, step) });
    const write =
      step.nav === "nth" ? `W.setNth(${parent}, ${key}, ${next})` : `W.setKey(${parent}, ${key}, ${next}, ${fixed})`;
    // A function may have changed a value in place, against the rules: its result is written even if it is the same object.
    const always = rest[0]?.nav === "term" || rest[0]?.nav === "aggregate";
    const unchanged = `${next} === ${child}${always ? ` && R.isIndexedRoot(${child})` : ""}`;
    g.line(`${out} = ${unchanged} ? ${place} : ${write};`);
  };
  if (step.nav !== "must") return body();
  block(g, `if (${raw} !== undefined) {`, body);
  g.line(`else ${out} = ${place};`);
}

/** The rest of the path as a function of a place; its parameter's name says that it may be VOID. */
function nextFunction(g: Generator, at: Place, hint: SchemaHint | undefined, go: Follow): string {
  const name = g.name("k");
  const [place, out] = [g.name("p"), g.name("n")];
  block(g, `const ${name} = (${place}) => {`, () => {
    g.line(`let ${out} = ${place};`);
    go({ place, out, collected: at.collected, hint });
    g.line(`return ${out};`);
  });
  return name;
}

type PartCall = (g: Generator, step: Step, place: string, next: string) => string;

const simple =
  (name: string): PartCall =>
  (_g, _step, place, next) =>
    `${name}(${unvoided(place)}, ${next})`;
const withArgs =
  (name: string): PartCall =>
  (g, step, place, next) =>
    `${name}(${[unvoided(place), ...g.args(step.args), next].join(", ")})`;
const withList =
  (name: string): PartCall =>
  (g, step, place, next) =>
    `${name}(${unvoided(place)}, [${g.args(step.args).join(", ")}], ${next})`;
const withRange =
  (name: string): PartCall =>
  (g, step, place, next) =>
    `${name}(${unvoided(place)}, ${g.constant(step.range)}, [${g.args(step.args).join(", ")}], ${next})`;

const partCalls: Partial<Record<StepName, PartCall>> = {
  all: simple("all"),
  mapVals: simple("mapVals"),
  mapKeys: simple("mapKeys"),
  mapKey: withArgs("mapKey"),
  setElem: withArgs("setElem"),
  voidSetElem: simple("voidSetElem"),
  indexedVals: simple("indexedVals"),
  index: withArgs("movedIndex"),
  first: (_g, _step, place, next) => `endPart(${unvoided(place)}, false, ${next})`,
  last: (_g, _step, place, next) => `endPart(${unvoided(place)}, true, ${next})`,
  afterElem: simple("insertAfter"),
  beforeElem: (_g, _step, place, next) => `insertAt(${unvoided(place)}, 0, ${next})`,
  beforeIndex: withArgs("insertAt"),
  beginning: (_g, _step, place, next) => `sublistPart(${unvoided(place)}, 0, 0, ${next})`,
  end: (g, _step, place, next) => {
    const size = declare(g, `R.sizeOfList(${unvoided(place)}, "end")`);
    return `sublistPart(${unvoided(place)}, ${size}, ${size}, ${next})`;
  },
  sublist: withArgs("sublistPart"),
  sublistDynamic: (g, step, place, next) => {
    const [from, to] = g.args(step.args);
    return `dynamicPart(${unvoided(place)}, R.callable(${from}), R.callable(${to}), ${next})`;
  },
  subMap: withList("subMapPart"),
  subMapOf: withArgs("subMapPart"),
  subSet: withList("subSetPart"),
  subSetOf: withArgs("subSetPart"),
  mapRange: withRange("mapRangePart"),
  setRange: withRange("setRangePart"),
};

function transformControl(g: Generator, step: Step, at: Place, go: Follow, last: boolean): void {
  const { place, out, collected } = at;
  const { nav, paths } = step;
  switch (nav) {
    case "customNav":
    case "customNavBuilder": {
      const next = nextFunction(g, at, undefined, go);
      return g.line(`${out} = R.some(${navigatorSource(g, step)}.transform(${unvoided(place)}, ${next}));`);
    }
    case "subselect":
      return distribute(g, paths[0]!, at, go);
    case "filteredList":
      return distribute(g, [allStep, { nav: "filterSelected", args: [], paths }], at, go);
    case "withPageSize":
      return transform(g, paths[0]!, at, go);
    default:
  }
  const rejoin = last ? go : joined(g, at, go, collected !== undefined || paths.some(collects));
  switch (nav) {
    case "multiPath": {
      const general = () =>
        inTurn(
          g,
          paths.map((path) => (each: Place) => transform(g, path, each, rejoin)),
          at,
        );
      const fields = collected === undefined ? distinctFields(paths) : undefined;
      if (fields === undefined) return general();
      block(g, `if (R.isPlain(${place})) {`, () => transformFields(g, fields, at, rejoin));
      return block(g, "else {", general);
    }
    case "continueThenStay":
      return inTurn(g, [(each) => transform(g, paths[0]!, each, rejoin), rejoin], at);
    case "ifPath":
      block(g, `if (${condition(g, paths[0]!, unvoided(place), collected)}) {`, () =>
        transform(g, paths[1]!, at, rejoin),
      );
      return block(g, "else {", () => transform(g, paths[2]!, at, rejoin));
    case "condPath":
      return conditions(
        g,
        paths,
        unvoided(place),
        collected,
        (path) => transform(g, path, at, rejoin),
        () => g.line(`${out} = ${place};`),
      );
    default:
      throw new RamaError("BAD_PATH", `${nav} cannot stand in a transform`, { nav });
  }
}

interface FieldRoute {
  readonly name: string;
  readonly step: Step;
  readonly rest: Steps;
}

/** The routes, when each begins with another constant field: what `CompoundAgg.fields` and most templates written by hand come to. */
function distinctFields(paths: readonly Steps[]): readonly FieldRoute[] | undefined {
  const routes: FieldRoute[] = [];
  for (const [first, ...rest] of paths) {
    const key = first?.nav === "key" ? first.args[0]! : undefined;
    if (key?.kind !== "const" || typeof key.value !== "string" || key.value in Object.prototype || rest.length === 0)
      return undefined;
    routes.push({ name: key.value, step: first!, rest });
  }
  const names = new Set(routes.map((route) => route.name));
  return routes.length > 0 && names.size === routes.length ? routes : undefined;
}

/** All fields of a plain object in one go: each is read once, and the object is copied once, where anything changes. */
function transformFields(g: Generator, routes: readonly FieldRoute[], at: Place, follow: Follow): void {
  const { place, out } = at;
  const changes = routes.map(({ name, step, rest }) => {
    const field = `[${JSON.stringify(name)}]`;
    const child = declare(g, `${place}${field} ?? null`);
    const next = g.name("n");
    g.line(`let ${next} = ${child};`);
    block(g, "{", () => transform(g, rest, { ...at, place: child, out: next, hint: childHint(at.hint, step) }, follow));
    // As in `transformKey`: what a function left the same object is written all the same.
    const always = rest[0]?.nav === "term" || rest[0]?.nav === "aggregate" || rest[0]?.nav === "termVal";
    return { next, changed: always ? `(${next} !== ${child} || !R.isIndexedRoot(${child}))` : `${next} !== ${child}` };
  });
  const names = g.constant(routes.map((route) => route.name));
  const changed = changes.map((change) => change.changed).join(" || ");
  const values = changes.map((change) => change.next).join(", ");
  g.line(`if (${changed}) ${out} = W.withFields(${place}, ${names}, [${values}]);`);
  g.line(`else ${out} = ${place};`);
}

const allStep: Step = { nav: "all", args: [], paths: [] };

/** Each follower sees what the one before left; nothing is left to see after a removal. */
function inTurn(g: Generator, followers: readonly Follow[], at: Place): void {
  let place = at.place;
  g.line(`${at.out} = ${place};`);
  followers.forEach((follower, i) => {
    const out = i === followers.length - 1 ? at.out : g.name(at.place.startsWith("p") ? "p" : "n");
    if (out !== at.out) g.line(`let ${out} = VOID;`);
    block(g, i === 0 ? "{" : `if (${place} === VOID && ${at.place} !== VOID) ${at.out} = VOID; else {`, () => {
      follower({ ...at, place, out });
    });
    if (out !== at.out) g.line(`${at.out} = ${out};`);
    place = out;
  });
}

function joined(g: Generator, at: Place, go: Follow, withList: boolean): Follow {
  const name = g.name("k");
  const [place, out] = [g.name("p"), g.name("n")];
  const collected = withList ? g.name("l") : undefined;
  block(g, `const ${name} = (${collected === undefined ? place : `${place}, ${collected}`}) => {`, () => {
    g.line(`let ${out} = ${place};`);
    go({ place, out, collected, hint: at.hint });
    g.line(`return ${out};`);
  });
  return (each) =>
    g.line(`${each.out} = ${name}(${withList ? `${each.place}, ${each.collected ?? "undefined"}` : each.place});`);
}

/** subselect: the list of what the path navigates to is transformed, then its elements go back to their places; missing ones are removed. */
function distribute(g: Generator, path: Steps, at: Place, go: Follow): void {
  const place = declare(g, unvoided(at.place));
  const list = gather(g, path, place);
  const changed = g.name("n");
  g.line(`let ${changed} = ${list};`);
  go({ ...at, place: list, out: changed, hint: undefined });
  const replacement = declare(g, `${changed} === VOID ? [] : R.elements(${changed})`);
  const index = g.name("i");
  g.line(`let ${index} = 0;`);
  block(g, "{", () => {
    transform(g, path, { ...at, place, collected: undefined }, (each) => {
      g.line(`${each.out} = ${index} < ${replacement}.length ? ${replacement}[${index}++] : VOID;`);
    });
  });
}

// ---- what the schema says of the places below

function unwrapped(hint: SchemaHint | undefined): SchemaHint | undefined {
  return hint?.kind === "migrated" ? unwrapped(hint.to) : hint;
}

export function childHint(hint: SchemaHint | undefined, step: Step): SchemaHint | undefined {
  if (hint === undefined) return undefined;
  const element = typeof hint.element === "object" && hint.element !== null ? (hint.element as SchemaHint) : undefined;
  switch (step.nav) {
    case "key":
    case "must":
      if (hint.kind === "map") return unwrapped(hint.value);
      if (hint.kind === "list") return unwrapped(element);
      return hint.kind === "fixed" && step.args[0]!.kind === "const"
        ? unwrapped(hint.fields?.get(String(step.args[0].value)))
        : undefined;
    case "mapVals":
      return hint.kind === "map" ? unwrapped(hint.value) : undefined;
    case "nth":
    case "first":
    case "last":
    case "all":
    case "afterElem":
    case "beforeElem":
    case "beforeIndex":
      return hint.kind === "list" ? unwrapped(element) : undefined;
    default:
      return undefined;
  }
}
