// Loaded by the main door: gives the parts of the library that run without any cluster (detached blocks, `Helpers.uuid7`) the process's clock, chance and output.
import { systemEnv } from "./base/env-system.ts";
import { setProcessClock } from "./base/task-clock.ts";
import { setUuid7Clock } from "./dataflow/helpers-vars.ts";
import { setDetachedWorld } from "./dataflow/run-detached.ts";

const env = systemEnv({ sink: (line) => process.stdout.write(`${line}\n`) });

setUuid7Clock(env);
setProcessClock({ nowMs: () => env.now() });
setDetachedWorld({
  random: () => env.random(),
  nowMs: () => env.now(),
  print: (line) => console.log(line),
});
