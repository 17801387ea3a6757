// Topologies of other modules that read a depot partition, with the first offset that each may still ask for: trimming waits for them. Both are in the log and the Kv, so
// that a consumer that is down while the depot's owner restarts, or changes its leader, is still waited for.
// Invariant: what is noted ≤ what the consumer has said last. It is noted when the consumer is first heard of, and before each trimming; between, more is kept than need be.
export class DepotConsumers {
  readonly #neededFrom = new Map<string, number>();
  readonly #changed = new Set<string>();

  get size(): number {
    return this.#neededFrom.size;
  }

  get(consumer: string): number | undefined {
    return this.#neededFrom.get(consumer);
  }

  entries(): Iterable<[string, number]> {
    return this.#neededFrom.entries();
  }

  /** From the Kv. */
  load(consumer: string, neededFrom: number): void {
    this.#neededFrom.set(consumer, neededFrom);
  }

  note(consumer: string, neededFrom: number): void {
    this.#neededFrom.set(consumer, neededFrom);
    this.#changed.add(consumer);
  }

  forget(consumer: string): void {
    this.#neededFrom.delete(consumer);
    this.#changed.add(consumer);
  }

  /** Since the last call. undefined: it is forgotten. */
  takeChanges(): { consumer: string; neededFrom: number | undefined }[] {
    const changes = [...this.#changed].map((consumer) => ({ consumer, neededFrom: this.#neededFrom.get(consumer) }));
    this.#changed.clear();
    return changes;
  }
}
