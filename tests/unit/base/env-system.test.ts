// Log lines, and failures of what nobody awaits.
import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { LineLog } from "../../../src/base/log.ts";

test("a log line has time, level, component, message and fields, and stays one line", () => {
  const lines: string[] = [];
  const log = new LineLog({ level: "info", now: () => Date.UTC(2026, 10, 24, 12), sink: (line) => lines.push(line) });
  log.debug("not shown");
  const error = new RamaError("TIMEOUT", "too late", {}, new RamaError("CONNECT_FAILED", "refused"));
  log
    .child("conductor")
    .info("module launched\nand running", { module: "com/x", tasks: 4, note: "two words", none: undefined });
  log.warn("trouble", { error, list: [1, 2], big: 5n });
  expect(lines).toEqual([
    '2026-11-24T12:00:00.000Z INFO  conductor: module launched\\nand running module=com/x tasks=4 note="two words"',
    '2026-11-24T12:00:00.000Z WARN  rama: trouble error="TIMEOUT: too late; caused by CONNECT_FAILED: refused" list=[1,2] big=5',
  ]);
});

test("a log never throws", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const lines: string[] = [];
  new LineLog({ level: "debug", now: () => 0, sink: (line) => lines.push(line) }).info("x", { cyclic });
  expect(lines[0]).toContain("x cyclic=?");
  const broken = () => {
    throw new Error("pipe closed");
  };
  new LineLog({ level: "debug", now: () => 0, sink: broken }).info("x");
});

test("what is thrown where nobody awaits is logged and reported with its name", async () => {
  const lines: string[] = [];
  const failures: string[] = [];
  const env = systemEnv({
    sink: (line) => lines.push(line),
    onFailure: (name, error) => failures.push(`${name}: ${(error as Error).message}`),
  });
  const boom = (text: string) => {
    throw new Error(text);
  };
  env.spawn("later", async () => {
    await env.sleep(1);
    boom("one");
  });
  env.spawn("at once", () => boom("two"));
  env.setTimer(1, () => boom("three"));
  env.nextTurn(() => boom("four"));
  while (failures.length < 4) await env.sleep(1);
  expect(failures.sort()).toEqual(["at once: two", "later: one", "timer: three", "turn: four"]);
  expect(lines.filter((line) => line.includes("ERROR")).length).toBe(4);
});

test("a cancelled timer does not fire, and an aborted sleep says so", async () => {
  const env = systemEnv({ sink: () => {} });
  let fired = false;
  const timer = env.setTimer(1, () => {
    fired = true;
  });
  timer.cancel();
  timer.cancel();
  const stop = new AbortController();
  const sleeping = env.sleep(60_000, stop.signal);
  stop.abort();
  expect(await sleeping).toBe(false);
  expect(await env.sleep(60_000, AbortSignal.abort())).toBe(false);
  expect(await env.sleep(5)).toBe(true);
  expect(fired).toBe(false);
  expect(env.randomBytes(16).length).toBe(16);
});
