// Fields of records by name.
import { type Arg, Block, RamaError, type ValueVar, Helpers } from "../index.ts";

/** The field `name` of a plain object, class instance or Map. FIELD_MISSING when it has none. */
export function getFieldByName(record: unknown, name: string): unknown {
  if (record instanceof Map && record.has(name)) return record.get(name);
  if (typeof record === "object" && record !== null && Object.hasOwn(record, name)) {
    return (record as Record<string, unknown>)[name];
  }
  throw new RamaError("FIELD_MISSING", `the record has no field ${name}`, { field: name });
}

/** A macro that binds each var to the field of its name (`*userId` to `userId`; a generated var to the one of its prefix). */
export function extractFields(record: Arg, ...vars: ValueVar[]): Block {
  let block = Block.create();
  for (const name of vars) {
    block = block.each(getFieldByName, record, Helpers.getGeneratedVarPrefix(name) ?? name.slice(1)).out(name);
  }
  return block;
}
