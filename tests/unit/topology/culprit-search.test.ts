// Finding the records that make microbatches fail: whatever is bad is set aside, whatever is good is committed once, in order, with few attempts.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CulpritSearch, type Span } from "../../../src/topology/microbatch/culprit-search.ts";

interface Outcome {
  readonly committed: string[];
  readonly aside: string[];
  readonly attempts: number;
}

/** Runs microbatches over the spans until all records have come to an end, or `attemptsMax`. */
function run(
  spans: readonly Span[],
  isBad: (name: string) => boolean,
  options: { after?: number; hints?: boolean; attemptsMax?: number } = {},
): Outcome {
  const { after = 2, hints = false, attemptsMax = 1000 } = options;
  const search = new CulpritSearch(() => after);
  const next = spans.map((span) => span.from);
  const outcome = { committed: [] as string[], aside: [] as string[], attempts: 0 };
  let failures = 0;
  while (next.some((from, i) => from < spans[i]!.to) && outcome.attempts < attemptsMax) {
    outcome.attempts++;
    const { plan } = search;
    const tried = spans.flatMap((span, i): Span[] => {
      const cut = plan?.spans.find((each) => each.source === span.source && each.task === span.task);
      const to = plan === undefined ? span.to : Math.min(span.to, cut?.to ?? next[i]!);
      return to > next[i]! ? [{ ...span, from: next[i]!, to }] : [];
    });
    const skip = plan?.skip;
    const records = tried.flatMap(({ source, task, from, to }) =>
      Array.from({ length: to - from }, (_, i) => ({ source, task, offset: from + i })),
    );
    const nameOf = ({ source, task, offset }: { source: number; task: number; offset: number }) =>
      `${source}/${task}/${offset}`;
    const ran = records.filter((record) => skip === undefined || nameOf(record) !== nameOf(skip));
    const bad = ran.find((record) => isBad(nameOf(record)));
    if (bad !== undefined) {
      search.failed(tried, ++failures, hints ? bad : undefined);
      continue;
    }
    failures = 0;
    outcome.committed.push(...ran.map(nameOf));
    if (skip !== undefined) outcome.aside.push(nameOf(skip));
    search.committed();
    for (const { source, task, to } of tried)
      next[spans.findIndex((span) => span.source === source && span.task === task)] = to;
  }
  return outcome;
}

const one = (from: number, to: number): Span[] => [{ source: 0, task: 0, from, to }];

test("one bad record of eight is found by halving", () => {
  const { committed, aside, attempts } = run(one(0, 8), (name) => name === "0/0/5");
  expect(aside).toEqual(["0/0/5"]);
  expect(committed).toEqual(["0/0/0", "0/0/1", "0/0/2", "0/0/3", "0/0/4", "0/0/6", "0/0/7"]);
  // Twice all, 0-3, 4-5, 4, twice 5, without 5, 6-7.
  expect(attempts).toBe(9);
});

test("an error that names its record leads there at once", () => {
  const { aside, attempts } = run(one(0, 1000), (name) => name === "0/0/700", { hints: true });
  expect(aside).toEqual(["0/0/700"]);
  expect(attempts).toBeLessThanOrEqual(7);
});

test("where the error does not tell and nothing may be set aside, the search ends at the one record", () => {
  const search = new CulpritSearch(() => 0);
  const spans = one(10, 12);
  for (let failures = 1; failures < 5; failures++) expect(search.failed(spans, failures, undefined)).toBe(false);
  expect(search.failed(spans, 5, undefined)).toBe(true);
  expect(search.failed(spans, 6, undefined)).toBe(false);
  expect(search.alone).toEqual({ source: 0, task: 0, offset: 10 });
  expect(search.plan).toEqual({ spans: one(10, 11), skip: undefined });
  // It succeeds in the end: the rest comes whole.
  search.committed();
  expect(search.plan).toEqual({ spans: one(11, 12), skip: undefined });
  search.committed();
  expect(search.plan).toBeUndefined();
});

test("no search where the error names the record and nothing may be set aside, or where there are no records", () => {
  const search = new CulpritSearch(() => 0);
  expect(search.failed(one(0, 5), 50, { source: 0, task: 0, offset: 3 })).toBe(false);
  expect(search.failed([], 50, undefined)).toBe(false);
  expect(search.plan).toBeUndefined();
});

test("a microbatch that fails without its record, too, loses none", () => {
  const { committed, aside } = run(one(0, 1), () => true, { attemptsMax: 50 });
  expect({ committed, aside }).toEqual({ committed: [], aside: ["0/0/0"] });
  const search = new CulpritSearch(() => 1);
  expect(search.failed(one(0, 1), 1, undefined)).toBe(true);
  expect(search.plan?.skip).toEqual({ source: 0, task: 0, offset: 0 });
  expect(search.failed([], 2, undefined)).toBe(false);
  expect(search.plan).toBeUndefined();
  expect(search.failed(one(0, 1), 3, undefined)).toBe(false);
});

test("always: bad records are set aside, good ones are committed once", () => {
  const spans = fc
    .uniqueArray(fc.tuple(fc.nat(2), fc.nat(3)), { maxLength: 5, selector: ([source, task]) => `${source}/${task}` })
    .chain((keys) =>
      fc.tuple(
        ...keys.map(([source, task]) =>
          fc.tuple(fc.nat(50), fc.nat(12)).map(([from, size]): Span => ({ source, task, from, to: from + size })),
        ),
      ),
    );
  fc.assert(
    fc.property(spans, fc.integer({ min: 1, max: 3 }), fc.boolean(), fc.nat(10), (found, after, hints, salt) => {
      const isBad = (name: string) => (Bun.hash.crc32(name + salt) & 7) < 2;
      const names = found.flatMap(({ source, task, from, to }) =>
        Array.from({ length: to - from }, (_, i) => `${source}/${task}/${from + i}`),
      );
      const { committed, aside } = run(found, isBad, { after, hints });
      expect(aside.sort()).toEqual(names.filter(isBad).sort());
      expect(committed.sort()).toEqual(names.filter((name) => !isBad(name)).sort());
    }),
  );
});
