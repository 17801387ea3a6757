// kill -9 of a process that writes a store on the real disk, again and again: what it had said to be stored is there, in order, once.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { client, openWriter } from "./fixtures/store-writer.ts";

const rounds = 5;
const acksPerRound = 3000;

/** Runs the writer until it has acknowledged `until` records, kills it, and tells the last count that it printed. */
async function writeAndKill(dir: string, until: number): Promise<number> {
  const writer = Bun.spawn([process.execPath, join(import.meta.dir, "fixtures/store-writer.ts"), dir], {
    stderr: "inherit",
  });
  let acked = 0;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of writer.stdout) {
    const lines = (rest + decoder.decode(chunk)).split("\n");
    rest = lines.pop()!;
    acked = Number(lines.at(-1) ?? acked);
    if (acked >= until) writer.kill("SIGKILL");
  }
  await writer.exited;
  return acked;
}

test("a killed writer loses nothing that it acknowledged, and nothing is there twice", async () => {
  const root = mkdtempSync(join(tmpdir(), "rama-kill-"));
  try {
    let before = 0;
    for (let round = 0; round < rounds; round++) {
      const acked = await writeAndKill(`${root}/s`, before + acksPerRound);
      const { store, partition, replog, depots, flusher } = await openWriter(`${root}/s`);
      flusher.abort();
      expect(partition.endOffset).toBeGreaterThanOrEqual(acked);
      const numbers: number[] = [];
      while (numbers.length < partition.endOffset) {
        for (const { bytes, start } of partition.read(numbers.length, partition.endOffset, 1 << 20)) {
          numbers.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(start, true));
        }
      }
      expect(numbers).toEqual(Array.from(numbers, (_, i) => i));
      const last = { client, seq: partition.endOffset - 1 };
      const again = partition.append(replog, new Uint8Array(104), 1, last, Date.now(), () => {});
      expect(again).toEqual({ offset: last.seq, duplicate: true });
      // Whatever this process has opened it leaves as it is, as if killed too.
      await store.log.close();
      depots.close();
      await store.kv.close();
      before = numbers.length;
    }
    expect(before).toBeGreaterThan(rounds * acksPerRound);
  } finally {
    rmSync(root, { recursive: true });
  }
}, 60_000);
