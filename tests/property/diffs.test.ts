// Guards the derivation of diffs: whatever two values of a place are, the diff between them leads from one to the other, also over the wire.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeValue, encodeValue } from "../../src/base/value-codec.ts";
import { applyDiff, emptyOf } from "../../src/paths/diff-apply.ts";
import { checksumOf } from "../../src/paths/diff-checksum.ts";
import { diffOfParts, diffParts } from "../../src/paths/diff-codec.ts";
import { changeOf } from "../../src/paths/diff-compare.ts";

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer({ min: -3, max: 3 }),
  fc.double({ noNaN: false }),
  fc.bigInt({ min: 2n ** 60n, max: 2n ** 60n + 3n }),
  fc.string({ maxLength: 2 }),
);
const key = fc.oneof(
  fc.integer({ min: 0, max: 4 }),
  fc.constantFrom("a", "b", "c", "d"),
  fc.tuple(fc.constantFrom("x", "y"), fc.integer({ min: 0, max: 1 })),
);

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 6 }),
    fc
      .uniqueArray(fc.tuple(key, tie("value")), { maxLength: 5, selector: ([k]) => JSON.stringify(k) })
      .map((pairs) => new Map(pairs)),
    fc.uniqueArray(key, { maxLength: 5, selector: (k) => JSON.stringify(k) }).map((list) => new Set(list)),
    fc.dictionary(fc.constantFrom("a", "b", "c", "__proto__"), tie("value"), { maxKeys: 3 }),
  ),
}));

/** A value and another that came from it by some changes. */
const changed = fc
  .tuple(value, fc.array(fc.tuple(fc.nat(5), fc.nat(4), key, value), { maxLength: 4 }))
  .map(([before, changes]) => {
    let after = before;
    for (const [what, at, name, next] of changes) after = touched(after, what, at, name, next);
    return [before, after] as const;
  });

function touched(before: unknown, what: number, at: number, name: unknown, next: unknown): unknown {
  if (Array.isArray(before)) {
    const index = Math.min(at, before.length);
    if (what === 0) return before.toSpliced(index, 0, next);
    if (what === 1) return before.toSpliced(index, 2);
    if (what === 2) return before.toReversed();
    if (what === 3) return [...before.slice(1), next];
    return before.map((element, i) => (i === index ? touched(element, what - 1, at, name, next) : element));
  }
  if (before instanceof Map) {
    const list = [...before];
    if (what === 0) return new Map(list.slice(1));
    if (what === 1 && list.length > 0 && ![...before.keys()].includes("new"))
      return new Map([...list.slice(1), ["new", list[0]![1]]]);
    return new Map(list.map(([k, v], i) => (i === at ? [k, touched(v, what, at, name, next)] : [k, v])));
  }
  if (before instanceof Set) return what < 2 ? new Set([...before].slice(1)) : new Set([...before, "new"]);
  return next;
}

function checkLeads(before: unknown, after: unknown): void {
  const change = changeOf(before, after);
  if (change === undefined) {
    expect(checksumOf(before)).toBe(checksumOf(after));
    expect(after).toEqual(before);
    return;
  }
  const travelled = diffOfParts(decodeValue(encodeValue(diffParts(change.diff))));
  const start = decodeValue(encodeValue(before));
  const led = applyDiff(change.from === undefined ? start : emptyOf(change.from), travelled);
  expect(led).toEqual(after);
  expect(checksumOf(led)).toBe(checksumOf(after));
  expect(start).toEqual(before);
}

test("the diff between any two values, sent and applied to the one, gives the other", () => {
  fc.assert(
    fc.property(value, value, (before, after) => checkLeads(before, after)),
    { numRuns: 2000 },
  );
});

test("the diff of random changes leads to what they made", () => {
  fc.assert(
    fc.property(changed, ([before, after]) => checkLeads(before, after)),
    { numRuns: 3000 },
  );
});

test("an expanded diff of keys touches exactly what changed", () => {
  const flat = fc.dictionary(fc.constantFrom("a", "b", "c", "d"), fc.nat(2)).map((o) => new Map(Object.entries(o)));
  fc.assert(
    fc.property(flat, flat, (before, after) => {
      const change = changeOf(before, after);
      if (change === undefined) return;
      applyDiff(before, change.diff);
      const replayed = new Map(before);
      change.diff.process({
        key: (d) =>
          d.valDiff.process({
            newValue: (v) => void replayed.set(String(d.key), v.value as number),
            unhandled: () => {},
          }),
        keyRemove: (d) => void replayed.delete(String(d.key)),
        newValue: (d) => {
          replayed.clear();
          for (const [k, v] of d.value as Map<string, number>) replayed.set(k, v);
        },
        unhandled: (d) => expect(d).toBeUndefined(),
      });
      expect(replayed).toEqual(after);
    }),
  );
});
