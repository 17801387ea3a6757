// The main door of the package: what authors and clients use. Re-exports only.
import "./world.ts";

// building: aggregators, dataflow, paths
export type { RamaAccumulatorAgg } from "./aggregators/accumulators.ts";
export { Agg } from "./aggregators/agg.ts";
export type { RamaCombinerAgg } from "./aggregators/combiners.ts";
export { CompoundAgg } from "./aggregators/compound.ts";
export { LimitAgg } from "./aggregators/limit.ts";
export { type ErrorCode, errorTable, RamaError } from "./base/errors.ts";
export type { RamaCustomSerialization, ValueInput, ValueOutput } from "./base/values.ts";
// clients
export type { AckReturns } from "./client/append-batch.ts";
export type { ClusterClient } from "./client/cluster-client.ts";
export { type ClusterManagerConfig, RamaClusterManager } from "./client/cluster-manager.ts";
export type { AppendFailure, AppendManyResult, DepotClient, ObjectInfo, PartitionInfo } from "./client/depot.ts";
export {
  AppendDiff,
  DestroyedDiff,
  Diff,
  type DiffKind,
  type DiffProcessor,
  KeyChangeDiff,
  KeyDiff,
  KeyRemoveDiff,
  KeysDiff,
  KeysRemoveDiff,
  MultiDiff,
  MultiSetAddDiff,
  MultiSetRemoveDiff,
  NewValueDiff,
  ResyncDiff,
  SequenceChangeDiff,
  SequenceIndexChangeDiff,
  SequenceIndexChangesDiff,
  SequenceIndexRemoveDiff,
  SequenceInsertDiff,
  SequenceInsertsDiff,
  SequenceReorderDiff,
  SetAddDiff,
  SetRemoveDiff,
  UngracefulTerminationDiff,
  UnknownDiff,
} from "./paths/diff.ts";
export type { ProxyCallback, ProxyState, ProxyStatus } from "./client/proxy.ts";
export type { PStateClient } from "./client/pstate.ts";
export type { QueryClient } from "./client/query.ts";
export { Block } from "./dataflow/builder.ts";
export { Case, LoopVars, SelectOptions, SubBatch, SubSource } from "./dataflow/builder-parts.ts";
export { emit, emitStream, type OutputCollector, operation } from "./dataflow/emission.ts";
export {
  and,
  dec,
  Expr,
  eq,
  expr,
  gt,
  gte,
  inc,
  isNotNull,
  isNull,
  lt,
  lte,
  minus,
  ne,
  not,
  or,
  plus,
  record,
  tuple,
} from "./dataflow/expr.ts";
export { Helpers } from "./dataflow/helpers-vars.ts";
export { Ops } from "./dataflow/ops.ts";
export { fields } from "./dataflow/patterns.ts";
export { Depot } from "./module/depot-partitioning.ts";
export { MigrationOptions } from "./module/migration-options.ts";
export { PState, type SchemaArg, SubindexOptions } from "./module/pstate-schema.ts";
export { RamaModule } from "./module/module.ts";
export type { Setup } from "./module/setup.ts";
export type { MicrobatchTopology, StreamTopology, Topologies } from "./module/topologies.ts";
export { MicrobatchSourceOptions, OffsetAgo, StreamSourceOptions } from "./module/source-options.ts";
export type { ModuleInstanceInfo } from "./module/definition.ts";
export {
  type Arg,
  Constant,
  constant,
  type DepotVar,
  type Op,
  type PStateVar,
  type ValueVar,
} from "./paths/arg.ts";
export { type Navigator, navigator, VOID } from "./paths/navigator.ts";
export { Path } from "./paths/path.ts";
export { SortedRangeFromOptions, SortedRangeOptions, SortedRangeToOptions } from "./paths/range-options.ts";
export { AckLevel } from "./protocol/ack-level.ts";
// task globals
export type { ExternalDepot, ExternalRecord } from "./task/external-depot.ts";
export { TaskThreadManagedResource, WorkerManagedResource } from "./task/managed-resources.ts";
export type {
  LogThrottler,
  TaskGlobalContext,
  TaskGlobalObject,
  TaskGlobalObjectWithTick,
} from "./task/task-globals.ts";
