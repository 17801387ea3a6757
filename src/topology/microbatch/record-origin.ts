// An event that leaves the engine carries the record that it began with where a stream's event carries its own.
import type { EventRecord } from "../../task/event.ts";
import { type EventOrigin, noOrigin } from "../../task/event-codec.ts";

export function originOf(record: EventRecord | null | undefined): EventOrigin {
  if (record === undefined || record === null) return noOrigin;
  const { source, task, offset } = record;
  return { key: source + 1, offset, low: offset, path: task };
}

export function recordOf({ key, path, offset }: EventOrigin): EventRecord | undefined {
  return key === 0 ? undefined : { source: key - 1, task: path, offset };
}
