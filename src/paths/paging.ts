// Which selects can be evaluated page by page: those that look at each element of one collection apart from the others, behind navigators to one place.
import { IndexedMap, IndexedSet, type ReadSession } from "./indexed.ts";
import { elements, mapKeys, mapVals } from "./read.ts";
import type { StepName, Steps } from "./spec.ts";

const toOnePlace: ReadonlySet<StepName> = new Set(["key", "must", "nullToVal", "nullToList", "nullToSet"]);
const toEach: ReadonlySet<StepName> = new Set(["all", "mapVals", "mapKeys"]);

/** Elements of a page by `withPageSize`; 0: as the option says. undefined: it is evaluated as a whole. */
export function pageSizeOf(steps: Steps): number | undefined {
  for (const [i, { nav, args, paths }] of steps.entries()) {
    if (toEach.has(nav)) return 0;
    if (nav === "withPageSize") {
      const [size] = args;
      if (pageSizeOf([...paths[0]!, ...steps.slice(i + 1)]) === undefined) return undefined;
      const given = size?.kind === "const" ? Number(size.value) : 0;
      return given >= 1 ? Math.floor(given) : 0;
    }
    if (!toOnePlace.has(nav)) return undefined;
  }
  return undefined;
}

/** Elements of the collection, or of the page that the session asks for. */
export function paged(session: ReadSession | undefined, value: unknown, nav: "all" | "mapVals" | "mapKeys"): unknown[] {
  const paging = session?.paging;
  if (paging !== undefined && value instanceof IndexedMap) {
    const entries = paging.page(
      (range) => value.range(range),
      (entry) => entry[0],
    );
    return nav === "all" ? entries : entries.map((entry) => entry[nav === "mapKeys" ? 0 : 1]);
  }
  if (paging !== undefined && value instanceof IndexedSet && nav === "all")
    return paging.page(
      (range) => value.range(range),
      (element) => element,
    );
  if (nav === "all") return [...elements(value)];
  return nav === "mapVals" ? mapVals(value) : mapKeys(value);
}
