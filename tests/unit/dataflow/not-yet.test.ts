import { expect, test } from "bun:test";
import { Depot, RamaModule, type Setup, type Topologies } from "rama";
import { compileModule } from "../../../src/dataflow/compile.ts";
import { defineModule } from "../../../src/module/build.ts";

const compile = (module: new () => RamaModule) => () => compileModule(defineModule(module));

test("a depot's migration is refused", () => {
  class WithMigration extends RamaModule {
    define(setup: Setup, _topologies: Topologies) {
      setup.declareDepot("*d", Depot.random()).migration("m1", (record) => record);
    }
  }
  expect(compile(WithMigration)).toThrow("*d: migrations are not there yet");
});
