// Appends must stop before the disk is full, and go on by themselves.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";
import { parseMinimumFree, SpaceGuard } from "../../../src/storage/space-guard.ts";

test("the setting is a share, bytes, or both", () => {
  expect(parseMinimumFree("5%,1g")).toEqual({ share: 0.05, bytes: 1024 ** 3 });
  expect(parseMinimumFree("200m")).toEqual({ share: 0, bytes: 200 * 1024 ** 2 });
  expect(parseMinimumFree("0")).toEqual({ share: 0, bytes: 0 });
  for (const bad of ["", "much", "101%", "1g;2"]) {
    expect(() => parseMinimumFree(bad)).toThrow(expect.objectContaining({ code: "BAD_CONFIG" }));
  }
});

test("below the limit appends are refused with DISK_FULL and the path, above it they are taken again", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  const disk = new MemoryDisk({ capacityBytes: 1000 });
  const guard = new SpaceGuard({ env, disk, path: "/data", minimum: { share: 0.5, bytes: 100 } });
  expect(guard.refusal).toBeNull();
  const file = disk.open("/big", "create");
  file.write(new Uint8Array(600), 0);
  expect(guard.refusal).toBeNull(); // looked a moment ago
  await env.advance(500);
  expect(guard.refusal).toBeInstanceOf(RamaError);
  expect(guard.refusal).toMatchObject({ code: "DISK_FULL", facts: { path: "/data", freeBytes: 400, minimum: 500 } });
  file.truncate(100);
  await env.advance(500);
  expect(guard.refusal).toBeNull();
});
