// Tokens: an append that is sent again lands once, or ends as unknown; never twice.
import { expect, test } from "bun:test";
import { appendsKeptPerClient, DedupeTable } from "../../../src/depot/dedupe.ts";

const client = (n: number) => new Uint8Array(16).fill(n);
const unknown = expect.objectContaining({ code: "APPEND_OUTCOME_UNKNOWN" });

test("a token is new once, then it is the offset that it got", () => {
  const table = new DedupeTable();
  expect(table.find(client(1), 0, 1000)).toBeUndefined();
  table.record(client(1), 0, 7, 1000);
  table.record(client(1), 3, 20, 1000);
  expect(table.find(client(1), 0, 2000)).toBe(7);
  expect(table.find(client(1), 3, 2000)).toBe(20);
  expect(table.find(client(1), 4, 2000)).toBeUndefined();
  expect(table.find(client(2), 0, 2000)).toBeUndefined();
});

test("a token older than what is remembered of the client is unknown", () => {
  const table = new DedupeTable();
  for (let seq = 0; seq <= appendsKeptPerClient; seq++) table.record(client(1), seq, 100 + seq, 1000);
  expect(table.find(client(1), 1, 1000)).toBe(101);
  expect(() => table.find(client(1), 0, 1000)).toThrow(unknown);
});

test("the client silent longest goes out; while it may still repeat itself, clients that are not known are answered unknown", () => {
  const table = new DedupeTable(2);
  table.record(client(1), 0, 0, 1000);
  table.record(client(2), 0, 1, 2000);
  table.record(client(1), 1, 2, 3000);
  table.record(client(3), 0, 3, 4000);
  expect(table.size).toBe(2);
  expect(table.find(client(1), 1, 4000)).toBe(2);
  expect(() => table.find(client(2), 1, 4000)).toThrow(unknown);
  expect(table.find(client(4), 0, 4000)).toBeUndefined();
  expect(table.find(client(2), 1, 2000 + 10 * 60_000)).toBeUndefined();
});

test("only applied appends are written; the rest comes with a later flush", () => {
  const table = new DedupeTable(2);
  table.record(client(1), 0, 10, 1000);
  table.record(client(1), 1, 11, 1000);
  table.record(client(2), 0, 12, 1000);
  const first = table.takeChanges(11);
  const read = new DedupeTable();
  for (const put of first.puts) read.load(put.client, put.value);
  expect(read.size).toBe(1);
  expect(read.find(client(1), 0, 1000)).toBe(10);
  expect(read.find(client(1), 1, 1000)).toBeUndefined();
  expect(table.takeChanges(13).puts.map((put) => put.client[0])).toEqual([1, 2]);
  expect(table.takeChanges(13)).toEqual({ puts: [], deletes: [] });
  table.record(client(3), 0, 13, 1000);
  expect(table.takeChanges(20).deletes).toEqual([client(1)]);
});

test("loaded clients are in the order of their last appends", () => {
  const table = new DedupeTable(2);
  table.record(client(1), 0, 0, 3000);
  table.record(client(2), 0, 1, 2000);
  const read = new DedupeTable(2);
  for (const put of table.takeChanges(9).puts) read.load(put.client, put.value);
  read.loaded();
  read.record(client(3), 0, 2, 4000);
  expect(read.find(client(1), 0, 4000)).toBe(0);
});

test("entries that the log replays over loaded tokens change nothing", () => {
  const table = new DedupeTable();
  table.record(client(1), 5, 50, 1000);
  table.record(client(1), 4, 40, 900);
  table.record(client(1), 5, 50, 1000);
  expect(table.find(client(1), 5, 1000)).toBe(50);
  expect(() => table.find(client(1), 4, 1000)).toThrow(unknown);
});

test("version 1: a client's value is these bytes", () => {
  const table = new DedupeTable();
  table.record(client(1), 2, 3, 1000);
  const golden = "01e80300000000020000000000030000000000";
  expect(Buffer.from(table.takeChanges(9).puts[0]!.value).toString("hex")).toBe(golden);
  const read = new DedupeTable();
  read.load(client(1), new Uint8Array(Buffer.from(golden, "hex")));
  expect(read.find(client(1), 2, 1000)).toBe(3);
  expect(() => read.load(client(2), Uint8Array.of(9))).toThrow(expect.objectContaining({ code: "STORE_CORRUPT" }));
});
