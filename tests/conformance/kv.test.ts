import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { RamaError } from "../../src/base/errors.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { levelKv } from "../../src/storage/kv-level.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import { bytes, entriesOf, kvSuite, put, text } from "./kv.ts";

kvSuite({
  name: "level",
  create() {
    const root = mkdtempSync(`${tmpdir()}/rama-kv-`);
    let last = 0;
    return { opener: levelKv(), freshDir: () => `${root}/${++last}`, dispose: () => rmSync(root, { recursive: true }) };
  },
});

for (const [name, disk] of [
  ["memory", undefined],
  ["memory on a memory disk", new MemoryDisk()],
] as const) {
  kvSuite({
    name,
    create() {
      let last = 0;
      return { opener: memoryKv(disk && { disk }), freshDir: () => `/kv/${++last}`, dispose() {} };
    },
  });
}

describe("the LevelDB store", () => {
  test("a directory that is damaged is STORE_CORRUPT, one below a file DISK_FAILED", async () => {
    const root = mkdtempSync(`${tmpdir()}/rama-kv-`);
    const kv = await levelKv().open(`${root}/s`);
    await kv.batch([put("a", "1")], { sync: true });
    await kv.close();
    writeFileSync(`${root}/s/CURRENT`, "MANIFEST-000000");
    const codeOf = (dir: string) =>
      levelKv()
        .open(dir)
        .catch((error: RamaError) => error.code);
    expect(await codeOf(`${root}/s`)).toBe("STORE_CORRUPT");
    expect(await codeOf(`${root}/s/CURRENT/below`)).toBe("DISK_FAILED");
    rmSync(root, { recursive: true });
  });
});

describe("the memory store", () => {
  test("forgets the batches after the last synced one when the power is cut", async () => {
    const opener = memoryKv();
    const kv = await opener.open("/s");
    await kv.batch([put("a", "1"), put("b", "1")], { sync: false });
    await kv.batch([put("a", "2")], { sync: true });
    await kv.batch([put("a", "3"), put("c", "3")], { sync: false });
    await kv.clear({ gte: bytes("b"), lt: bytes("c") });
    opener.powerCut();
    expect(() => kv.getSync(bytes("a"))).toThrow("power");
    const again = await opener.open("/s");
    expect(await entriesOf(again, "a", "z")).toEqual(["a=2", "b=1"]);
  });

  test("keeps a prefix of the unsynced batches, each whole", async () => {
    for (const [random, expected] of [
      [0, ["a=1"]],
      [0.5, ["a=2", "b=2"]],
      [0.99, ["a=3", "b=2", "c=3"]],
    ] as const) {
      const opener = memoryKv();
      const kv = await opener.open("/s");
      await kv.batch([put("a", "1")], { sync: true });
      await kv.batch([put("a", "2"), put("b", "2")], { sync: false });
      await kv.batch([put("a", "3"), put("c", "3")], { sync: false });
      opener.powerCut(() => random);
      expect(await entriesOf(await opener.open("/s"), "a", "z")).toEqual([...expected]);
    }
  });

  test("goes and moves with its directory", async () => {
    const disk = new MemoryDisk();
    const opener = memoryKv({ disk });
    const kv = await opener.open("/m/kv");
    await kv.batch([put("a", "1")], { sync: true });
    await kv.close();
    disk.rename("/m", "/n");
    const moved = await opener.open("/n/kv");
    expect(text(moved.getSync(bytes("a")))).toBe("1");
    await moved.close();
    disk.removeTree("/n");
    const fresh = await opener.open("/n/kv");
    expect(fresh.getSync(bytes("a"))).toBeUndefined();
  });
});
