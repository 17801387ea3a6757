import { expect, test } from "bun:test";
import { Depot, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";

async function refusal(module: new () => RamaModule): Promise<string> {
  await using cluster = await InProcessCluster.create();
  return cluster.launchModule(module, { tasks: 1 }).then(
    () => "launched",
    (error: Error) => error.message,
  );
}

test("a source on another module's depot is refused with its line", async () => {
  class WithMirror extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      setup.clusterDepot("*theirs", "Other", "*d");
      topologies.stream("s").source("*theirs").out("*x");
    }
  }
  expect(await refusal(WithMirror)).toMatch(/^not-yet\.test\.ts:\d+: \*theirs is a depot of another module/);
});

test("a depot's migration is refused", async () => {
  class WithMigration extends RamaModule {
    define(setup: Setup, _topologies: Topologies) {
      setup.declareDepot("*d", Depot.random()).migration("m1", (record) => record);
    }
  }
  expect(await refusal(WithMigration)).toBe("*d: migrations are not there yet");
});
