// What the coordinator knows of records that make microbatches fail, and of dead letters that are to run again: it plans the next attempt accordingly.
import type { RamaError } from "../../base/errors.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { ModuleDefinition } from "../../module/definition.ts";
import type { BlockedRecord } from "../../task/engine-api.ts";
import type { EventRecord } from "../../task/event.ts";
import { CulpritSearch } from "./culprit-search.ts";
import { type PlannedFailure, plannedFailure, type PrimedSpan, type PrimePlan, spansOf } from "./prime-plan.ts";

export class FailingRecord {
  readonly #definition: ModuleDefinition;
  readonly #topology: CompiledTopology;
  readonly #search: CulpritSearch;
  /** Failures in user code of the present microbatch in a row. */
  #failures = 0;
  #error: RamaError | undefined = undefined;
  /** The first one runs in a microbatch of its own. */
  readonly #letters: EventRecord[] = [];
  #runsLetter = false;
  #letterFailures = 0;
  /** A letter and what waits in the depots take turns. */
  #letterWaits = false;
  /** Told with each attempt until one is committed. */
  #rest: PlannedFailure[] = [];

  constructor(definition: ModuleDefinition, topology: CompiledTopology) {
    this.#definition = definition;
    this.#topology = topology;
    this.#search = new CulpritSearch((source) => this.#failuresOf(source));
  }

  #failuresOf(source: number): number {
    return this.#definition.topologies[this.#topology.index]!.sources[source]!.deadLetterAfter;
  }

  /** There is something to do besides what waits in the depots. */
  get wantsAttempt(): boolean {
    return this.#search.plan !== undefined || this.#letters.length > 0 || this.#rest.length > 0;
  }

  retryLetters(letters: readonly EventRecord[]): void {
    for (const letter of letters) {
      const isKnown = this.#letters.some(
        ({ source, task, offset }) => source === letter.source && task === letter.task && offset === letter.offset,
      );
      if (!isKnown) this.#letters.push(letter);
    }
  }

  /** Of the attempt that begins. null: it takes what waits. */
  plan(): PrimePlan | null {
    const rest = [...this.#rest];
    const { plan } = this.#search;
    const letter = this.#letterWaits ? undefined : this.#letters[0];
    this.#runsLetter = plan === undefined && letter !== undefined;
    if (plan !== undefined) {
      const skip = plan.skip && plannedFailure(plan.skip, this.#error!, this.#failures);
      const ends = plan.spans.map(({ source, task, to }) => ({ source, task, end: to }));
      return { ends, skip: skip ?? null, letter: null, rest };
    }
    if (letter !== undefined) return { ends: [], skip: null, letter, rest };
    return rest.length === 0 ? null : { ends: null, skip: null, letter: null, rest };
  }

  /** The attempt has failed in user code. True: the next one is another one, and begins at once. */
  failed(error: RamaError, tried: readonly PrimedSpan[]): boolean {
    this.#failures++;
    // What an attempt without the suspect says is no word about it.
    if (this.#search.plan?.skip === undefined) this.#error = error;
    if (this.#runsLetter) return this.#letterFailed(error);
    const spans = spansOf(tried).sort((a, b) => a.source - b.source || a.task - b.task);
    return this.#search.failed(spans, this.#failures, placeOf(error));
  }

  #letterFailed(error: RamaError): boolean {
    const letter = this.#letters[0]!;
    this.#letterFailures++;
    if (this.#letterFailures < this.#failuresOf(letter.source)) return false;
    this.#rest.push(plannedFailure(letter, error, this.#letterFailures));
    this.#letterEnded();
    return true;
  }

  #letterEnded(): void {
    this.#letters.shift();
    this.#letterFailures = 0;
    this.#failures = 0;
    this.#error = undefined;
    this.#letterWaits = true;
  }

  committed(): void {
    this.#failures = 0;
    this.#error = undefined;
    this.#rest = [];
    if (this.#runsLetter) this.#letterEnded();
    else {
      this.#search.committed();
      this.#letterWaits = false;
    }
    this.#runsLetter = false;
  }

  get blocked(): BlockedRecord | null {
    const error = this.#error;
    if (error === undefined) return null;
    const place = this.#search.alone ?? (this.#runsLetter ? this.#letters[0] : placeOf(error));
    if (place === undefined) return null;
    const depot = depotNameOf(this.#definition, this.#topology, place.source);
    const { task, offset } = place;
    return { depot, partition: task, offset, failures: this.#failures, error: error.message };
  }
}

export function depotNameOf(definition: ModuleDefinition, { index }: CompiledTopology, source: number): string {
  const { depot } = definition.topologies[index]!.sources[source]!;
  return depot.kind === "own" ? definition.depots[depot.index]!.name : depot.name;
}

/** Where an event that failed came from, if it was one record (runner.ts). */
function placeOf({ facts }: RamaError): EventRecord | undefined {
  const { source, partition, offset } = facts;
  if (typeof source !== "number" || typeof partition !== "number" || typeof offset !== "number") return undefined;
  return { source, task: partition, offset };
}
