// What happens to an engine's depot partitions in the background: files are written anew for migrations, and old records go (trimming). Both are decided here and written
// to the log as control entries (depot/control-entry.ts); the files follow with the flush.
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { DEPOT_CONTROL, type DepotControl, encodeControlEntry } from "../depot/control-entry.ts";
import type { DepotGroup } from "../depot/depot-store.ts";
import type { DepotPartition } from "../depot/partition.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import type { CommitLoop } from "./commit-loop.ts";
import type { ConsumersNeed } from "./depot-fetches.ts";
import { trimTo } from "./depot-trim.ts";
import type { OptionView } from "./option-view.ts";
import { flexLatencyJobs } from "./run-queue.ts";
import type { TaskGroup } from "./task-group.ts";

/** One stretch of a rewriting: some milliseconds of reading, user code and writing. */
const stretchBytes = 256 * 1024;
/** A rewriting takes a tenth of the thread at most. */
const restFactor = 9;
/** After the author's function threw, or the disk was full. */
const retryMs = 5_000;

export interface DepotUpkeepOptions {
  readonly env: Env;
  readonly loop: CommitLoop;
  readonly options: OptionView;
  readonly groups: readonly { readonly group: TaskGroup; readonly depots: DepotGroup }[];
  /** Files that have been changed over are durable afterwards, and those before are gone. */
  readonly flush: () => Promise<void>;
  /** Offset of the first record that some topology of this module still needs; undefined: none does. */
  readonly neededHere: (partition: DepotPartition) => number | undefined;
  /** The same of topologies of other modules. */
  readonly neededElsewhere: (partition: DepotPartition) => ConsumersNeed;
}

export class DepotUpkeep {
  readonly #options: DepotUpkeepOptions;
  #timers = new Set<Timer>();
  #wake: (() => void) | undefined = undefined;
  #closed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: DepotUpkeepOptions) {
    this.#options = options;
  }

  /**
   * Before anything else is appended or read. The entries are in the next turn; readers begin before it, so that the partitions know at once: nothing can come between.
   */
  begin(): void {
    for (const { group, depots } of this.#options.groups) {
      for (const partition of depots.partitions) {
        const control = partition.migrationToBegin();
        if (control === undefined) continue;
        partition.applyControl(control);
        this.#log(group, partition, control);
      }
    }
  }

  #log(group: TaskGroup, partition: DepotPartition, control: DepotControl): void {
    group.replog.append(DEPOT_CONTROL, [encodeControlEntry(control)], () => partition.applyControl(control));
    this.#options.loop.wake();
  }

  /** The engine serves. */
  start(): void {
    this.#trimLater();
    const open = this.#options.groups.some(({ depots }) => depots.migrations().some(({ done }) => !done));
    if (open) this.#running = this.#rewriteAll();
  }

  status(tasks: readonly number[]): MigrationStatus[] {
    const found = this.#options.groups.flatMap(({ depots }) => depots.migrations());
    const names = [...new Set(found.map(({ partition }) => partition.name))];
    // A global depot has nothing to do on the other tasks, and says so.
    return names.flatMap((object) =>
      tasks.map((task): MigrationStatus => {
        const here = found.find(({ partition }) => partition.name === object && partition.task === task);
        const ids = found.find(({ partition }) => partition.name === object)!.partition.migration!.id;
        return { object, task, ids: [ids], done: here?.done ?? true, rewritten: here?.rewritten ?? 0 };
      }),
    );
  }

  // ---- migrations

  async #rewriteAll(): Promise<void> {
    const { env } = this.#options;
    for (const { depots } of this.#options.groups) {
      for (const { partition } of depots.migrations()) {
        while (!this.#closed && partition.isOld) {
          const startMs = env.monotonicMs();
          const isFine = await this.#stretch(depots, partition);
          if (this.#closed) return;
          if (partition.isOld) await this.#sleep(isFine ? 1 + restFactor * (env.monotonicMs() - startMs) : retryMs);
        }
      }
    }
    while (!this.#closed) {
      try {
        await this.#options.flush();
        return;
      } catch (error) {
        env.log.warn("rewritten depots are not durable yet", { error: messageOf(error) });
        await this.#sleep(retryMs);
      }
    }
  }

  async #stretch(depots: DepotGroup, partition: DepotPartition): Promise<boolean> {
    let isFine = true;
    await this.#inTurn(() => {
      try {
        partition.copy();
        depots.rewrite(partition, stretchBytes);
      } catch (error) {
        if (!(error instanceof RamaError) || (error.code !== "USER_CODE_FAILED" && error.code !== "DISK_FULL"))
          throw error;
        isFine = false;
        this.#options.env.log.warn("a depot's migration waits", { depot: partition.name, error: error.message });
      }
    });
    return isFine;
  }

  // ---- trimming

  #trimLater(): void {
    const { options } = this.#options;
    this.#after(options.number("depot.trim.interval.millis"), () => {
      this.#job(() => this.#trim());
      this.#trimLater();
    });
  }

  /** In a turn. */
  #trim(): void {
    const { options } = this.#options;
    for (const { group, depots } of this.#options.groups) {
      for (const partition of depots.partitions) {
        const { depot, name, task, startOffset, endOffset } = partition;
        const entriesMax = options.get("depot.max.entries.per.partition", name);
        if (typeof entriesMax !== "number") continue;
        const excessProportion = options.number("depot.excess.proportion", name);
        const neededFrom = this.#neededFrom(group, partition);
        const offset = trimTo({ startOffset, endOffset, entriesMax, excessProportion, neededFrom });
        if (offset > startOffset) this.#log(group, partition, { kind: "trim", depot, task, offset, id: "" });
      }
    }
  }

  /** What topologies of other modules have said is noted first: the trimming stands behind it in the log. */
  #neededFrom(group: TaskGroup, partition: DepotPartition): number | undefined {
    const { options, neededHere, neededElsewhere } = this.#options;
    const here = options.flag("depot.trim.coordinate.local.topologies", partition.name)
      ? neededHere(partition)
      : undefined;
    if (!options.flag("depot.trim.coordinate.remote.topologies", partition.name)) return here;
    const { from, news } = neededElsewhere(partition);
    for (const control of news) this.#log(group, partition, control);
    return from === undefined || here === undefined ? (here ?? from) : Math.min(from, here);
  }

  /** Into the log, with the next turn. */
  note(partition: DepotPartition, control: DepotControl): void {
    const found = this.#options.groups.find(({ depots }) => depots.partitions.includes(partition));
    if (found !== undefined) this.#job(() => this.#log(found.group, partition, control));
  }

  // ---- time

  #job(fn: () => void): void {
    this.#options.loop.push(flexLatencyJobs, {
      run: () => {
        if (!this.#closed) fn();
        return undefined;
      },
    });
  }

  #inTurn(fn: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#job(() => {
        fn();
        resolve();
      });
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#after(ms, resolve);
    });
  }

  #after(ms: number, fn: () => void): void {
    const timer = this.#options.env.setTimer(Math.max(1, Math.ceil(ms)), () => {
      this.#timers.delete(timer);
      fn();
    });
    this.#timers.add(timer);
  }

  stop(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.stop();
    await this.#running;
  }
}
