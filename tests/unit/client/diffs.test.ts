// What a diff is taken apart into, kind by kind (the table of language.md 9.7), and when nothing may be processed at all.
import { describe, expect, test } from "bun:test";
import {
  AppendDiff,
  DestroyedDiff,
  type Diff,
  type DiffKind,
  type DiffProcessor,
  KeyChangeDiff,
  KeyDiff,
  KeyRemoveDiff,
  KeysDiff,
  KeysRemoveDiff,
  MultiDiff,
  MultiSetAddDiff,
  MultiSetRemoveDiff,
  NewValueDiff,
  ResyncDiff,
  SequenceChangeDiff,
  SequenceIndexChangeDiff,
  SequenceIndexChangesDiff,
  SequenceIndexRemoveDiff,
  SequenceInsertDiff,
  SequenceInsertsDiff,
  SequenceReorderDiff,
  SetAddDiff,
  SetRemoveDiff,
  UngracefulTerminationDiff,
  UnknownDiff,
} from "../../../src/client.ts";
import { applyDiff } from "../../../src/paths/diff-apply.ts";
import { codeOf } from "../../fake-engine.ts";

/** What is processed by a processor of these kinds: kind and fields of each part, or "unhandled". */
function processed(diff: Diff, ...kinds: DiffKind[]): unknown[] {
  const seen: unknown[] = [];
  const processor: DiffProcessor = { unhandled: () => void seen.push("unhandled") };
  for (const kind of kinds) {
    processor[kind] = (part: Diff) => {
      const { kind: _, ...fields } = part as Diff & Record<string, unknown>;
      seen.push([kind, ...Object.values(fields)]);
    };
  }
  diff.process(processor);
  return seen;
}

const one = new NewValueDiff(1);
const two = new NewValueDiff(2);

/** The diff, bound as a proxy binds it. */
function on(value: unknown, diff: Diff): Diff {
  applyDiff(value, diff);
  return diff;
}

// diff, kinds that the processor handles, what is processed
const rows: [string, Diff, DiffKind[], unknown[]][] = [
  ["NewValueDiff", one, ["newValue"], [["newValue", 1]]],
  ["NewValueDiff has no parts", one, ["key"], ["unhandled"]],
  ["KeyDiff", new KeyDiff("a", one), ["key"], [["key", "a", one]]],
  ["KeyDiff has no parts", new KeyDiff("a", one), ["newValue"], ["unhandled"]],
  [
    "KeysDiff → KeyDiff",
    new KeysDiff(
      new Map([
        ["a", one],
        ["b", two],
      ]),
    ),
    ["key"],
    [
      ["key", "a", one],
      ["key", "b", two],
    ],
  ],
  ["KeyRemoveDiff", new KeyRemoveDiff("a"), ["keyRemove"], [["keyRemove", "a"]]],
  [
    "KeysRemoveDiff → KeyRemoveDiff",
    new KeysRemoveDiff(["a", "b"]),
    ["keyRemove"],
    [
      ["keyRemove", "a"],
      ["keyRemove", "b"],
    ],
  ],
  [
    "KeyChangeDiff → KeyRemoveDiff and KeyDiff",
    on(new Map([["a", 1]]), new KeyChangeDiff("a", "b")),
    ["keyRemove", "key"],
    [
      ["keyRemove", "a"],
      ["key", "b", new NewValueDiff(1)],
    ],
  ],
  ["KeyChangeDiff needs both", on(new Map([["a", 1]]), new KeyChangeDiff("a", "b")), ["key"], ["unhandled"]],
  [
    "MultiDiff → its parts in order",
    new MultiDiff([new SetAddDiff(1), new KeyRemoveDiff(2)]),
    ["keyRemove", "setAdd"],
    [
      ["setAdd", 1],
      ["keyRemove", 2],
    ],
  ],
  ["MultiDiff is all or nothing", new MultiDiff([new SetAddDiff(1), new KeyRemoveDiff(2)]), ["setAdd"], ["unhandled"]],
  ["SetAddDiff", new SetAddDiff(1), ["setAdd"], [["setAdd", 1]]],
  ["SetRemoveDiff", new SetRemoveDiff(1), ["setRemove"], [["setRemove", 1]]],
  ["MultiSetAddDiff → SetAddDiff for the first", new MultiSetAddDiff("a", 1, 0), ["setAdd"], [["setAdd", "a"]]],
  ["MultiSetAddDiff → nothing for another", new MultiSetAddDiff("a", 2, 1), ["setAdd"], []],
  [
    "MultiSetRemoveDiff → SetRemoveDiff for the last",
    new MultiSetRemoveDiff("a", 0, 1),
    ["setRemove"],
    [["setRemove", "a"]],
  ],
  ["SequenceIndexChangeDiff → KeyDiff", new SequenceIndexChangeDiff(3, one), ["key"], [["key", 3, one]]],
  [
    "SequenceIndexChangesDiff → SequenceIndexChangeDiff",
    new SequenceIndexChangesDiff(
      new Map([
        [0, one],
        [2, two],
      ]),
    ),
    ["sequenceIndexChange"],
    [
      ["sequenceIndexChange", 0, one],
      ["sequenceIndexChange", 2, two],
    ],
  ],
  ["SequenceIndexChangesDiff → KeyDiff", new SequenceIndexChangesDiff(new Map([[0, one]])), ["key"], [["key", 0, one]]],
  [
    "SequenceInsertDiff → SequenceChangeDiff",
    on([1, 2], new SequenceInsertDiff(1, 9, 2)),
    ["sequenceChange"],
    [["sequenceChange", 1, 3, 2]],
  ],
  [
    "SequenceInsertDiff → KeysDiff and AppendDiff",
    on([1, 2], new SequenceInsertDiff(1, 9, 2)),
    ["keys", "append"],
    [
      ["keys", new Map([[1, new NewValueDiff(9)]])],
      ["append", 2, 2],
    ],
  ],
  [
    "an insertion at the end → AppendDiff alone",
    on([1, 2], new SequenceInsertDiff(2, 9, 2)),
    ["append"],
    [["append", 2, 9]],
  ],
  [
    "SequenceInsertsDiff → AppendDiff",
    on([1], new SequenceInsertsDiff(1, [8, 9], 1)),
    ["append"],
    [
      ["append", 1, 8],
      ["append", 2, 9],
    ],
  ],
  [
    "SequenceIndexRemoveDiff → KeyDiff and KeyRemoveDiff",
    on([1, 2, 3], new SequenceIndexRemoveDiff(1, 1, 3)),
    ["key", "keyRemove"],
    [
      ["key", 1, new NewValueDiff(3)],
      ["keyRemove", 2],
    ],
  ],
  [
    "SequenceReorderDiff → KeyDiff",
    on([7, 8, 9], new SequenceReorderDiff([0, 2, 1])),
    ["key"],
    [
      ["key", 1, new NewValueDiff(9)],
      ["key", 2, new NewValueDiff(8)],
    ],
  ],
  ["a diff that no proxy made has no list to expand with", new SequenceInsertDiff(0, 1, 0), ["append"], ["unhandled"]],
  ["SequenceChangeDiff", new SequenceChangeDiff(0, 1, 0), ["sequenceChange"], [["sequenceChange", 0, 1, 0]]],
  ["AppendDiff has no parts", new AppendDiff(0, 1), ["key"], ["unhandled"]],
  ["UnknownDiff", new UnknownDiff(), ["unknown"], [["unknown"]]],
  ["ResyncDiff", new ResyncDiff(5), ["resync"], [["resync", 5]]],
  ["ResyncDiff is no new value", new ResyncDiff(5), ["newValue"], ["unhandled"]],
  ["DestroyedDiff", new DestroyedDiff(), ["destroyed"], [["destroyed"]]],
  [
    "UngracefulTerminationDiff",
    new UngracefulTerminationDiff(),
    ["ungracefulTermination"],
    [["ungracefulTermination"]],
  ],
];

describe("process", () => {
  test.each(rows)("%s", (_name, diff, kinds, expected) => {
    expect(processed(diff, ...kinds)).toEqual(expected);
  });

  test("a method of the processor keeps its `this`", () => {
    class Keys implements DiffProcessor {
      readonly seen: unknown[] = [];
      key(diff: KeyDiff): void {
        this.seen.push(diff.key);
      }
      unhandled(): void {
        this.seen.push("unhandled");
      }
    }
    const keys = new Keys();
    new KeysDiff(new Map([["a", one]])).process(keys);
    expect(keys.seen).toEqual(["a"]);
  });

  test("a processor without unhandled is refused", async () => {
    expect(await codeOf(Promise.resolve().then(() => one.process({ newValue() {} } as never)))).toBe("BAD_ARGUMENTS");
  });
});

test("a diff that does not fit the value is refused", () => {
  for (const [value, diff] of [
    [5, new KeyDiff("a", one)],
    [[1], new SequenceIndexChangeDiff(4, one)],
    [new Map(), new SetAddDiff(1)],
    [[1], new UnknownDiff()],
    [null, new KeyRemoveDiff("a")],
  ] as const)
    expect(() => applyDiff(value, diff)).toThrow("does not fit");
});
