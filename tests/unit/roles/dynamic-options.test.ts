import { expect, test } from "bun:test";
import type { OptionSetting } from "../../../src/protocol/cluster-records.ts";
import { DynamicOptions } from "../../../src/roles/worker/dynamic-options.ts";

const setting = (scope: OptionSetting["scope"], object: string, name: string, value: unknown): OptionSetting => ({
  scope,
  object,
  name,
  value,
});

test("the object's level wins over the module's, what was set wins over the module's own launch values", () => {
  const options = new DynamicOptions(
    [setting("module", "", "a", 1), setting("topology", "t", "a", 2), setting("topology", "t", "b", 3)],
    [setting("module", "", "b", 4), setting("topology", "t", "a", 5)],
  );
  expect(options.get("a")).toBe(1);
  expect(options.get("a", "t")).toBe(5);
  expect(options.get("a", "other")).toBe(1);
  expect(options.get("b", "t")).toBe(3);
  expect(options.get("b", "other")).toBe(4);
  expect(options.get("c")).toBeUndefined();
  options.replace([]);
  expect(options.get("a", "t")).toBe(2);
});
