// A worker that waits for the stores of its predecessor uses the time: it opens an engine of a small module over a store of nothing, appends to it and reads from it
// over a connection, and deletes it all. After that the native library is loaded and the code of the data path is compiled; without it, the first some
// thousand events after the hand-over took ten times as long as later ones, with everybody's reads behind them.
import type { Platform } from "../../net/platform.ts";
import { ClassRegistry } from "../../base/values.ts";
import { ClientCore } from "../../client/client-core.ts";
import type { Config } from "../../config/rama-yaml.ts";
import { Agg } from "../../aggregators/agg.ts";
import { CompoundAgg } from "../../aggregators/compound.ts";
import { compileModule } from "../../dataflow/compile.ts";
import { defineModule } from "../../module/build.ts";
import { Depot } from "../../module/depot-partitioning.ts";
import { RamaModule } from "../../module/module.ts";
import type { Setup } from "../../module/setup.ts";
import type { Topologies } from "../../module/topologies.ts";
import { PState } from "../../module/pstate-schema.ts";
import { Path } from "../../paths/path.ts";
import { moduleRoutes, objectTable } from "../../protocol/routes.ts";
import { DynamicOptions } from "./dynamic-options.ts";
import { EngineHost } from "./engine-host.ts";

/** Enough for the code's last tier; a fifth of a second on a calm machine. */
const rounds = 40;
const recordsPerRound = 250;
const pauseMs = 3;
/** A busy machine gets no further, and the update does not wait. */
const limitMs = 1_500;

export interface RehearsalOptions {
  readonly platform: Pick<Platform, "env" | "disk" | "kv" | "transport">;
  /** Of no other use; deleted before and after. */
  readonly dir: string;
  readonly release: string;
  readonly config: Config;
}

export async function rehearse(options: RehearsalOptions): Promise<void> {
  const { platform, dir, release, config } = options;
  const { env, disk, transport } = platform;
  disk.removeTree(dir);
  const module = compileModule(defineModule(RehearsalModule));
  const info = { moduleName: "RehearsalModule", moduleInstanceId: "1", numTasks: 1, numThreads: 1, numWorkers: 1 };
  const open = () =>
    EngineHost.open({
      ...platform,
      address: { host: "127.0.0.1", port: 0 },
      dir,
      module,
      classes: new ClassRegistry(),
      info,
      groups: [0],
      options: new DynamicOptions([], []),
      instanceTag: "rehearsal",
      release,
      recordBytesMax: config.get("limit.record.bytes"),
      answerBytesMax: config.get("limit.answer.bytes"),
      addressOf: () => undefined,
    });
  const host = await open();
  const routes = moduleRoutes(info, objectTable(module), [host.address], 1);
  const client = new ClientCore({ env, transport, config, release, fetchRoutes: async () => routes });
  try {
    const endMs = env.monotonicMs() + limitMs;
    for (let round = 0; round < rounds && env.monotonicMs() < endMs; round++) {
      await perform(client, round);
      // The old worker needs the processor, too.
      await env.sleep(pauseMs);
    }
  } finally {
    await client.close();
    await host.close();
  }
  // Opening a store that was closed is what comes next.
  await (await open()).close();
  disk.removeTree(dir);
}

async function perform(client: ClientCore, round: number): Promise<void> {
  const keys = Array.from({ length: recordsPerRound }, (_, i) => `key ${(round * 31 + i) % 1000}`);
  await client.depot("RehearsalModule", "*records").appendMany(keys.map((key, i) => ({ key, round, i })));
  const counts = client.pstate("RehearsalModule", "$$counts");
  await Promise.all(keys.map((key) => counts.selectOne(Path.key(key))));
}

class RehearsalModule extends RamaModule {
  define(setup: Setup, topologies: Topologies): void {
    setup.declareDepot("*records", Depot.hashBy("key"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts.source("*records").out({ key: "*key" }).compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
  }
}
