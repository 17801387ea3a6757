// Real flight records of 2001: flights-3m.parquet of the npm package vega-datasets (dates in UTC, delays in minutes, distances in miles), read a row group's part
// at a time and turned into plain records; and the names of the airports.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";

export interface FlightRecord {
  readonly date: number;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

interface Row {
  readonly date: Date | bigint | number;
  readonly delay: bigint;
  readonly distance: bigint;
  readonly origin: string;
  readonly destination: string;
}

/** Rows decoded at once: small enough that the first records are fed at once and memory stays flat. */
const rowsPerRead = 25_000;

function dataFile(root: string, name: string): Buffer {
  return readFileSync(join(root, "node_modules/vega-datasets/data", name));
}

/** The first `count` records, in the order of the file, which is that of time. */
export async function* flightRecords(root: string, count: number): AsyncGenerator<FlightRecord[]> {
  const bytes = dataFile(root, "flights-3m.parquet");
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const metadata = parquetMetadata(file);
  let groupStart = 0;
  for (const group of metadata.row_groups) {
    const groupEnd = Math.min(groupStart + Number(group.num_rows), count);
    for (let rowStart = groupStart; rowStart < groupEnd; rowStart += rowsPerRead) {
      const rowEnd = Math.min(rowStart + rowsPerRead, groupEnd);
      const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd });
      yield (rows as unknown as Row[]).map(recordOf);
    }
    groupStart += Number(group.num_rows);
    if (groupStart >= count) return;
  }
}

export function rowCount(root: string): number {
  const bytes = dataFile(root, "flights-3m.parquet");
  return Number(
    parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer).num_rows,
  );
}

function recordOf({ date, delay, distance, origin, destination }: Row): FlightRecord {
  return { date: Number(date), delay: Number(delay), distance: Number(distance), origin, destination };
}

/** `ORD` → `Chicago O'Hare International`. */
export function airportNames(root: string): ReadonlyMap<string, string> {
  const lines = dataFile(root, "airports.csv").toString("utf8").split(/\r?\n/).slice(1);
  return new Map(
    lines.flatMap((line) => {
      const [code, name] = line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/);
      return code && name ? [[code, name.replace(/^"|"$/g, "").trim()] as const] : [];
    }),
  );
}
