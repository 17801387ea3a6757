// Prints a file of a store, or what is in a store's directory, in plain words.
//   npm run inspect -- PATH
// PATH: a segment of the log (….log), a depot segment (….depot), or a directory that holds such files. Reads only; a running worker is not disturbed.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { u32At } from "../src/base/bytes.ts";
import { decodeValue } from "../src/base/value-codec.ts";
import { type DepotAppend, decodeAppendEntry } from "../src/depot/append-entry.ts";
import { BLOCK_HEADER_BYTES, headerOf } from "../src/depot/segment-blocks.ts";
import { DEPOT_HEADER_BYTES, depotSegmentOffset } from "../src/depot/segments.ts";
import { DEPOT_APPEND, entryKindNames } from "../src/replication/entry.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, scanSegment, segmentNumber } from "../src/storage/segment.ts";

const recordsShown = 3;
const textShown = 100;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

function valueText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = JSON.stringify(decodeValue(bytes)) ?? "undefined";
  } catch {
    text = `${bytes.length} bytes ${Buffer.from(bytes.subarray(0, 24)).toString("hex")}`;
  }
  return text.length > textShown ? `${text.slice(0, textShown)}…` : text;
}

/** The first records of a run, one line each. */
function printRecords(bytes: Uint8Array, offset: number, count: number, indent: string): void {
  let at = 0;
  for (let i = 0; i < Math.min(count, recordsShown); i++) {
    const end = at + 4 + u32At(bytes, at);
    print(`${indent}${offset + i}  ${valueText(bytes.subarray(at + 4, end))}`);
    at = end;
  }
  if (count > recordsShown) print(`${indent}… ${count - recordsShown} more`);
}

function appendText({ depot, task, offset, count, token, appendMs }: DepotAppend): string {
  const from = token === null ? "" : `, client ${Buffer.from(token.client).toString("hex")} append ${token.seq}`;
  return `depot ${depot} task ${task} offsets ${offset}–${offset + count - 1} at ${new Date(appendMs).toISOString()}${from}`;
}

function inspectLog(path: string, bytes: Uint8Array): void {
  const number = segmentNumber(basename(path))!;
  const header = decodeSegmentHeader(bytes);
  if (header === undefined || header.number !== number) {
    print(`${path}: no valid header of segment ${number}; it was never used, or is damaged`);
    return;
  }
  print(
    `${path}: log segment ${number}, ${bytes.length} bytes, first entry ${header.firstEntry}${header.recycled ? ", recycled" : ""}`,
  );
  const groups = new Map<number, { entries: number; first: number; last: number }>();
  const { validEnd, declaredEnd } = scanSegment(bytes, number, SEGMENT_HEADER_BYTES, {
    batch: (firstEntry, position) => print(`  byte ${position}: batch from entry ${firstEntry} on`),
    entry: ({ kind, group, epoch, offset, payload }, position) => {
      const found = groups.get(group);
      groups.set(group, { entries: (found?.entries ?? 0) + 1, first: found?.first ?? offset, last: offset });
      const what = entryKindNames[kind] ?? `kind ${kind}`;
      const append = kind === DEPOT_APPEND ? decodeAppendEntry(payload) : undefined;
      const detail = append === undefined ? `${payload.length} bytes` : appendText(append);
      print(`    byte ${position}: group ${group} offset ${offset} epoch ${epoch}: ${what}, ${detail}`);
      if (append !== undefined) printRecords(append.records, append.offset, append.count, "      ");
    },
  });
  for (const [group, { entries, first, last }] of groups)
    print(`  group ${group}: ${entries} entries, offsets ${first}–${last}`);
  print(
    `  valid up to byte ${validEnd}${declaredEnd > validEnd ? `; the last batch should end at ${declaredEnd}: torn` : ""}`,
  );
}

function inspectDepot(path: string, bytes: Uint8Array): void {
  print(`${path}: depot segment, ${bytes.length} bytes, from offset ${depotSegmentOffset(basename(path))} on`);
  let at = DEPOT_HEADER_BYTES;
  for (
    let block = headerOf(bytes, at, at);
    block !== undefined && block.next <= bytes.length;
    block = headerOf(bytes, at, at)
  ) {
    const isWhole = Bun.hash.crc32(bytes.subarray(at + 8, block.next)) === u32At(bytes, at + 4);
    const { offset, count, appendMs } = block;
    const range = `offsets ${offset}–${offset + count - 1} at ${new Date(appendMs).toISOString()}`;
    print(`  byte ${at}: ${range}${isWhole ? "" : ": DAMAGED"}`);
    if (!isWhole) return;
    printRecords(bytes.subarray(at + BLOCK_HEADER_BYTES, block.next), offset, count, "    ");
    at = block.next;
  }
  print(
    at === bytes.length ? "  whole" : `  ends at byte ${at}; what follows is no block (not synced yet, or damaged)`,
  );
}

function inspect(path: string): void {
  if (statSync(path).isDirectory()) {
    const names = readdirSync(path).sort();
    if (names.includes("format")) print(`${path}: ${readFileSync(join(path, "format"), "utf8").trim()}`);
    for (const name of names) {
      const below = join(path, name);
      if (statSync(below).isDirectory() ? name !== "kv" : isInspectable(name)) inspect(below);
    }
    return;
  }
  const name = basename(path);
  const bytes = new Uint8Array(readFileSync(path));
  if (segmentNumber(name) !== undefined) inspectLog(path, bytes);
  else if (depotSegmentOffset(name) !== undefined) inspectDepot(path, bytes);
  else print(`${path}: neither a log segment nor a depot segment`);
}

const isInspectable = (name: string): boolean =>
  segmentNumber(name) !== undefined || depotSegmentOffset(name) !== undefined;

const [path] = process.argv.slice(2);
if (path === undefined || path === "--help") {
  print("usage: npm run inspect -- PATH     a log segment, a depot segment, or a directory with such files");
  process.exit(path === undefined ? 2 : 0);
}
try {
  inspect(path);
} catch (error) {
  print(`${path}: ${(error as Error).message}`);
  process.exitCode = 1;
}
