import { expect, test } from "bun:test";
import { endsWithin } from "../../../src/base/ends-within.ts";
import type { Env } from "../../../src/base/env.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";

test("a promise that resolves in time ends the wait for it", async () => {
  let ended = false;
  const sleep = (_ms: number, signal?: AbortSignal) =>
    new Promise<boolean>((resolve) =>
      signal!.addEventListener("abort", () => {
        ended = true;
        resolve(false);
      }),
    );
  expect(await endsWithin({ sleep } as unknown as Env, Promise.resolve(), 1000)).toBe(true);
  expect(ended).toBe(true);
});

test("one that does not is left to itself", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  const ends = endsWithin(env, new Promise(() => {}), 1000);
  await env.advance(1000);
  expect(await ends).toBe(false);
});

test("a rejection in time is the caller's", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  await expect(endsWithin(env, Promise.reject(new Error("no")), 1000)).rejects.toThrow("no");
});
