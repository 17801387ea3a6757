// Engines of one module instance behind their ports, clients and engines over the memory network: hops between engines, closing and opening again.
import { expect, test } from "bun:test";
import { systemEnv } from "../../src/base/env-system.ts";
import { ClassRegistry } from "../../src/base/values.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { MemoryNetwork, MemoryTransport } from "../../src/net/transport-memory.ts";
import { Path } from "../../src/paths/path.ts";
import { LaunchConfig } from "../../src/testing/launch-config.ts";
import { ModuleInstance } from "../../src/testing/module-instance.ts";
import { codeOf } from "../fake-engine.ts";
import { handModule, stage, wordCount } from "./engine-harness.ts";

async function launched(module: CompiledModule, launch: LaunchConfig) {
  const env = systemEnv({ sink: () => {}, logLevel: "error" });
  const network = new MemoryNetwork(env);
  const config = configOf({}, "test");
  const instance = new ModuleInstance({
    env,
    network,
    module,
    instanceId: "m1",
    launch,
    config,
    classes: new ClassRegistry(),
    manualTicks: true,
    clusterRetriever: () => undefined,
    print: () => {},
  });
  await instance.open();
  const core = new ClientCore({
    env,
    transport: new MemoryTransport(network, "client"),
    config,
    release: "0.1.0",
    fetchRoutes: async () => instance.routes,
  });
  return {
    instance,
    core,
    async [Symbol.asyncDispose]() {
      await core.close();
      await instance.close();
    },
  };
}

test.each([1, 2, 4])(
  "words hop between the tasks of %i workers and are counted before the append is acknowledged",
  async (workers) => {
    await using cluster = await launched(wordCount(), new LaunchConfig(8, 4, workers));
    const depot = cluster.core.depot("HandModule", "*depot0");
    const counts = cluster.core.pstate("HandModule", "$$pstate0");
    await depot.append("to be or not to be");
    expect(await counts.selectOne(Path.key("be"))).toBe(2);
    await Promise.all(Array.from({ length: 300 }, (_, n) => depot.append(`a b${n % 7} c`)));
    expect(await counts.selectOne(Path.key("a"))).toBe(300);
    expect(await counts.selectOne(Path.key("b3"))).toBe(43);
    expect(cluster.instance.topology("counts").processed).toBe(301);
  },
);

test("what was acknowledged is there once after the instance was closed and opened again, and the client goes on", async () => {
  await using cluster = await launched(wordCount(), new LaunchConfig(4, 2, 1));
  const depot = cluster.core.depot("HandModule", "*depot0");
  const counts = cluster.core.pstate("HandModule", "$$pstate0");
  await depot.append("x y");
  await cluster.instance.close();
  const during = depot.append("x z");
  await cluster.instance.open();
  await during;
  expect(await counts.selectOne(Path.key("x"))).toBe(2);
  expect(await counts.selectOne(Path.key("z"))).toBe(1);
});

test("queries gather from the tasks of all workers", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      {
        name: "double",
        kind: "query",
        inputs: ["*n"],
        stages: [
          stage("start", (x, [n]) => x.send(1, x.numTasks - 1, [n])),
          stage("end", (x, [n]) => x.send(2, x.originTask(), [n * 2])),
          stage("answer", (x, [n]) => x.result(n)),
        ],
      },
    ],
  });
  await using cluster = await launched(module, new LaunchConfig(4, 4, 2));
  const double = cluster.core.query("HandModule", "double");
  expect(await Promise.all([1, 2, 3].map((n) => double.invoke(n)))).toEqual([2, 4, 6]);
  expect(await codeOf(double.invoke())).toBe("WRONG_ARGUMENT_COUNT");
});
