// Types of common.mjs, for our side of the benchmarks.
export interface Run {
  rate: number;
  lat: number[];
}
export interface Line {
  name: string;
  metric: string;
  value: number;
  unit: string;
  n: number;
  durability: string;
  all?: number[];
  [more: string]: unknown;
}
export function args<T extends object>(defaults: T): T;
export function rng(seed?: number): () => number;
export function zipf(n: number, s: number, rand: () => number): () => number;
export function pageViews(n: number, keys?: number, seed?: number): { json: string[]; users: string[]; expect: Map<string, number> };
export function now(): number;
export function sleep(ms: number): Promise<void>;
export function median(xs: readonly number[]): number;
export function pct(xs: readonly number[], p: number): number;
export function report(line: Line): void;
export function closedLoop(width: number, ms: number, op: (i: number) => Promise<unknown>): Promise<Run>;
export function repeat<T>(runs: number, fn: (run: number) => Promise<T>): Promise<T[]>;
export function once<T>(fn: () => Promise<T>): Promise<T>;
