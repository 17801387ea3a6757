// What engines of one module instance send each other. Both sides run the same module version, so code is named by (topology, stage) numbers.
//   frame    := message*
//   message  := 1 event:   topology | stage | task | start task | tree | event | origin | value of the vars (an array)
//             | 2 ack:     topology | tree | answer | count, values returned
//             | 3 failure: topology | tree | failure text
//             | 4 call:    query | start task | caller's task | call | value of the arguments (an array)
//             | 5 result:  call | 0, value of the result  or  1, failure text
//             | 6 forget:  topology | start task | tree              (a query invoke has ended)
//   origin   := key u32 | offset | offset - low | path u32         (streams; queries: key 0 alone; topology/stream/applied-marks.ts)
// Numbers are varints, `tree`, `event`, `answer` and `call` f64; text is length and UTF-8. All messages of a turn to one task stand in one frame, in order.
// An ack, failure or result is addressed to the task where the tree or call began.
// Example: ack of topology 0, tree 7, answer 5, nothing returned: 02 00 0000000000001c40 0000000000001440 00.
import { messageOf, RamaError } from "../base/errors.ts";
import { ByteReader, ByteWriter } from "../base/value-bytes.ts";
import type { ClassRegistry } from "../base/values.ts";
import { failureOf, failureText } from "../protocol/failure.ts";

const EVENT = 1;
const ACK = 2;
const FAILURE = 3;
const CALL = 4;
const RESULT = 5;
const FORGET = 6;

export interface TreeRef {
  /** Start task of the tree. */
  readonly task: number;
  readonly tree: number;
}

/** Which record of which source partition an event belongs to, and where in its tree it stands. */
export interface EventOrigin {
  readonly key: number;
  readonly offset: number;
  /** Records of the partition below have been done for good. */
  readonly low: number;
  readonly path: number;
}

/** Queries have none. */
export const noOrigin: EventOrigin = { key: 0, offset: 0, low: 0, path: 0 };

export interface ArrivedEvent {
  readonly stage: number;
  readonly task: number;
  readonly ref: TreeRef;
  /** Its number in the tree. */
  readonly event: number;
  readonly origin: EventOrigin;
  readonly vars: unknown[];
}

export interface EventReceiver {
  event(topology: number, arrived: ArrivedEvent): void;
  ack(topology: number, task: number, tree: number, answer: number, returns: unknown[]): void;
  failure(topology: number, task: number, tree: number, error: RamaError): void;
  call(query: number, task: number, callerTask: number, call: number, args: unknown[]): void;
  result(call: number, error: RamaError | null, value: unknown): void;
  forget(topology: number, ref: TreeRef): void;
}

/** Gathers the messages of one turn by destination task. */
export class EventSender {
  readonly #open = new Map<number, ByteWriter>();
  readonly #free: ByteWriter[] = [];

  constructor(
    readonly send: (task: number, frame: Uint8Array) => void,
    readonly classes: ClassRegistry | undefined,
  ) {}

  #writer(task: number): ByteWriter {
    let writer = this.#open.get(task);
    if (writer === undefined) {
      writer = this.#free.pop() ?? new ByteWriter(1024, this.classes);
      writer.reset();
      this.#open.set(task, writer);
    }
    return writer;
  }

  /** A message that cannot be encoded (NOT_SERIALIZABLE) leaves no trace. */
  #message(task: number, write: (writer: ByteWriter) => void): void {
    const writer = this.#writer(task);
    const start = writer.length;
    try {
      write(writer);
    } catch (error) {
      writer.length = start;
      writer.depth = 0;
      throw error;
    }
  }

  event(topology: number, leaving: Omit<ArrivedEvent, "vars">, vars: Uint8Array): void {
    const { stage, task, ref, event, origin } = leaving;
    const writer = this.#writer(task);
    writer.u8(EVENT);
    writer.varint(topology);
    writer.varint(stage);
    writer.varint(task);
    writer.varint(ref.task);
    writer.f64(ref.tree);
    writer.f64(event);
    writer.u32(origin.key);
    if (origin.key !== 0) {
      writer.varint(origin.offset);
      writer.varint(origin.offset - origin.low);
      writer.u32(origin.path);
    }
    writer.raw(vars);
  }

  ack(topology: number, ref: TreeRef, answer: number, returns: readonly unknown[]): void {
    this.#message(ref.task, (writer) => {
      writer.u8(ACK);
      writer.varint(topology);
      writer.f64(ref.tree);
      writer.f64(answer);
      writer.varint(returns.length);
      for (const value of returns) writer.writeValue(value);
    });
  }

  failure(topology: number, ref: TreeRef, error: RamaError): void {
    this.#message(ref.task, (writer) => {
      writer.u8(FAILURE);
      writer.varint(topology);
      writer.f64(ref.tree);
      writer.text(failureText(error));
    });
  }

  call(query: number, task: number, callerTask: number, call: number, args: readonly unknown[]): void {
    this.#message(task, (writer) => {
      writer.u8(CALL);
      writer.varint(query);
      writer.varint(task);
      writer.varint(callerTask);
      writer.f64(call);
      writer.writeValue(args);
    });
  }

  result(callerTask: number, call: number, error: RamaError | null, value: unknown): void {
    this.#message(callerTask, (writer) => {
      writer.u8(RESULT);
      writer.f64(call);
      writer.u8(error === null ? 0 : 1);
      if (error === null) writer.writeValue(value);
      else writer.text(failureText(error));
    });
  }

  forget(topology: number, task: number, ref: TreeRef): void {
    const writer = this.#writer(task);
    writer.u8(FORGET);
    writer.varint(topology);
    writer.varint(ref.task);
    writer.f64(ref.tree);
  }

  /** Sends what was gathered. */
  flush(): void {
    if (this.#open.size === 0) return;
    for (const [task, writer] of this.#open) {
      if (writer.length > 0) this.send(task, writer.take());
      this.#free.push(writer);
    }
    this.#open.clear();
  }
}

/** As `receiveEvents`; BAD_FRAME is returned. */
export function receivedEvents(...of: Parameters<typeof receiveEvents>): RamaError | null {
  try {
    receiveEvents(...of);
    return null;
  } catch (error) {
    if (error instanceof RamaError && error.code === "BAD_FRAME") return error;
    throw error;
  }
}

/** `task` is the frame's address. BAD_FRAME when it is none of ours: what comes before the place that cannot be read has been received. */
export function receiveEvents(
  task: number,
  frame: Uint8Array,
  classes: ClassRegistry | undefined,
  to: EventReceiver,
): void {
  const reader = new ByteReader(frame, 0, frame.length, classes);
  while (reader.pos < reader.end) {
    let message: Message;
    try {
      message = readMessage(reader);
    } catch (error) {
      if (error instanceof RamaError && error.code === "BAD_FRAME") throw error;
      throw new RamaError("BAD_FRAME", `a message between engines cannot be read: ${messageOf(error)}`, {}, error);
    }
    receive(message, task, to);
  }
}

type Message =
  | { readonly kind: typeof EVENT; readonly topology: number; readonly arrived: ArrivedEvent }
  | {
      readonly kind: typeof ACK;
      readonly topology: number;
      readonly tree: number;
      readonly answer: number;
      readonly returns: unknown[];
    }
  | { readonly kind: typeof FAILURE; readonly topology: number; readonly tree: number; readonly error: RamaError }
  | {
      readonly kind: typeof CALL;
      readonly query: number;
      readonly target: number;
      readonly caller: number;
      readonly call: number;
      readonly args: unknown[];
    }
  | { readonly kind: typeof RESULT; readonly call: number; readonly error: RamaError | null; readonly value: unknown }
  | { readonly kind: typeof FORGET; readonly topology: number; readonly ref: TreeRef };

function receive(message: Message, task: number, to: EventReceiver): void {
  switch (message.kind) {
    case EVENT:
      to.event(message.topology, message.arrived);
      return;
    case ACK:
      to.ack(message.topology, task, message.tree, message.answer, message.returns);
      return;
    case FAILURE:
      to.failure(message.topology, task, message.tree, message.error);
      return;
    case CALL:
      to.call(message.query, message.target, message.caller, message.call, message.args);
      return;
    case RESULT:
      to.result(message.call, message.error, message.value);
      return;
    case FORGET:
      to.forget(message.topology, message.ref);
  }
}

function readOrigin(reader: ByteReader): EventOrigin {
  const key = reader.u32();
  if (key === 0) return noOrigin;
  const offset = reader.varint();
  return { key, offset, low: offset - reader.varint(), path: reader.u32() };
}

function readArray(reader: ByteReader): unknown[] {
  const value = reader.readValue();
  if (!Array.isArray(value)) throw new RamaError("BAD_FRAME", "something else stands where an array of values must");
  return value;
}

function readMessage(reader: ByteReader): Message {
  const kind = reader.u8();
  switch (kind) {
    case EVENT: {
      const topology = reader.varint();
      const stage = reader.varint();
      const task = reader.varint();
      const ref = { task: reader.varint(), tree: reader.f64() };
      const event = reader.f64();
      const origin = readOrigin(reader);
      return { kind, topology, arrived: { stage, task, ref, event, origin, vars: readArray(reader) } };
    }
    case ACK: {
      const [topology, tree, answer] = [reader.varint(), reader.f64(), reader.f64()];
      const returns: unknown[] = [];
      for (let count = reader.varint(); count > 0; count--) returns.push(reader.readValue());
      return { kind, topology, tree, answer, returns };
    }
    case FAILURE:
      return { kind, topology: reader.varint(), tree: reader.f64(), error: failureOf(reader.text()) };
    case CALL: {
      const [query, target, caller, call] = [reader.varint(), reader.varint(), reader.varint(), reader.f64()];
      return { kind, query, target, caller, call, args: readArray(reader) };
    }
    case RESULT: {
      const call = reader.f64();
      if (reader.u8() === 0) return { kind, call, error: null, value: reader.readValue() };
      return { kind, call, error: failureOf(reader.text()), value: undefined };
    }
    case FORGET:
      return { kind, topology: reader.varint(), ref: { task: reader.varint(), tree: reader.f64() } };
    default:
      throw new RamaError("BAD_FRAME", `message kind ${kind} between engines is not known`, { kind });
  }
}
