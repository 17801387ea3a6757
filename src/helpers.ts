// `rama/helpers`: the helper library. Re-exports only.
export { DirectoryDepot, type DirectoryDepotOptions } from "./library/directory-depot.ts";
export { extractFields, getFieldByName } from "./library/fields.ts";
export { KeyToFixedItemsPStateGroup } from "./library/key-to-fixed-items.ts";
export { KeyToLinkedEntitySetPStateGroup } from "./library/key-to-linked-entity-set.ts";
export { KeyToUniqueFixedItemsPStateGroup } from "./library/key-to-unique-fixed-items.ts";
export { TaskGlobalField } from "./library/task-global-field.ts";
export { TopologyScheduler } from "./library/topology-scheduler.ts";
export { advanceSimTime, currentTimeMillis, startSimTime, TopologyUtils } from "./library/topology-utils.ts";
export { ModuleUniqueIdPState, TaskUniqueIdPState } from "./library/unique-ids.ts";
