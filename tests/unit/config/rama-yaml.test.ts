import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { findOption, nearestOption, options } from "../../../src/config/options.ts";
import { configOf, parseConfig, renderDefaultYaml } from "../../../src/config/rama-yaml.ts";

function refusal(text: string): RamaError {
  try {
    parseConfig(text, "rama.yaml");
  } catch (error) {
    return error as RamaError;
  }
  throw new Error("nothing was refused");
}

test("settings are read, absent ones have their default", () => {
  const config = parseConfig("conductor.host: localhost\nconductor.port: 0\n", "rama.yaml");
  expect(config.get<number>("conductor.port")).toBe(0);
  expect(config.get<number>("cluster.ui.port")).toBe(8888);
  expect(config.isSet("cluster.ui.port")).toBe(false);
});

test("an empty file is an empty config", () => {
  expect(parseConfig("# nothing\n", "rama.yaml").toObject()).toEqual({});
});

test("an unknown key is refused, with the one that is meant", () => {
  const error = refusal("conductor.prot: 1973\n");
  expect(error.code).toBe("BAD_CONFIG");
  expect(error.message).toBe('rama.yaml: unknown setting "conductor.prot"; did you mean "conductor.port"?');
});

test("ill-typed values are refused with what is wanted and what was given", () => {
  expect(refusal("conductor.port: lots\n").message).toBe(
    'rama.yaml: conductor.port must be a whole number from 0 to 65535, got "lots"',
  );
  expect(refusal("conductor.port: 70000\n").message).toContain("from 0 to 65535, got 70000");
  expect(refusal("zookeeper.servers: localhost\n").message).toContain("must be a list of hosts");
  expect(refusal("supervisor.port.range: [4000, 3000]\n").message).toContain("[first, last]");
  expect(refusal("supervisor.redirect.worker.stdout: yes please\n").message).toContain("must be true or false");
  expect(refusal("conductor.host: {internal: a}\n").message).toContain("{internal: …, external: …}");
});

test("what is no YAML, or no map, is refused with the file's name", () => {
  expect(refusal("a: [1\n").message).toStartWith("rama.yaml is not valid YAML");
  expect(refusal("- a\n- b\n").message).toStartWith('rama.yaml must hold settings as "name: value"');
});

test("a pair of host names gives the one for the side that asks", () => {
  const config = configOf({ "conductor.host": { internal: "10.0.0.1", external: "cluster.example" } }, "test");
  expect([config.host("conductor.host", "internal"), config.host("conductor.host", "external")]).toEqual([
    "10.0.0.1",
    "cluster.example",
  ]);
});

test("a setting that is needed and missing is named with what it takes", () => {
  expect(() => configOf({}, "test").require("conductor.host")).toThrow(
    "rama.yaml: conductor.host is not set; it must be a host name",
  );
});

test("the shipped rama.yaml shows every setting, and is read back as the ones that are set", () => {
  const text = renderDefaultYaml({ "conductor.host": "localhost", "zookeeper.servers": ["localhost"] });
  for (const option of options.filter((o) => !o.dynamic)) expect(text).toContain(`${option.name}:`);
  expect(parseConfig(text, "rama.yaml").toObject()).toEqual({
    "conductor.host": "localhost",
    "zookeeper.servers": ["localhost"],
  });
});

test("every default fits its own option", () => {
  for (const option of options) {
    if (option.default !== undefined)
      expect(() => configOf({ [option.name]: option.default }, "default")).not.toThrow();
  }
});

test("names are unique, and a far-off name has no neighbour", () => {
  expect(new Set(options.map((o) => o.name)).size).toBe(options.length);
  expect(nearestOption("colour.of.the.sky")).toBeUndefined();
  expect(findOption("colour.of.the.sky")).toBeUndefined();
});
