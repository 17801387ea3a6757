// Ids that a task gives out by counting: `ModuleUniqueIdPState` makes them unique in the module, `TaskUniqueIdPState` leaves them as they are.
//   const ids = new ModuleUniqueIdPState("$$id");
//   ids.declarePState(topology);
//   topology.source("*orders").out("*order").macro(ids.genId("*orderId"))
// Ids of one task are strictly ascending (or descending). The counter is durable with the writes of the event that took the id. Follows "Id generation" of
// rama-helpers, except that a 64-bit id is a bigint and a per-task id a number.
import { Block, Helpers, Ops, Path, type PStateVar, type ValueVar } from "../index.ts";
import { greatestId, type OwningTopology } from "./declaring.ts";

const counterBits = 42n;
const greatestCounter = 2 ** 42 - 1;

/** 64-bit ids, unique in the module: the task's number in the upper 22 bits, a counter of the task in the lower 42. They are bigints. */
export class ModuleUniqueIdPState {
  readonly #pstate: PStateVar;
  readonly #descending: boolean;

  constructor(pstate: PStateVar, settings: { readonly descending?: boolean } = {}) {
    this.#pstate = pstate;
    this.#descending = settings.descending ?? false;
  }

  /** The counter goes down from 2^42 - 1 instead of up from 0. */
  descending(): ModuleUniqueIdPState {
    return new ModuleUniqueIdPState(this.#pstate, { descending: true });
  }

  /** A private number of each task: how many ids it has given out. */
  declarePState(topology: OwningTopology): void {
    topology.pstate(this.#pstate, Number).initialValue(0).makePrivate();
  }

  declarePStates(topology: OwningTopology): void {
    this.declarePState(topology);
  }

  /** Binds a new id: `.macro(ids.genId("*id"))`. */
  genId(out: ValueVar): Block {
    const task = Helpers.genVar("task");
    const given = Helpers.genVar("given");
    return Block.each(Ops.CURRENT_TASK_ID)
      .out(task)
      .macro(nextOf(this.#pstate, given))
      .each(this.#descending ? descendingId : ascendingId, task, given)
      .out(out);
  }
}

function ascendingId(task: number, given: number): bigint {
  return (BigInt(task) << counterBits) | BigInt(given);
}

function descendingId(task: number, given: number): bigint {
  return ascendingId(task, greatestCounter - given);
}

/** Ids that are unique on their task only: 0, 1, 2, … on each. They are numbers. */
export class TaskUniqueIdPState {
  readonly #pstate: PStateVar;
  readonly #descending: boolean;
  readonly #greatest: number;

  constructor(pstate: PStateVar, settings: { readonly descending?: boolean; readonly greatest?: number } = {}) {
    this.#pstate = pstate;
    this.#descending = settings.descending ?? false;
    this.#greatest = settings.greatest ?? greatestId;
  }

  /** Down from the greatest id: 2^53 - 1, or 2^31 - 1 with `integerIds`. */
  descending(): TaskUniqueIdPState {
    return new TaskUniqueIdPState(this.#pstate, { descending: true, greatest: this.#greatest });
  }

  /** Ids fit in 32 bits, with a sign. */
  integerIds(): TaskUniqueIdPState {
    return new TaskUniqueIdPState(this.#pstate, { descending: this.#descending, greatest: 2 ** 31 - 1 });
  }

  declarePState(topology: OwningTopology): void {
    topology.pstate(this.#pstate, Number).initialValue(0).makePrivate();
  }

  declarePStates(topology: OwningTopology): void {
    this.declarePState(topology);
  }

  /** Binds a new id: `.macro(ids.genId("*id"))`. */
  genId(out: ValueVar): Block {
    if (!this.#descending) return nextOf(this.#pstate, out);
    const given = Helpers.genVar("given");
    return nextOf(this.#pstate, given).each(Ops.MINUS, this.#greatest, given).out(out);
  }
}

/** Binds the counter and takes it one further. */
function nextOf(pstate: PStateVar, out: ValueVar): Block {
  return Block.localSelect(pstate, Path.stay()).out(out).localTransform(pstate, Path.term(Ops.INC));
}
