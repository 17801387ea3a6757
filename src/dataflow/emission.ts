// How functions of the author emit more than one value: generators that yield, and operations that call a collector.
//   plain function          emits what it returns, once
//   function*               each `yield v` emits v; `yield emit(a, b)` several fields; `yield emitStream("odd", a)` on a named stream
//   operation((x, out) => { out.emit(…) })   the same by calls

/** What `emit` and `emitStream` make, for a generator to yield. */
export class Emission {
  constructor(
    /** undefined is the default stream. */
    readonly stream: string | undefined,
    readonly fields: readonly unknown[],
  ) {}
}

/** One row of several fields (or none) on the default stream. */
export function emit(...fields: unknown[]): Emission {
  return new Emission(undefined, fields);
}

/** One row on a named stream, which the builder binds with `outStream`. */
export function emitStream(stream: string, ...fields: unknown[]): Emission {
  return new Emission(stream, fields);
}

export interface OutputCollector {
  emit(...fields: unknown[]): void;
  emitStream(stream: string, ...fields: unknown[]): void;
}

/** A function that emits by calling the collector that it gets after its arguments. */
export interface Operation {
  readonly kind: "operation";
  readonly fn: (...argsAndCollector: any[]) => void;
}

export function operation(fn: (...argsAndCollector: any[]) => void): Operation {
  return Object.freeze({ kind: "operation", fn });
}

export function isOperation(value: unknown): value is Operation {
  return (
    typeof value === "object" &&
    value !== null &&
    (value as Operation).kind === "operation" &&
    typeof (value as Operation).fn === "function"
  );
}

const GeneratorFunction = Object.getPrototypeOf(function* () {}).constructor;
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
const AsyncGeneratorFunction = Object.getPrototypeOf(async function* () {}).constructor;

export function isGeneratorFunction(value: unknown): boolean {
  return value instanceof GeneratorFunction;
}

export function isAsyncFunction(value: unknown): boolean {
  return value instanceof AsyncFunction || value instanceof AsyncGeneratorFunction;
}

/** The rows that a generator or operation emits for these arguments, in order. Compiled code streams instead; this is for tests and interpreters. */
export function emissionsOf(fn: ((...args: any[]) => unknown) | Operation, args: readonly unknown[]): Emission[] {
  const rows: Emission[] = [];
  if (isOperation(fn)) {
    const collector: OutputCollector = {
      emit: (...fields) => rows.push(emit(...fields)),
      emitStream: (stream, ...fields) => rows.push(emitStream(stream, ...fields)),
    };
    fn.fn(...args, collector);
  } else if (isGeneratorFunction(fn)) {
    for (const row of fn(...args) as Iterable<unknown>) rows.push(asEmission(row));
  } else {
    rows.push(asEmission(fn(...args)));
  }
  return rows;
}

/** What a generator yields as a row. */
export function asEmission(value: unknown): Emission {
  return value instanceof Emission ? value : emit(value === undefined ? null : value);
}
