// What both kinds of topology tell of their failing records and dead letters, and how a choice of letters is retried or dropped.
import type { Env } from "../base/env.ts";
import type { BlockedRecord, DeadLetterAction, DeadLetterChoice, DeadLetterStatus } from "../task/engine-api.ts";
import type { DeadLetter, DeadLetterBox } from "./dead-letters.ts";
import { lettersMax } from "./dead-letters.ts";
import type { FailingRecord } from "./failing-records.ts";

interface Letters extends Pick<DeadLetterBox, "size" | "list" | "get"> {
  readonly failing: { readonly worst: FailingRecord | undefined };
  /** False: it is being retried. */
  retry(letter: DeadLetter): boolean;
  drop(letter: DeadLetter): boolean;
}

/** A source in one depot partition. */
interface Source {
  readonly depot: { readonly name: string };
  readonly definition: { readonly sourceId: string };
  /** Of the depot. */
  readonly partitionId: number;
  readonly letters: Letters;
}

export function failuresOf(sources: readonly Source[]): { blocked: BlockedRecord | null; deadLetters: number } {
  let blocked: BlockedRecord | null = null;
  let deadLetters = 0;
  for (const { depot, partitionId, letters } of sources) {
    deadLetters += letters.size;
    const { worst } = letters.failing;
    if (worst === undefined || (blocked !== null && blocked.failures >= worst.failures)) continue;
    blocked = { depot: depot.name, partition: partitionId, ...worst };
  }
  return { blocked, deadLetters };
}

export function lettersOf(topology: string, sources: readonly Source[]): DeadLetterStatus[] {
  return sources.flatMap(({ depot, definition, partitionId, letters }) =>
    letters.list().map(({ offset, failures, retrying, setAsideMs, code, message, record }) => ({
      topology,
      depot: depot.name,
      sourceId: definition.sourceId,
      partition: partitionId,
      offset,
      failures,
      retrying,
      setAsideMs,
      code,
      error: message,
      record,
    })),
  );
}

/** Returns how many there were. */
export function changeLetters(
  topology: string,
  sources: readonly Source[],
  action: DeadLetterAction,
  choice: DeadLetterChoice,
): number {
  if (choice.topology !== undefined && choice.topology !== topology) return 0;
  let count = 0;
  for (const { depot, partitionId, letters } of sources) {
    if (choice.depot !== undefined && choice.depot !== depot.name) continue;
    if (choice.partition !== undefined && choice.partition !== partitionId) continue;
    const one = choice.offset === undefined ? undefined : letters.get(choice.offset);
    const chosen = choice.offset === undefined ? letters.list() : one === undefined ? [] : [one];
    for (const letter of chosen) if (action === "retry" ? letters.retry(letter) : letters.drop(letter)) count++;
  }
  return count;
}

export function warnOfFullBox(env: Env, topology: string, { depot, partitionId }: Omit<Source, "letters">): void {
  env.log.warn("no room for a further dead letter: the record blocks its topology", {
    topology,
    depot: depot.name,
    partition: partitionId,
    lettersMax,
  });
}
