// `rama/helpers`: the helper library. Re-exports only.
export { extractFields, getFieldByName } from "./library/fields.ts";
export { advanceSimTime, currentTimeMillis, startSimTime, TopologyUtils } from "./library/topology-utils.ts";
