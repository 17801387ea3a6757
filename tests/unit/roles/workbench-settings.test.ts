// What the executable reads besides rama.yaml: log4j2.properties and worker.child.opts.
import { expect, test } from "bun:test";
import { parseLog4j } from "../../../src/roles/workbench/log-file.ts";
import { parseChildOptions } from "../../../src/roles/workbench/worker-process.ts";

test("level, file size and number of files are taken from log4j2.properties", () => {
  const text = [
    "# a comment = nothing",
    "rootLogger.level = DEBUG",
    "appender.rolling.policies.size.size=20MB",
    "appender.rolling.strategy.max = 3",
    "appender.rolling.layout.type = PatternLayout",
  ].join("\n");
  expect(parseLog4j(text)).toEqual({ level: "debug", maxBytes: 20 * 1024 * 1024, keep: 3 });
});

test("levels that we do not have become the nearest one", () => {
  expect(parseLog4j("rootLogger.level = TRACE").level).toBe("debug");
  expect(parseLog4j("rootLogger.level = fatal").level).toBe("error");
});

test("an empty file, or one of nonsense, leaves the defaults", () => {
  const defaults = { level: undefined, maxBytes: 100 * 1024 * 1024, keep: 10 };
  expect(parseLog4j("")).toEqual(defaults);
  expect(parseLog4j("rootLogger.level = loud\na.policies.size.size = big\nb.strategy.max = many")).toEqual(defaults);
});

test("-Xmx becomes a limit in bytes, in every unit that a JVM takes", () => {
  const limit = (text: string) => parseChildOptions(text, "w").memoryLimitBytes;
  expect([limit("-Xmx4096m"), limit("-Xmx2g"), limit("-Xmx512K"), limit("-Xmx1000")]).toEqual([
    4096 * 1024 ** 2,
    2 * 1024 ** 3,
    512 * 1024,
    1000,
  ]);
  expect(limit("")).toBeUndefined();
});

test("JVM flags are set aside, flags of the runtime are handed on", () => {
  const options = parseChildOptions("-Xmx1g -Xms1g -Dfile.encoding=UTF-8 -verbose:gc --smol --cpu-prof", "w");
  expect(options.runtimeFlags).toEqual(["--smol", "--cpu-prof"]);
  expect(options.ignored).toEqual(["-Xms1g", "-Dfile.encoding=UTF-8", "-verbose:gc"]);
});

test("%ID% becomes the worker's id wherever it stands", () => {
  expect(parseChildOptions("--cpu-prof-name=%ID%.prof -Dw=%ID%", "i1-w0")).toEqual({
    memoryLimitBytes: undefined,
    runtimeFlags: ["--cpu-prof-name=i1-w0.prof"],
    ignored: ["-Dw=i1-w0"],
  });
});
