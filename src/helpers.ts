// `rama/helpers`: the helper library. Re-exports only.
export { extractFields, getFieldByName } from "./library/fields.ts";
