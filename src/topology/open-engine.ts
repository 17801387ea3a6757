// Opens an engine with the topologies that this release runs. What roles and the in-process cluster call.
import { Engine } from "../task/engine.ts";
import type { EngineOptions } from "../task/engine-api.ts";
import type { RuntimeFactories } from "../task/topology-runtime.ts";
import { MicrobatchTopology } from "./microbatch/microbatch-topology.ts";
import { QueryTopology } from "./query/query-topology.ts";
import { StreamTopology } from "./stream/stream-topology.ts";

const runtimes: RuntimeFactories = {
  stream: (host, topology) => new StreamTopology(host, topology),
  microbatch: (host, topology) => new MicrobatchTopology(host, topology),
  query: (host, topology) => new QueryTopology(host, topology),
};

export function openEngine(options: EngineOptions): Promise<Engine> {
  return Engine.open(options, runtimes);
}
