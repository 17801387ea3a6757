// The real clock, timers and randomness of a process. Runs in Bun and in Node (the client library uses it there). The only file above which
// `Date.now`, `setTimeout` and their like must not appear.
import type { Env, LogLevel, Timer } from "./env.ts";
import { messageOf } from "./errors.ts";
import { LineLog } from "./log.ts";

export interface SystemEnvOptions {
  /** Least level that is written; default "info". */
  readonly logLevel?: LogLevel;
  /** Receives whole lines without a line break. */
  readonly sink: (line: string) => void;
  /** Called after the log when something that nobody awaits has thrown. Default: only the log. */
  readonly onFailure?: (name: string, error: unknown) => void;
}

/** `setTimeout` fires at once for longer delays. */
const longestDelayMs = 2 ** 31 - 1;

export function systemEnv(options: SystemEnvOptions): Env {
  const log = new LineLog({ level: options.logLevel ?? "info", now: () => Date.now(), sink: options.sink });

  function failed(name: string, error: unknown): void {
    log.error(`${name} ended with an error`, { error: error instanceof Error ? error : messageOf(error) });
    options.onFailure?.(name, error);
  }

  function guarded(name: string, fn: () => void): void {
    try {
      fn();
    } catch (error) {
      failed(name, error);
    }
  }

  function setTimer(delayMs: number, fn: () => void): Timer {
    const handle = setTimeout(guarded, Math.min(Math.max(0, Math.ceil(delayMs)), longestDelayMs), "timer", fn);
    return { cancel: () => clearTimeout(handle) };
  }

  return {
    log,
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    setTimer,
    nextTurn: (fn) => void setImmediate(guarded, "turn", fn),
    sleep: (delayMs, signal) => sleepWith(setTimer, delayMs, signal),
    random: () => Math.random(),
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    spawn(name, fn) {
      let running: Promise<void>;
      try {
        running = fn();
      } catch (error) {
        failed(name, error);
        return;
      }
      running.then(undefined, (error: unknown) => failed(name, error));
    },
  };
}

/** `Env.sleep` in terms of `Env.setTimer`; shared with the simulated environment. */
export function sleepWith(
  setTimer: (delayMs: number, fn: () => void) => Timer,
  delayMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = () => {
      timer.cancel();
      resolve(false);
    };
    const timer = setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** A later turn of the real event loop, for the simulated environment: every promise that can go on has gone on before it. */
export function realTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
