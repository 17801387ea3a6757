// What -Xmx means here: there is no hard cap in the runtime, so the worker looks at its resident memory, collects garbage when it comes near the limit, and
// ends itself (the supervisor starts it again) when that does not help.
import type { Env } from "../../base/env.ts";

const everyMs = 2_000;
const nearShare = 0.9;

export function guardMemory(env: Env, workerId: string): void {
  const limit = Number(process.env["RAMA_MEMORY_LIMIT_BYTES"] ?? 0);
  if (!(limit > 0)) return;
  let overSince = 0;
  const check = (): void => {
    const rss = process.memoryUsage.rss();
    if (rss < limit * nearShare) overSince = 0;
    else {
      Bun.gc(true);
      const after = process.memoryUsage.rss();
      if (after >= limit) {
        overSince += 1;
        env.log.error("memory is over -Xmx of worker.child.opts", { worker: workerId, rss: after, limit });
        if (overSince >= 3) process.exit(1);
      }
    }
    env.setTimer(everyMs, check);
  };
  env.setTimer(everyMs, check);
}
