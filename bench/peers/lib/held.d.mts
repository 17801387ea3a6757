// Types of held.mjs, for our side of the benchmarks.
export function held(options: {
  name: string;
  seconds: number;
  reads: number;
  users: number;
  batch: number;
  durability: string;
  overlap?: number;
  post(authors: number[]): Promise<number>;
  read(user: number): Promise<unknown>;
}): Promise<void>;
