import { expect, test } from "bun:test";
import { Depot, RamaModule, type Setup, type Topologies } from "rama";
import { compileModule } from "../../../src/dataflow/compile.ts";
import { defineModule } from "../../../src/module/build.ts";

const compile = (module: new () => RamaModule) => () => compileModule(defineModule(module));

test.each(["stream", "microbatch"] as const)(
  "a %s source on another module's depot is refused with its line",
  (kind) => {
    class WithMirror extends RamaModule {
      define(setup: Setup, topologies: Topologies) {
        setup.clusterDepot("*theirs", "Other", "*d");
        topologies[kind]("t").source("*theirs").out("*x");
      }
    }
    expect(compile(WithMirror)).toThrow(/^not-yet\.test\.ts:\d+: \*theirs is a depot of another module/);
  },
);

test("a depot's migration is refused", () => {
  class WithMigration extends RamaModule {
    define(setup: Setup, _topologies: Topologies) {
      setup.declareDepot("*d", Depot.random()).migration("m1", (record) => record);
    }
  }
  expect(compile(WithMigration)).toThrow("*d: migrations are not there yet");
});
