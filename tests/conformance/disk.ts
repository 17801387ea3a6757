// The suite of the Disk contract, run for every implementation by disk.test.ts. It guards the obligations D1 and D5 and what the operations say of
// themselves; D2 and D3 need a power cut, which only the memory disk can have.
import { afterAll, describe, expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import type { Disk } from "../../src/storage/disk.ts";

export interface DiskSubject {
  readonly name: string;
  /** A disk and a directory on it that is there and empty. */
  create(): { disk: Disk; dir: string; dispose(): void };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (content: Uint8Array): string => new TextDecoder().decode(content);

/** The code of the error that `fn` ends with. */
export function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return error instanceof RamaError ? error.code : `not a RamaError: ${error}`;
  }
  return "no error";
}

export function diskSuite(subject: DiskSubject): void {
  describe(`disk ${subject.name}`, () => {
    const { disk, dir, dispose } = subject.create();
    afterAll(dispose);

    test("what is written is read back at once through every handle", () => {
      const one = disk.open(`${dir}/d1`, "create");
      const other = disk.open(`${dir}/d1`, "read");
      one.write(bytes("hello world"), 0);
      one.write(bytes("W"), 6);
      expect(text(other.read(0, 100))).toBe("hello World");
      expect(text(other.read(6, 3))).toBe("Wor");
      expect(other.read(11, 5).length).toBe(0);
      expect(other.read(50, 5).length).toBe(0);
      expect(other.size()).toBe(11);
      one.close();
      other.close();
    });

    test("a read hands out memory of its own", () => {
      const file = disk.open(`${dir}/own`, "create");
      file.write(bytes("aaaa"), 0);
      const before = file.read(0, 4);
      file.write(bytes("bbbb"), 0);
      expect(text(before)).toBe("aaaa");
      file.close();
    });

    test("the modes of open say whether the file must be there", () => {
      expect(codeOf(() => disk.open(`${dir}/none`, "read"))).toBe("FILE_NOT_FOUND");
      expect(codeOf(() => disk.open(`${dir}/none`, "write"))).toBe("FILE_NOT_FOUND");
      disk.open(`${dir}/modes`, "upsert").close();
      disk.open(`${dir}/modes`, "upsert").close();
      disk.open(`${dir}/modes`, "write").close();
      expect(codeOf(() => disk.open(`${dir}/modes`, "create"))).toBe("DISK_FAILED");
      expect(codeOf(() => disk.open(`${dir}/missing/file`, "upsert"))).toBe("FILE_NOT_FOUND");
    });

    test("a file opened for reading cannot be written, a closed one not be used", () => {
      const file = disk.open(`${dir}/modes2`, "create");
      file.close();
      expect(codeOf(() => file.read(0, 1))).toBe("DISK_FAILED");
      const reader = disk.open(`${dir}/modes2`, "read");
      expect(codeOf(() => reader.write(bytes("x"), 0))).toBe("DISK_FAILED");
      reader.close();
      reader.close();
    });

    test("a gap and reserved space read as zero", () => {
      const file = disk.open(`${dir}/gap`, "create");
      file.write(bytes("end"), 5);
      expect([...file.read(0, 5)]).toEqual([0, 0, 0, 0, 0]);
      file.allocate(3_000_000);
      expect(file.size()).toBe(3_000_000);
      expect(text(file.read(5, 3))).toBe("end");
      expect(file.read(2_000_000, 10).every((b) => b === 0)).toBe(true);
      file.allocate(10);
      expect(file.size()).toBe(3_000_000);
      file.close();
    });

    test("truncate shortens, and what is written later does not bring old bytes back", () => {
      const file = disk.open(`${dir}/short`, "create");
      file.write(bytes("abcdef"), 0);
      file.truncate(2);
      file.write(bytes("z"), 4);
      expect([...file.read(0, 10)]).toEqual([97, 98, 0, 0, 122]);
      file.close();
    });

    test("both syncs return, also when the file is closed meanwhile", async () => {
      const file = disk.open(`${dir}/sync`, "create");
      file.write(bytes("x"), 0);
      file.datasyncSync();
      const running = file.datasync();
      file.close();
      await running;
      expect(text(disk.readFile(`${dir}/sync`))).toBe("x");
    });

    test("directories are made with their parents, listed in order and removed as trees", () => {
      disk.mkdir(`${dir}/tree/b/c`);
      disk.mkdir(`${dir}/tree/b/c`);
      disk.writeFile(`${dir}/tree/a`, bytes("1"));
      disk.writeFile(`${dir}/tree/B`, bytes("1"));
      disk.syncDir(`${dir}/tree`);
      expect(disk.list(`${dir}/tree`)).toEqual(["B", "a", "b"]);
      expect(disk.list(`${dir}/tree/b`)).toEqual(["c"]);
      expect(disk.list(`${dir}/absent`)).toEqual([]);
      disk.removeTree(`${dir}/tree`);
      disk.removeTree(`${dir}/tree`);
      expect(disk.exists(`${dir}/tree`)).toBe(false);
      expect(disk.exists(`${dir}/tree/a`)).toBe(false);
    });

    test("rename replaces its target, and a renamed directory keeps its content", () => {
      disk.writeFile(`${dir}/from`, bytes("new"));
      disk.writeFile(`${dir}/to`, bytes("old and longer"));
      disk.rename(`${dir}/from`, `${dir}/to`);
      expect(text(disk.readFile(`${dir}/to`))).toBe("new");
      expect(disk.exists(`${dir}/from`)).toBe(false);
      expect(codeOf(() => disk.rename(`${dir}/from`, `${dir}/x`))).toBe("FILE_NOT_FOUND");
      disk.mkdir(`${dir}/was/in`);
      disk.writeFile(`${dir}/was/in/file`, bytes("kept"));
      disk.rename(`${dir}/was`, `${dir}/is`);
      expect(text(disk.readFile(`${dir}/is/in/file`))).toBe("kept");
    });

    test("writeFile replaces the content as a whole and leaves nothing beside it", () => {
      disk.mkdir(`${dir}/whole`);
      disk.writeFile(`${dir}/whole/f`, bytes("first, long"));
      disk.writeFile(`${dir}/whole/f`, bytes("second"));
      expect(text(disk.readFile(`${dir}/whole/f`))).toBe("second");
      expect(disk.size(`${dir}/whole/f`)).toBe(6);
      expect(disk.list(`${dir}/whole`)).toEqual(["f"]);
    });

    test("a missing file is FILE_NOT_FOUND with its path, and removing it is nothing", () => {
      expect(codeOf(() => disk.readFile(`${dir}/no`))).toBe("FILE_NOT_FOUND");
      expect(codeOf(() => disk.size(`${dir}/no`))).toBe("FILE_NOT_FOUND");
      try {
        disk.readFile(`${dir}/no`);
      } catch (error) {
        expect((error as RamaError).facts["path"]).toBe(`${dir}/no`);
      }
      disk.remove(`${dir}/no`);
      disk.writeFile(`${dir}/yes`, bytes("1"));
      disk.remove(`${dir}/yes`);
      expect(disk.exists(`${dir}/yes`)).toBe(false);
    });

    test("space is told for a path that is not there yet", () => {
      const { freeBytes, totalBytes } = disk.space(`${dir}/not/yet`);
      expect(freeBytes).toBeGreaterThan(0);
      expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
    });
  });
}
