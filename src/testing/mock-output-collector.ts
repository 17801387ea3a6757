// Records what a multi-emit operation emits, so that it can be tested without a topology.
import {
  type Emission,
  emissionsOf,
  emit,
  emitStream,
  type Operation,
  type OutputCollector,
} from "../dataflow/emission.ts";

export class MockOutputCollector implements OutputCollector {
  readonly #emits: Emission[] = [];

  /** Runs a generator, a callback operation or a plain function with these arguments and returns the collector of its emits. */
  static run(fn: ((...args: any[]) => unknown) | Operation, ...args: unknown[]): MockOutputCollector {
    return new MockOutputCollector().run(fn, ...args);
  }

  /** The same into this collector. */
  run(fn: ((...args: any[]) => unknown) | Operation, ...args: unknown[]): this {
    this.#emits.push(...emissionsOf(fn, args));
    return this;
  }

  emit(...fields: unknown[]): void {
    this.#emits.push(emit(...fields));
  }

  emitStream(stream: string, ...fields: unknown[]): void {
    this.#emits.push(emitStream(stream, ...fields));
  }

  /** In order, each as [stream, fields]; the default stream is null. */
  getEmits(): [string | null, readonly unknown[]][] {
    return this.#emits.map(({ stream, fields }) => [stream ?? null, fields]);
  }

  /** By stream; the default stream's key is null. */
  getEmitsByStream(): Map<string | null, (readonly unknown[])[]> {
    const streams = new Map<string | null, (readonly unknown[])[]>();
    for (const [stream, fields] of this.getEmits()) streams.set(stream, [...(streams.get(stream) ?? []), fields]);
    return streams;
  }
}
