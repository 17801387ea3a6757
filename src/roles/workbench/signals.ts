// SIGTERM and Ctrl-C: the first one stops in order, the second ends at once; a stop that takes too long ends too.
import type { Env } from "../../base/env.ts";

const stopTimeoutMs = 10_000;

/** Resolves to the exit code once `stop` has done its work. */
export function untilStopped(env: Env, stop: () => Promise<void>): Promise<number> {
  return new Promise((resolve) => {
    let stopping = false;
    const onSignal = (signal: string): void => {
      if (stopping) process.exit(130);
      stopping = true;
      env.log.info("stopping", { signal });
      env.setTimer(stopTimeoutMs, () => {
        env.log.error("stopping took more than 10 s; ended");
        process.exit(1);
      });
      stop().then(
        () => {
          env.log.info("stopped");
          resolve(0);
        },
        (error: unknown) => {
          env.log.error("stopping", { error: String(error) });
          resolve(1);
        },
      );
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

/** For commands that stop in order: the first signal calls `fn`, the second one ends the process. Returns what takes it back. */
export function onInterrupt(fn: () => void): () => void {
  let isStopping = false;
  const onSignal = (): void => {
    if (isStopping) process.exit(130);
    isStopping = true;
    fn();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return () => {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  };
}
