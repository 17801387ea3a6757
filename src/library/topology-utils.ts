// `TopologyUtils`: what module code often needs beside the language, under the name that the reference gives it.
import { advanceSimTime, currentTimeMillis, startSimTime } from "../base/task-clock.ts";
import { extractFields, getFieldByName } from "./fields.ts";

export { advanceSimTime, currentTimeMillis, startSimTime };

export const TopologyUtils = Object.freeze({
  extractFields,
  getFieldByName,
  startSimTime,
  advanceSimTime,
  currentTimeMillis,
});
