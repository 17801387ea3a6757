// Fields of records by name.
import { RamaError } from "../index.ts";

/** The field `name` of a plain object, class instance or Map. FIELD_MISSING when it has none. */
export function getFieldByName(record: unknown, name: string): unknown {
  if (record instanceof Map && record.has(name)) return record.get(name);
  if (typeof record === "object" && record !== null && Object.hasOwn(record, name)) {
    return (record as Record<string, unknown>)[name];
  }
  throw new RamaError("FIELD_MISSING", `the record has no field ${name}`, { field: name });
}
