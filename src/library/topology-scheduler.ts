// Timers that outlive any crash: an item and the time when it is due stand in a PState until a handler has dealt with it.
//   const timers = new TopologyScheduler("$$timers");
//   timers.declarePStates(topology);                                                              // $$timersExpirations
//   topology.source("*reminders").out({ at: "*at", text: "*text" }).macro(timers.scheduleItem("*at", "*text"));
//   topology.source("*tick").macro(timers.handleExpirations("*text", "*now", Block.localTransform("$$sent", …)));
// An item belongs to the task on which it was scheduled. Its key is [milliseconds, uuid], so that a range by time finds what is due, and items of one time
// keep the order in which they came.
import {
  Block,
  eq,
  Helpers,
  Ops,
  Path,
  PState,
  type Arg,
  type PStateVar,
  RamaError,
  tuple,
  type ValueVar,
} from "../index.ts";
import type { OwningTopology } from "./declaring.ts";
import { currentTimeMillis } from "./topology-utils.ts";

/** Behind every uuid of the same time. */
const lastUuid = "ffffffff-ffff-ffff-ffff-ffffffffffff";

export class TopologyScheduler {
  readonly #pstate: PStateVar;
  readonly #prefix: PStateVar;
  readonly #maxFetchAmt: number;

  constructor(prefix: PStateVar, settings: { readonly maxFetchAmt?: number } = {}) {
    this.#prefix = prefix;
    this.#pstate = `${prefix}Expirations`;
    this.#maxFetchAmt = settings.maxFetchAmt ?? 1000;
  }

  /** How many due items of a task one call handles at most (1000). When more are due the latest come first; the others wait for the next call. */
  maxFetchAmt(amount: number): TopologyScheduler {
    if (!Number.isInteger(amount) || amount < 1)
      throw new RamaError("BAD_MODULE", `maxFetchAmt takes a number of items, not ${amount}`);
    return new TopologyScheduler(this.#prefix, { maxFetchAmt: amount });
  }

  declarePStates(topology: OwningTopology): void {
    topology.pstate(this.#pstate, PState.mapSchema(Array, Object));
  }

  /** The item is due at this time, in epoch milliseconds, on the task where this runs. */
  scheduleItem(timestampMillis: Arg, item: Arg): Block {
    const time = Helpers.genVar("time");
    const uuid = Helpers.genVar("uuid");
    return Block.each(wholeMillis, timestampMillis)
      .out(time)
      .each(Ops.RANDOM_UUID7)
      .out(uuid)
      .localTransform(this.#pstate, Path.key(tuple(time, uuid)).termVal(item));
  }

  /**
   * Goes to all tasks and runs the block for each item that is due there, with the item and the present time bound. Stream topologies: the block reaches its
   * end once per item, wherever that is; control then goes back to the item's task and the item is deleted, so that an item whose block fails is handled
   * again. Microbatch topologies: due items are deleted with the microbatch that handles them, the block may do what it likes, and later code may hook
   * onto anchors inside it. What follows runs where the block has ended, in stream topologies on the item's task.
   */
  handleExpirations(item: ValueVar, currentTime: ValueVar, block: Block): Block {
    const task = Helpers.genVar("task");
    const type = Helpers.genVar("type");
    const due = Helpers.genVar("due");
    const key = Helpers.genVar("key");
    const until = tuple(currentTime, lastUuid);
    const range = Path.sortedMapRangeTo(until, { includeEnd: true, maxAmt: this.#maxFetchAmt });
    return Block.each(currentTimeMillis)
      .out(currentTime)
      .allPartition()
      .each(Ops.CURRENT_TASK_ID)
      .out(task)
      .each(Ops.CURRENT_TOPOLOGY_TYPE)
      .out(type)
      .localSelect(this.#pstate, range)
      .out(due)
      .ifTrue(eq(type, "microbatch"), Block.localTransform(this.#pstate, range.termVal(null)))
      .each(Ops.EXPLODE_MAP, due)
      .out(key, item)
      .yieldIfOvertime()
      .macro(block)
      .ifTrue(eq(type, "stream"), Block.directPartition(task).localTransform(this.#pstate, Path.key(key).termVoid()));
  }
}

function wholeMillis(time: unknown): number {
  const ms = typeof time === "bigint" ? Number(time) : time;
  if (typeof ms === "number" && Number.isFinite(ms)) return Math.floor(ms);
  throw new RamaError("USER_CODE_FAILED", `scheduleItem takes epoch milliseconds, not ${String(time)}`);
}
