// The wall clock of the task whose code runs now, for functions that are called without a context (`TopologyUtils.currentTimeMillis`): a cluster with a
// simulated clock gives its tasks its own time. Outside of tasks it is the process's clock, or the one that `startSimTime` sets.

interface WallClock {
  nowMs(): number;
}

let running: WallClock | undefined;
let ofProcess: WallClock | undefined;
let simulatedMs: number | undefined;

/** What runs from here to `leaveTask` belongs to a task with this clock. */
export function enterTask(clock: WallClock): void {
  running = clock;
}

export function leaveTask(): void {
  running = undefined;
}

/** The doors of the package set the real one. */
export function setProcessClock(clock: WallClock): void {
  ofProcess = clock;
}

/** Epoch milliseconds: of the running task's cluster; elsewhere of the process. */
export function currentTimeMillis(): number {
  if (running !== undefined) return running.nowMs();
  return simulatedMs ?? ofProcess!.nowMs();
}

/** From here on the process's clock stands at 0 and moves by `advanceSimTime` alone, until what is returned is closed. For programs without a cluster clock. */
export function startSimTime(): { close(): void; [Symbol.dispose](): void } {
  simulatedMs = 0;
  const close = () => {
    simulatedMs = undefined;
  };
  return { close, [Symbol.dispose]: close };
}

export function advanceSimTime(ms: number | bigint): void {
  if (simulatedMs === undefined) throw new Error("advanceSimTime needs startSimTime before it");
  simulatedMs += Number(ms);
}
