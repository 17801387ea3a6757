// `rama/test`: clusters and parts for tests of modules. Re-exports only.
export { SimulatedCluster, type SimulatedClusterOptions, type SimulatedLaunch } from "./simulation/cluster.ts";
export type { SimulatedClient } from "./simulation/client.ts";
export {
  type LoadContext,
  type SimulatedModule,
  type SimulateOptions,
  type SimulateReport,
  simulate,
} from "./simulation/simulate.ts";
export type { FaultKind } from "./simulation/swarm/plan.ts";
export type { EventData, EventHook, EventType } from "./task/event-hook.ts";
export { InProcessCluster, type InProcessOptions, type LaunchedModule } from "./testing/in-process-cluster.ts";
export type { DeadLetter } from "./testing/module-instance.ts";
export { LaunchConfig, type LaunchLiteral } from "./testing/launch-config.ts";
export { MockOutputCollector } from "./testing/mock-output-collector.ts";
export { TestPState } from "./testing/test-pstate.ts";
export { type UpdateLiteral, UpdateOptions } from "./testing/update-options.ts";
