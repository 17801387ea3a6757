// The suite of the Kv contract, run for every implementation by kv.test.ts.
import { afterAll, describe, expect, test } from "bun:test";
import type { RamaError } from "../../src/base/errors.ts";
import type { Kv, KvOp, KvOpener } from "../../src/storage/kv.ts";

export interface KvSubject {
  readonly name: string;
  /** An opener, and a function that names a fresh directory at each call. */
  create(): { opener: KvOpener; freshDir(): string; dispose(): void };
}

export const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
export const text = (content: Uint8Array | undefined): string | undefined =>
  content === undefined ? undefined : Buffer.from(content).toString("latin1");
export const put = (key: string, value: string): KvOp => ({ type: "put", key: bytes(key), value: bytes(value) });
export const del = (key: string): KvOp => ({ type: "del", key: bytes(key) });

export async function entriesOf(kv: Kv, gte: string, lt: string, more: { limit?: number; reverse?: boolean } = {}) {
  const found = await kv.range({ gte: bytes(gte), lt: bytes(lt), ...more });
  return found.map(({ key, value }) => `${text(key)}=${text(value)}`);
}

export function kvSuite(subject: KvSubject): void {
  describe(`kv ${subject.name}`, () => {
    const { opener, freshDir, dispose } = subject.create();
    afterAll(dispose);

    async function withStore(fn: (kv: Kv, dir: string) => Promise<void>): Promise<void> {
      const dir = freshDir();
      const kv = await opener.open(dir);
      try {
        await fn(kv, dir);
      } finally {
        await kv.close();
      }
    }

    test("point reads see every batch that has resolved, and the last of two writes of a key", () =>
      withStore(async (kv) => {
        expect(kv.getSync(bytes("a"))).toBeUndefined();
        await kv.batch([put("a", "1"), put("b", "2"), put("a", "3")], { sync: false });
        expect(text(kv.getSync(bytes("a")))).toBe("3");
        await kv.batch([del("a"), put("c", ""), del("none")], { sync: true });
        expect(kv.getSync(bytes("a"))).toBeUndefined();
        expect(text(kv.getSync(bytes("c")))).toBe("");
        expect(text(kv.getSync(bytes("b")))).toBe("2");
      }));

    test("a snapshot stays as the Kv was, whatever is written, deleted and cleared later", () =>
      withStore(async (kv) => {
        await kv.batch([put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4")], { sync: true });
        const snapshot = kv.snapshot();
        await kv.batch([put("a", "9"), del("b"), put("bb", "5")], { sync: true });
        await kv.clear({ gte: bytes("c"), lt: bytes("d") });
        const later = kv.snapshot();
        const all = async (of: Pick<Kv, "range">, more: { limit?: number; reverse?: boolean } = {}) =>
          (await of.range({ gte: bytes("a"), lt: bytes("z"), ...more })).map(
            ({ key, value }) => `${text(key)}=${text(value)}`,
          );
        expect(await all(snapshot)).toEqual(["a=1", "b=2", "c=3", "d=4"]);
        expect(await all(snapshot, { limit: 2 })).toEqual(["a=1", "b=2"]);
        expect(await all(snapshot, { limit: 2, reverse: true })).toEqual(["d=4", "c=3"]);
        expect(text(snapshot.getSync(bytes("a")))).toBe("1");
        expect(text(snapshot.getSync(bytes("b")))).toBe("2");
        expect(snapshot.getSync(bytes("bb"))).toBeUndefined();
        expect(await all(later)).toEqual(["a=9", "bb=5", "d=4"]);
        expect(await all(kv)).toEqual(["a=9", "bb=5", "d=4"]);
        await snapshot.close();
        await snapshot.close();
        await kv.batch([del("a")], { sync: true });
        expect(text(later.getSync(bytes("a")))).toBe("9");
        await later.close();
      }));

    test("settling changes nothing that can be seen, before and after another open", async () => {
      const dir = freshDir();
      const first = await opener.open(dir);
      await first.batch([put("a", "1"), put("b", "2"), del("none")], { sync: false });
      await first.settle();
      await first.batch([del("a"), put("c", "3")], { sync: true });
      expect(await entriesOf(first, "a", "z")).toEqual(["b=2", "c=3"]);
      await first.settle();
      await first.close();
      const second = await opener.open(dir);
      expect(await entriesOf(second, "a", "z")).toEqual(["b=2", "c=3"]);
      await second.close();
    });

    test("keys are ordered bytewise, a prefix first, and ranges are half open", () =>
      withStore(async (kv) => {
        const keys = ["b", "a\xff", "a", "a\x00", "a\x80", "\x00", "\xff\xff", "ab", "a\x7f"];
        await kv.batch(
          keys.map((key) => put(key, "v")),
          { sync: false },
        );
        const sorted = ["\x00", "a", "a\x00", "ab", "a\x7f", "a\x80", "a\xff", "b", "\xff\xff"];
        expect(await entriesOf(kv, "\x00", "\xff\xff\xff")).toEqual(sorted.map((key) => `${key}=v`));
        expect(await entriesOf(kv, "a", "a\x80")).toEqual(["a=v", "a\x00=v", "ab=v", "a\x7f=v"]);
        expect(await entriesOf(kv, "b", "a")).toEqual([]);
        expect(await entriesOf(kv, "c", "d")).toEqual([]);
      }));

    test("a range ends at its limit, from the end when reversed", () =>
      withStore(async (kv) => {
        const ops: KvOp[] = [];
        for (let i = 0; i < 3_000; i++) ops.push(put(String(i).padStart(5, "0"), String(i)));
        await kv.batch(ops, { sync: false });
        expect(await entriesOf(kv, "00010", "00020", { limit: 3 })).toEqual(["00010=10", "00011=11", "00012=12"]);
        expect(await entriesOf(kv, "00010", "00020", { limit: 2, reverse: true })).toEqual(["00019=19", "00018=18"]);
        expect(await entriesOf(kv, "00010", "00020", { limit: 0 })).toEqual([]);
        expect((await entriesOf(kv, "0", "1")).length).toBe(3_000);
        const backwards = await entriesOf(kv, "0", "1", { reverse: true });
        expect(backwards.length).toBe(3_000);
        expect(backwards[0]).toBe("02999=2999");
        expect(backwards.at(-1)).toBe("00000=0");
      }));

    test("a range that was asked for does not see later batches", () =>
      withStore(async (kv) => {
        await kv.batch([put("a", "1"), put("b", "1")], { sync: false });
        const before = kv.range({ gte: bytes("a"), lt: bytes("z") });
        const later = kv.batch([put("a", "2"), del("b"), put("c", "2")], { sync: false });
        expect((await before).map(({ key, value }) => `${text(key)}=${text(value)}`)).toEqual(["a=1", "b=1"]);
        await later;
        expect(await entriesOf(kv, "a", "z")).toEqual(["a=2", "c=2"]);
      }));

    test("a batch takes its bytes before it returns", () =>
      withStore(async (kv) => {
        const key = bytes("key");
        const value = bytes("value");
        const done = kv.batch([{ type: "put", key, value }], { sync: false });
        key.fill(0);
        value.fill(0);
        await done;
        expect(text(kv.getSync(bytes("key")))).toBe("value");
      }));

    test("batches that were not awaited are applied in their order", () =>
      withStore(async (kv) => {
        const running: Promise<void>[] = [];
        for (let i = 0; i < 50; i++) running.push(kv.batch([put("k", String(i))], { sync: i === 49 }));
        await Promise.all(running);
        expect(text(kv.getSync(bytes("k")))).toBe("49");
      }));

    test("clear removes exactly the range", () =>
      withStore(async (kv) => {
        await kv.batch([put("a", "1"), put("b", "1"), put("b5", "1"), put("c", "1")], { sync: false });
        await kv.clear({ gte: bytes("b"), lt: bytes("c") });
        expect(await entriesOf(kv, "a", "z")).toEqual(["a=1", "c=1"]);
        expect(kv.getSync(bytes("b5"))).toBeUndefined();
      }));

    test("a directory opens once at a time, and opens again with its data", () =>
      withStore(async (kv, dir) => {
        await kv.batch([put("a", "1")], { sync: true });
        const second = await opener.open(dir).then(
          () => "opened",
          (error: RamaError) => error.code,
        );
        expect(second).toBe("STORE_LOCKED");
        await kv.close();
        const again = await opener.open(dir);
        expect(text(again.getSync(bytes("a")))).toBe("1");
        await again.close();
      }));

    test("the size of a range is a number and zero where nothing is", () =>
      withStore(async (kv) => {
        await kv.batch([put("a", "1".repeat(1_000))], { sync: true });
        expect(await kv.approximateSize(bytes("x"), bytes("z"))).toBe(0);
        expect(await kv.approximateSize(bytes("a"), bytes("b"))).toBeGreaterThanOrEqual(0);
      }));

    test("the store agrees with a sorted list after many mixed batches", () =>
      withStore(async (kv) => {
        const model = new Map<string, string>();
        let seed = 7;
        const next = (n: number) => {
          seed = (seed * 16807) % 2147483647;
          return seed % n;
        };
        for (let round = 0; round < 60; round++) {
          const ops: KvOp[] = [];
          for (let i = 0; i < 100; i++) {
            const key = String.fromCharCode(97 + next(26), 97 + next(26), next(256));
            if (next(3) === 0) {
              ops.push(del(key));
              model.delete(key);
            } else {
              ops.push(put(key, String(round)));
              model.set(key, String(round));
            }
          }
          await kv.batch(ops, { sync: false });
        }
        const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`);
        expect(await entriesOf(kv, "a", "~")).toEqual(sorted);
      }));
  });
}
