// The conductor's bundles: what may be deleted, and when.
import { expect, test } from "bun:test";
import { BundleStore, sha256 } from "../../../src/roles/conductor/bundles.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";

test("a bundle that no module names is kept while a launch that has just sent it may be on its way, and goes later", () => {
  let nowMs = 5_000;
  const store = new BundleStore(new MemoryDisk(), "/bundles", 1_000, () => nowMs);
  const bytes = new TextEncoder().encode("export class M {}");
  const hash = sha256(bytes);
  const send = () => store.put({ hash, offset: 0, total: bytes.length, bytes });
  expect(send()).toBe(true);
  store.keepOnly(new Set());
  expect(store.has(hash)).toBe(true);
  nowMs += 9 * 60_000;
  expect(send()).toBe(true);
  nowMs += 9 * 60_000;
  store.keepOnly(new Set());
  expect(store.has(hash)).toBe(true);
  nowMs += 2 * 60_000;
  store.keepOnly(new Set([hash]));
  expect(store.has(hash)).toBe(true);
  store.keepOnly(new Set());
  expect(store.has(hash)).toBe(false);
});
