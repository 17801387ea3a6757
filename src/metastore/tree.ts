// Where each fact lives in the metastore. Data of every node is JSON, except where said. Module names are URI-encoded, since they may hold `/`.
//
//   /version                                  {version} of the release that wrote the tree
//   /conductor                                ephemeral: ConductorRecord
//   /supervisors/<supervisorId>               ephemeral: SupervisorRecord
//   /modules/<module>                         ModuleRecord: state machine, instances, placement, options (protocol/cluster-records.ts)
//   /pauses/<module>                          ModulePauses: topologies that are paused, over restarts and updates
//   /manifests/<instanceId>                   what the module declares (protocol/routes.ts); written once
//   /assignments/<supervisorId>/<workerId>    WorkerTask: what that supervisor shall run
//   /workers/<instanceId>/<workerIndex>       WorkerReport, written by the supervisor that runs it
//   /groups/<dataId>/<group>                  GroupRecord of a replicated task group: epoch, leader, in-sync set (replication/group-record.ts)
//   /members/<dataId>/<workerIndex>           ephemeral: MemberRecord, written by the worker itself
//   /leaderless                               Leaderless: a node that shall lead nothing; absent: there is none
//   /operations/op-<10 digits>                   OperationLogEntry, oldest trimmed
// Every path is below `zookeeper.root`, which the implementation of the contract puts in front.

const enc = encodeURIComponent;

export const tree = {
  version: "/version",
  conductor: "/conductor",
  supervisors: "/supervisors",
  supervisor: (id: string) => `/supervisors/${enc(id)}`,
  modules: "/modules",
  module: (name: string) => `/modules/${enc(name)}`,
  moduleName: (node: string) => decodeURIComponent(node),
  pauses: (name: string) => `/pauses/${enc(name)}`,
  manifest: (instanceId: string) => `/manifests/${enc(instanceId)}`,
  assignments: (supervisorId: string) => `/assignments/${enc(supervisorId)}`,
  assignment: (supervisorId: string, workerId: string) => `/assignments/${enc(supervisorId)}/${enc(workerId)}`,
  workers: (instanceId: string) => `/workers/${enc(instanceId)}`,
  worker: (instanceId: string, workerIndex: number) => `/workers/${enc(instanceId)}/${workerIndex}`,
  groups: (dataId: string) => `/groups/${enc(dataId)}`,
  group: (dataId: string, group: number) => `/groups/${enc(dataId)}/${group}`,
  members: (dataId: string) => `/members/${enc(dataId)}`,
  member: (dataId: string, workerIndex: number) => `/members/${enc(dataId)}/${workerIndex}`,
  leaderless: "/leaderless",
  operations: "/operations",
} as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function toNode(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function fromNode<T>(data: Uint8Array): T {
  return JSON.parse(decoder.decode(data)) as T;
}
