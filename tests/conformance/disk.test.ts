import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { RamaError } from "../../src/base/errors.ts";
import { bunDisk } from "../../src/storage/disk-bun.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { codeOf, diskSuite } from "./disk.ts";

diskSuite({
  name: "bun",
  create() {
    const dir = mkdtempSync(`${tmpdir()}/rama-disk-`);
    return { disk: bunDisk(), dir, dispose: () => rmSync(dir, { recursive: true }) };
  },
});

diskSuite({
  name: "memory",
  create() {
    const disk = new MemoryDisk();
    disk.mkdir("/data");
    return { disk, dir: "/data", dispose() {} };
  },
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (content: Uint8Array): string => new TextDecoder().decode(content);

describe("a power cut of the memory disk", () => {
  function diskWith(name: string) {
    const disk = new MemoryDisk();
    disk.mkdir("/d");
    const file = disk.open(`/d/${name}`, "create");
    disk.syncDir("/d");
    return { disk, file };
  }

  test("keeps what was synced and may lose all that was not", () => {
    const { disk, file } = diskWith("f");
    file.write(bytes("durable"), 0);
    file.datasyncSync();
    file.write(bytes("DUR"), 0);
    file.write(bytes(" and more"), 7);
    disk.powerCut(() => 0);
    expect(text(disk.readFile("/d/f"))).toBe("durable");
  });

  test("keeps a prefix of the unsynced writes, the last of them torn", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 400; i++) {
      let at = i;
      const { disk, file } = diskWith("f");
      file.write(bytes("0123456789"), 0);
      file.datasyncSync();
      file.write(bytes("ab"), 2);
      file.write(bytes("XYZ"), 9);
      disk.powerCut(() => {
        at = (at * 16807 + 11) % 2147483647;
        return (at % 1000) / 1000;
      });
      seen.add(text(disk.readFile("/d/f")));
    }
    for (const content of seen) {
      expect(["0123456789", "01a3456789", "01ab456789", "01ab45678X", "01ab45678XY", "01ab45678XYZ"]).toContain(
        content,
      );
    }
    expect(seen.size).toBeGreaterThanOrEqual(5);
  });

  test("keeps what an asynchronous sync covered, but not what was written after it began", async () => {
    const { disk, file } = diskWith("f");
    file.write(bytes("a"), 0);
    const running = file.datasync();
    file.write(bytes("b"), 1);
    await running;
    disk.powerCut(() => 0);
    expect(text(disk.readFile("/d/f"))).toBe("a");
  });

  test("an asynchronous sync that was under way ends with an error", async () => {
    let release = () => {};
    const disk = new MemoryDisk({ syncDelay: () => new Promise((resolve) => (release = resolve)) });
    disk.mkdir("/d");
    const file = disk.open("/d/f", "create");
    file.write(bytes("a"), 0);
    const running = file.datasync().then(
      () => "synced",
      (error: RamaError) => error.code,
    );
    disk.powerCut(() => 0);
    release();
    expect(await running).toBe("DISK_FAILED");
  });

  test("brings names back to the last sync of their directory", () => {
    const disk = new MemoryDisk();
    disk.mkdir("/d/sub");
    disk.writeFile("/d/kept", bytes("1"));
    const removed = disk.open("/d/removed", "create");
    disk.syncDir("/d");
    removed.close();
    disk.remove("/d/removed");
    disk.rename("/d/kept", "/d/renamed");
    disk.open("/d/new", "create").datasyncSync();
    disk.powerCut(() => 0);
    expect(disk.list("/d")).toEqual(["kept", "removed", "sub"]);
  });

  test("restores truncated bytes that were durable, and undoes reserved space", () => {
    const { disk, file } = diskWith("f");
    file.write(bytes("0123456789"), 0);
    file.datasyncSync();
    file.truncate(4);
    file.allocate(100);
    file.write(bytes("zz"), 3);
    disk.powerCut(() => 0);
    expect(text(disk.readFile("/d/f"))).toBe("0123456789");
  });

  test("kills the handles that were open", () => {
    const { disk, file } = diskWith("f");
    disk.powerCut(() => 0);
    expect(codeOf(() => file.write(bytes("x"), 0))).toBe("DISK_FAILED");
  });
});

describe("faults of the memory disk", () => {
  test("a full disk refuses what does not fit and takes what does after space was freed", () => {
    const disk = new MemoryDisk({ capacityBytes: 10 });
    disk.mkdir("/d");
    const file = disk.open("/d/f", "create");
    file.write(bytes("12345678"), 0);
    expect(codeOf(() => file.write(bytes("abc"), 8))).toBe("DISK_FULL");
    expect(file.size()).toBe(8);
    file.truncate(2);
    file.write(bytes("abc"), 5);
    disk.remove("/d/f");
    expect(disk.space("/d")).toEqual({ freeBytes: 10, totalBytes: 10 });
  });

  test("what a failed sync should have saved is lost, although the next sync succeeds", () => {
    let failing = false;
    const disk = new MemoryDisk({
      fault: (operation, path) => {
        if (failing && operation === "sync") throw new RamaError("DISK_FAILED", `${path}: injected`);
      },
    });
    disk.mkdir("/d");
    const file = disk.open("/d/f", "create");
    disk.syncDir("/d");
    file.write(bytes("a"), 0);
    failing = true;
    expect(codeOf(() => file.datasyncSync())).toBe("DISK_FAILED");
    failing = false;
    file.datasyncSync();
    disk.powerCut(() => 0);
    expect(disk.size("/d/f")).toBe(0);
  });

  test("many small appends cost linear time", () => {
    const disk = new MemoryDisk();
    const file = disk.open("/f", "create");
    const piece = new Uint8Array(50);
    for (let i = 0; i < 200_000; i++) file.write(piece, i * 50);
    expect(file.size()).toBe(10_000_000);
  });
});
