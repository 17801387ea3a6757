// Appends of topologies to depots of other modules.
import { messageOf, RamaError } from "../base/errors.ts";
import type { AckLevelName, MirrorPartition } from "../dataflow/compiled.ts";
import type { RuntimeHost } from "./topology-runtime.ts";

/** `done` is called once, outside turns: null when the level is reached. */
export function appendAway(
  host: RuntimeHost,
  to: MirrorPartition,
  record: Uint8Array,
  level: AckLevelName,
  done: (error: RamaError | null) => void,
): void {
  const { mirrors, env } = host;
  if (mirrors === undefined) {
    done(new RamaError("NOT_ALLOWED_HERE", "there is no cluster here whose modules could be appended to"));
    return;
  }
  env.spawn("append to another module", async () => {
    let failed: RamaError | null = null;
    try {
      await mirrors.append(to, record, level);
    } catch (error) {
      failed = error instanceof RamaError ? error : new RamaError("INTERNAL", messageOf(error), {}, error);
    }
    done(failed);
  });
}
