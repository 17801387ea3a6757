// The main door of the package: what authors and clients use. Re-exports only.
export { type ErrorCode, errorTable, RamaError } from "./base/errors.ts";
