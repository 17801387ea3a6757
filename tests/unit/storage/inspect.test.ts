// What an operator sees of a store's files.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { systemEnv } from "../../../src/base/env-system.ts";
import { encodeValue } from "../../../src/base/value-codec.ts";
import { openDepots } from "../../../src/depot/depot-store.ts";
import { StoreFlusher } from "../../../src/replication/flush.ts";
import { GroupReplog } from "../../../src/replication/replog.ts";
import { bunDisk } from "../../../src/storage/disk-bun.ts";
import { levelKv } from "../../../src/storage/kv-level.ts";
import { openStore } from "../../../src/storage/store.ts";

const inspect = (...args: string[]) => {
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, "scripts/inspect.ts", ...args]);
  return { text: stdout.toString(), exitCode };
};

test("a store on the real disk is told in plain words, entry by entry and record by record", async () => {
  const root = mkdtempSync(`${tmpdir()}/rama-inspect-`);
  try {
    const env = systemEnv({ sink: () => {} });
    const disk = bunDisk();
    const opened = await openStore({ env, disk, kv: levelKv(), dir: `${root}/s`, segmentSizeBytes: 65536 });
    const depots = await openDepots({
      disk,
      kv: opened.kv,
      dir: opened.depotsDir,
      tasks: [0],
      depots: [{ index: 0, name: "*d", global: false }],
    });
    const { log, kv } = await opened.recover(() => {});
    const replog = new GroupReplog({ group: 0, log, epoch: 1, end: 0 });
    const flusher = new StoreFlusher({ env, kv, log });
    flusher.add(0, { replog, depots }, opened.positions(0));
    log.onDurable = (upTo) => replog.durableUpTo(upTo);
    const value = encodeValue({ user: "ann" });
    const record = new Uint8Array(4 + value.length);
    record[0] = value.length;
    record.set(value, 4);
    const token = { client: new Uint8Array(16).fill(171), seq: 0 };
    depots.partition(0, 0)!.append(replog, record, 1, token, Date.UTC(2026, 0, 2), () => {});
    log.commit(false);
    await flusher.close();
    await log.close();
    depots.close();
    await kv.close();
    const { text, exitCode } = inspect(`${root}/s`);
    expect(exitCode).toBe(0);
    expect(text).toContain("rama store 1");
    expect(text).toContain(
      "group 0 offset 0 epoch 1: depot append, depot 0 task 0 offsets 0–0 at 2026-01-02T00:00:00.000Z",
    );
    expect(text.split('0  {"user":"ann"}').length).toBe(3);
    expect(text).toContain("whole");
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("a path that is missing, or none, is said so", () => {
  expect(inspect("/nowhere/at/all")).toMatchObject({ exitCode: 1, text: expect.stringContaining("/nowhere/at/all") });
  expect(inspect()).toMatchObject({ exitCode: 2, text: expect.stringContaining("usage") });
});
