// Waits for a condition that becomes true by itself: what tests do in place of sleeping.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";

export interface WaitOptions {
  readonly env: Env;
  readonly timeoutMs?: number;
  /** What is waited for, for the message. */
  readonly what: string;
  /** What stands at present; appended to the message. */
  readonly present?: () => string;
}

/** Resolves to the first value that is neither false, null nor undefined. TIMEOUT after `timeoutMs` (60 s). */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<NonNullable<T>> {
  const { env, what, timeoutMs = 60_000 } = options;
  const deadline = env.monotonicMs() + timeoutMs;
  for (let waitMs = 1; ; waitMs = Math.min(20, waitMs * 2)) {
    const value = await condition();
    if (value !== false && value !== null && value !== undefined) return value;
    if (env.monotonicMs() >= deadline) {
      const present = options.present === undefined ? "" : `: ${options.present()}`;
      throw new RamaError("TIMEOUT", `${what} did not come within ${timeoutMs} ms${present}`, { what, timeoutMs });
    }
    await env.sleep(waitMs);
  }
}
