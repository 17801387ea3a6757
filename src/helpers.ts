// `rama/helpers`: the helper library. Re-exports only.
export { getFieldByName } from "./library/fields.ts";
