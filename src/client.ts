// `rama/client`: for programs that only append and read. Loads no engine. Re-exports only.
export { AckLevel } from "./protocol/ack-level.ts";
export { type ErrorCode, errorTable, RamaError } from "./base/errors.ts";
export type { RamaCustomSerialization } from "./base/values.ts";
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
export { Ops } from "./dataflow/ops.ts";
export { Path } from "./paths/path.ts";
export { SortedRangeFromOptions, SortedRangeOptions, SortedRangeToOptions } from "./paths/range-options.ts";
