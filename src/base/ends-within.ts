// A promise that is waited for no longer than so long; the timer goes with the wait.
import type { Env } from "./env.ts";

/** True when it has resolved within `ms`. It goes on otherwise, and its later rejection is its owner's matter. */
export async function endsWithin(env: Env, promise: Promise<unknown>, ms: number): Promise<boolean> {
  const waited = new AbortController();
  try {
    return await Promise.race([promise.then(() => true), env.sleep(ms, waited.signal).then(() => false)]);
  } finally {
    waited.abort();
  }
}
