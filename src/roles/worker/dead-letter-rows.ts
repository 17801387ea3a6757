// Dead letters as people see them: records as JSON text.
import { messageOf } from "../../base/errors.ts";
import { jsonText } from "../../base/json.ts";
import { decodeValue } from "../../base/value-codec.ts";
import type { ClassRegistry } from "../../base/values.ts";
import type { DeadLetterRow, DeadLettersCall } from "../../protocol/control.ts";
import type { DeadLetterStatus } from "../../task/engine-api.ts";

const recordLengthMax = 10_000;

export function letterRows(
  letters: readonly DeadLetterStatus[],
  { topology, depot, partition, offset }: DeadLettersCall["choice"],
  classes: ClassRegistry | undefined,
): DeadLetterRow[] {
  return letters
    .filter(
      (letter) =>
        (topology ?? letter.topology) === letter.topology &&
        (depot ?? letter.depot) === letter.depot &&
        (partition ?? letter.partition) === letter.partition &&
        (offset ?? letter.offset) === letter.offset,
    )
    .map((letter) => ({ ...letter, record: recordText(letter.record, classes) }));
}

/** A record that cannot be decoded may be why it is here. */
function recordText(record: Uint8Array, classes: ClassRegistry | undefined): string {
  let text: string;
  try {
    text = jsonText(decodeValue(record, 0, record.length, classes));
  } catch (error) {
    return `(${record.length} bytes: ${messageOf(error)})`;
  }
  return text.length <= recordLengthMax ? text : `${text.slice(0, recordLengthMax)}…`;
}
