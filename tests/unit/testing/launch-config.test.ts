import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { emit, emitStream, operation } from "../../../src/dataflow/emission.ts";
import { LaunchConfig, launchConfigOf } from "../../../src/testing/launch-config.ts";
import { MockOutputCollector } from "../../../src/testing/mock-output-collector.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";
import { codeOf } from "../../fake-engine.ts";

test("tasks are a power of two, and tasks ≥ threads ≥ workers ≥ 1", () => {
  expect(new LaunchConfig(4, 2).numWorkers(2)).toMatchObject({ tasks: 4, threads: 2, workers: 2 });
  expect(launchConfigOf({ tasks: 8 })).toMatchObject({ tasks: 8, threads: 1, workers: 1 });
  for (const counts of [
    [3, 1, 1],
    [4, 8, 1],
    [4, 2, 3],
    [0, 0, 0],
    [4, 1.5, 1],
  ] as [number, number, number][]) {
    expect(() => new LaunchConfig(...counts)).toThrow(expect.objectContaining({ code: "BAD_PARALLELISM" }));
  }
});

test("the collector keeps what generators, operations and functions emit", () => {
  const generator = MockOutputCollector.run(function* (n: number) {
    yield n;
    yield emit(n, n + 1);
    yield emitStream("odd", n);
  }, 3);
  expect(generator.getEmits()).toEqual([
    [null, [3]],
    [null, [3, 4]],
    ["odd", [3]],
  ]);
  expect(generator.getEmitsByStream()).toEqual(
    new Map<string | null, unknown[][]>([
      [null, [[3], [3, 4]]],
      ["odd", [[3]]],
    ]),
  );
  const called = operation((text: string, out) => {
    for (const letter of text) out.emit(letter);
  });
  expect(MockOutputCollector.run(called, "ab").getEmits()).toEqual([
    [null, ["a"]],
    [null, ["b"]],
  ]);
  expect(MockOutputCollector.run((n: number) => n * 2, 4).getEmits()).toEqual([[null, [8]]]);
});

test("waiting ends with what came, or with TIMEOUT and what stands", async () => {
  const env = systemEnv({ sink: () => {} });
  let n = 0;
  expect(await waitFor(() => (++n > 3 ? n : undefined), { env, what: "four" })).toBe(4);
  const late = waitFor(() => false, { env, what: "never", timeoutMs: 20, present: () => "17 are" });
  expect(await codeOf(late)).toBe("TIMEOUT");
  expect(late).rejects.toThrow("17 are");
});
