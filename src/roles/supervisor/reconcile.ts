// What a supervisor does next for its workers, as a pure function: tasks it was given against what its directory and the processes say.
// A worker that dies or falls silent is started again, with a growing pause; one that has never run and dies `failedStarts` times in a row is reported as
// failed. Workers survive their supervisor: a running process found by its pid file is adopted, not started twice.
import type { WorkerTask } from "../../protocol/cluster-records.ts";

export interface ObservedWorker {
  readonly workerId: string;
  /** 0: no process was started (or its file is gone). */
  readonly pid: number;
  readonly alive: boolean;
  /** It has said that it serves. */
  readonly ready: boolean;
  /** It has loaded its module and waits to be let go. */
  readonly prepared: boolean;
  /** On the monotonic clock, as are the others here: when this supervisor started it or saw it first, and when it saw the last sign of life. */
  readonly startedMs: number;
  readonly lastHeartbeatMs: number;
  /** Epoch milliseconds, for display. */
  readonly startedAtMs: number;
  /** Starts since the task was given, and since it last ran for a while. */
  readonly starts: number;
  readonly startsInARow: number;
  readonly everReady: boolean;
  /** SIGTERM was sent then; 0: not. */
  readonly stoppingSinceMs: number;
}

export interface ReconcileLimits {
  readonly heartbeatTimeoutMs: number;
  readonly launchTimeoutMs: number;
  readonly stopTimeoutMs: number;
  /** Starts in a row without ever being ready after which the worker counts as failed. */
  readonly failedStarts: number;
}

export type Action =
  | { readonly kind: "start"; readonly task: WorkerTask }
  /** It need no longer wait. May be repeated. */
  | { readonly kind: "letGo"; readonly workerId: string }
  | { readonly kind: "terminate"; readonly workerId: string; readonly pid: number; readonly reason: string }
  | { readonly kind: "kill"; readonly workerId: string; readonly pid: number; readonly reason: string }
  /** The task was withdrawn and the process is gone: delete its directory and its report. */
  | { readonly kind: "remove"; readonly workerId: string }
  | { readonly kind: "reportFailed"; readonly task: WorkerTask };

/** Pause before start number n in a row (the first is 1), ms. */
export function restartDelayMs(startsInARow: number): number {
  return startsInARow <= 1 ? 0 : Math.min(10_000, 250 * 2 ** (startsInARow - 2));
}

export function reconcile(
  tasks: readonly WorkerTask[],
  workers: ReadonlyMap<string, ObservedWorker>,
  nowMs: number,
  limits: ReconcileLimits,
): Action[] {
  const actions: Action[] = [];
  const wanted = new Set<string>();
  for (const task of tasks) {
    wanted.add(task.workerId);
    const action = actionFor(task, workers.get(task.workerId), nowMs, limits);
    if (action) actions.push(action);
  }
  for (const worker of workers.values()) {
    if (wanted.has(worker.workerId)) continue;
    actions.push(withdrawn(worker, nowMs, limits));
  }
  return actions;
}

function actionFor(
  task: WorkerTask,
  worker: ObservedWorker | undefined,
  nowMs: number,
  limits: ReconcileLimits,
): Action | undefined {
  if (!worker || worker.pid === 0) return { kind: "start", task };
  const { workerId, pid } = worker;
  if (!worker.alive) {
    if (!worker.everReady && worker.startsInARow >= limits.failedStarts) return { kind: "reportFailed", task };
    const dueMs = worker.startedMs + restartDelayMs(worker.startsInARow + 1);
    return nowMs >= dueMs ? { kind: "start", task } : undefined;
  }
  if (worker.prepared && !worker.ready && task.waits !== true) return { kind: "letGo", workerId };
  if (!worker.ready && !worker.prepared) {
    const silentMs = nowMs - worker.startedMs;
    if (silentMs < limits.launchTimeoutMs) return undefined;
    return { kind: "kill", workerId, pid, reason: `not ready ${Math.round(silentMs / 1000)} s after its start` };
  }
  const silentMs = nowMs - Math.max(worker.lastHeartbeatMs, worker.startedMs);
  if (silentMs < limits.heartbeatTimeoutMs) return undefined;
  return { kind: "kill", workerId, pid, reason: `no heartbeat for ${Math.round(silentMs / 1000)} s` };
}

function withdrawn(worker: ObservedWorker, nowMs: number, limits: ReconcileLimits): Action {
  const { workerId, pid } = worker;
  if (pid === 0 || !worker.alive) return { kind: "remove", workerId };
  if (worker.stoppingSinceMs !== 0 && nowMs - worker.stoppingSinceMs >= limits.stopTimeoutMs) {
    return { kind: "kill", workerId, pid, reason: "did not stop in time" };
  }
  return { kind: "terminate", workerId, pid, reason: "its module does not need it any more" };
}
