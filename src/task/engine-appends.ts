// Appends to the depot partitions of one engine: refused, held back, or stored in the running turn and handed to the topologies that read the depot.
import { RamaError } from "../base/errors.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { AppendWait } from "./append-wait.ts";
import type { AppendReply, AppendToken, EngineAppend } from "./engine-api.ts";
import type { EngineCore } from "./engine-core.ts";
import { HeldAppends } from "./held-appends.ts";
import { clientJobs } from "./run-queue.ts";
import type { Task } from "./task.ts";

/** Records of clients that are not stored yet, in the queue or held back, of one engine; what comes beyond is refused at once. A client has at most 8 MB on the way to a partition. */
const waitingBytesMax = 128 * 1024 * 1024;
const nothing = (): void => {};

export class EngineAppends {
  readonly #core: EngineCore;
  readonly #held: HeldAppends;
  /** At most `waitingBytesMax`, and one frame. */
  #waitingBytes = 0;

  constructor(core: EngineCore) {
    this.#core = core;
    const timeoutMs = () => core.view.number("replication.depot.append.timeout.millis");
    this.#held = new HeldAppends(core.options.env, timeoutMs, (append) => this.#left(append));
  }

  #left(append: EngineAppend): void {
    this.#waitingBytes -= append.records.length;
  }

  /** Partitions have room again, perhaps: what is held back is stored where it may be. */
  applied(): void {
    if (!this.#held.empty) this.#core.job(() => this.#held.release(this.#mayStore, this.#storeAppend));
  }

  /** Whatever is held back: nothing of it is stored. */
  rejectHeld(error: RamaError): void {
    this.#held.rejectAll(error);
  }

  append(append: EngineAppend): void {
    let error = this.#core.failed ?? this.#appendError(append.depot, append.task);
    // What was stored before, and is sent again because its answer was lost, is not refused.
    if (error === null && (this.#core.refusal ?? this.#core.stalled) !== null && !this.#isStored(append)) {
      error = this.#core.refusal ?? this.#core.stalled;
    }
    if (this.#waitingBytes > waitingBytesMax) {
      const message = `${this.#waitingBytes} bytes of appends wait at this engine; nothing was stored`;
      error ??= new RamaError("OVERLOADED", message, { task: append.task });
    }
    if (error !== null) {
      append.reply(error, -1, null, null);
      return;
    }
    this.#waitingBytes += append.records.length;
    this.#core.loop.push(clientJobs, { run: () => this.#take(append) }, 1);
    if (append.level === "none") append.reply(null, -1, null, null);
  }

  #isStored({ depot, task, token }: EngineAppend): boolean {
    if (token === null) return false;
    try {
      const { dedupe } = this.#core.tasks[task]!.depots[depot]!;
      return dedupe.find(token.client, token.seq, this.#core.options.env.now()) !== undefined;
    } catch (error) {
      // APPEND_OUTCOME_UNKNOWN: the same is said when it is taken.
      if (!(error instanceof RamaError)) throw error;
      return true;
    }
  }

  #appendError(depot: number, task: number): RamaError | null {
    const definition = this.#core.options.module.definition.depots[depot];
    if (definition === undefined) return new RamaError("UNKNOWN_OBJECT", `the module has no depot ${depot}`, { depot });
    if (this.#core.closing) return new RamaError("MOVED", "this engine is closing", { task });
    const { name } = definition;
    if (definition.tickMs !== undefined || definition.partitioning.kind === "disallow") {
      return new RamaError("NOT_APPENDABLE", `${name} takes no appends from clients`, { depot: name });
    }
    return this.#core.partitionError(name, task, (found) => found.depots[depot]);
  }

  #take(append: EngineAppend): undefined {
    const { depot, task } = append;
    if (!this.#held.has(depot, task) && this.#mayStore(append)) this.#storeAppend(append);
    else this.#held.hold(append);
    return undefined;
  }

  readonly #mayStore = (append: EngineAppend): boolean => {
    if (append.level !== "ack") return true;
    const task = this.#core.tasks[append.task]!;
    return !this.#core.subscribers[append.depot]!.some((runtime) => runtime.full(task, append.depot));
  };

  readonly #storeAppend = (append: EngineAppend): void => {
    const { depot, task, token, records, count, level, reply } = append;
    this.#left(append);
    this.#storeRecords(
      this.#core.tasks[task]!,
      depot,
      records,
      count,
      token,
      level,
      level === "none" ? nothing : reply,
    );
  };

  /** To the task's own partition, in this turn. */
  appendRecord(task: Task, depot: number, record: Uint8Array, level: AckLevelName, reply: AppendReply): void {
    const { name } = this.#core.options.module.definition.depots[depot]!;
    const missing = this.#core.partitionError(name, task.id, (found) => found.depots[depot]);
    if (missing !== null) {
      reply(missing, -1, null, null);
      return;
    }
    const bytes = new Uint8Array(4 + record.length);
    new DataView(bytes.buffer).setUint32(0, record.length, true);
    bytes.set(record, 4);
    this.#storeRecords(task, depot, bytes, 1, null, level, reply);
  }

  #storeRecords(
    task: Task,
    depot: number,
    records: Uint8Array,
    count: number,
    token: AppendToken | null,
    level: AckLevelName,
    reply: AppendReply,
  ): void {
    const subscribers = this.#core.subscribers[depot]!;
    const { replog } = this.#core.groupOf[task.id]!;
    const partition = task.depots[depot]!;
    let bytes = records;
    let stored: { offset: number; duplicate: boolean };
    try {
      if (partition.migration !== undefined) bytes = partition.toStore(records);
      stored = partition.append(replog, bytes, count, token, this.#core.options.env.now(), nothing);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      reply(error, -1, null, null);
      return;
    }
    const { offset, duplicate } = stored;
    const wait = level === "ack" ? this.#waitFor(depot, count, offset, reply) : undefined;
    if (!duplicate) {
      this.#core.options.events?.appended(
        this.#core.options.module.definition.depots[depot]!.name,
        task.id,
        offset,
        count,
      );
      for (let i = 0; i < subscribers.length; i++)
        subscribers[i]!.appended({ depot, task, offset, bytes, count, wait });
    } else if (wait !== undefined) {
      for (const runtime of subscribers)
        for (let i = 0; i < count; i++) runtime.attach(task, depot, offset + i, i, wait);
    }
    if (wait === undefined && reply !== nothing) this.#core.loop.after(() => reply(null, offset, null, null), 1);
  }

  #waitFor(depot: number, count: number, offset: number, reply: AppendReply): AppendWait | undefined {
    let sources = 0;
    for (const runtime of this.#core.subscribers[depot]!) sources += runtime.sourceCount(depot);
    if (sources === 0) return undefined;
    const wait = new AppendWait(count, sources, reply, this.#afterTurn);
    wait.offset = offset;
    return wait;
  }

  readonly #afterTurn = (hook: () => void, replies: number): void => this.#core.loop.after(hook, replies);
}
