// Dead letters of all topologies of one engine are retried or dropped.
import type { DeadLetterAction, DeadLetterChoice } from "./engine-api.ts";
import type { EngineCore } from "./engine-core.ts";

/** Resolves with how many were found, once that is durable. */
export function changeDeadLetters(
  core: EngineCore,
  action: DeadLetterAction,
  choice: DeadLetterChoice,
): Promise<number> {
  return new Promise((resolve) => {
    core.job(() => {
      let count = 0;
      for (const runtime of core.runtimes) count += runtime.changeDeadLetters?.(action, choice) ?? 0;
      core.loop.after(() => resolve(count));
    });
  });
}
