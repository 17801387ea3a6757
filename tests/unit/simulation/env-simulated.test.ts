// The simulated clock: order, determinism, and failures that do not get lost.
import { expect, test } from "bun:test";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import { memoryPlatform } from "../../../src/testing/platform-memory.ts";

test("timers fire in the order of their time, those of one time in the order in which they were set", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  const fired: string[] = [];
  const note = (name: string) => () => fired.push(`${name}@${env.monotonicMs()}`);
  env.setTimer(20, note("c"));
  env.setTimer(10, note("a"));
  env.setTimer(10, note("b"));
  env.setTimer(5, note("never")).cancel();
  env.nextTurn(note("turn"));
  await env.run(15);
  expect(fired).toEqual(["turn@0", "a@10", "b@10"]);
  expect(env.monotonicMs()).toBe(15);
  await env.advance(100);
  expect(fired.at(-1)).toBe("c@20");
});

test("promises go on between two turns, and sleep ends early when its signal aborts", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  const stop = new AbortController();
  env.setTimer(50, () => stop.abort());
  const slept = (async () => {
    const whole = await env.sleep(30);
    const cut = await env.sleep(1_000, stop.signal);
    return [whole, cut, env.monotonicMs()];
  })();
  expect(await env.complete(slept)).toEqual([true, false, 50]);
});

test("a failure that nobody awaits ends the run with its seed", async () => {
  const env = new SimulatedEnv({ seed: 42 });
  env.spawn("background", async () => {
    await env.sleep(5);
    throw new Error("boom");
  });
  await expect(env.advance(10)).rejects.toThrow("seed 42, 5 ms: background: boom");
  env.setTimer(1, () => {
    throw new Error("in a timer");
  });
  await expect(env.advance(10)).rejects.toThrow("timer: in a timer");
});

test("one seed gives one course of events, another seed another", async () => {
  async function course(seed: number): Promise<string> {
    const env = new SimulatedEnv({ seed });
    const { network } = memoryPlatform({ env, network: { delayMs: () => 1 + env.random() * 10 } });
    const got: number[] = [];
    const far = network.transport("b");
    const listener = await env.complete(
      far.listen({ host: "b", port: 0 }, () => ({ onFrame: (frame) => got.push(frame[0]!), onClose() {} })),
    );
    for (let i = 0; i < 20; i++) {
      env.spawn("sender", async () => {
        const address = { host: "b", port: listener.port };
        const connection = await network.transport("a").connect(address, { onFrame() {}, onClose() {} });
        for (let j = 0; j < 5; j++) {
          connection.send(new Uint8Array([i]));
          await env.sleep(env.random() * 20);
        }
      });
    }
    await env.advance(1_000);
    expect(got.length).toBe(100);
    env.trace(got.join(","));
    return env.traceHash;
  }
  expect(await course(7)).toBe(await course(7));
  expect(await course(7)).not.toBe(await course(8));
});

test("time passes without waiting", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  let ticks = 0;
  const tick = () => {
    ticks++;
    env.setTimer(1_000, tick);
  };
  tick();
  await env.run(3_600_000);
  expect(ticks).toBe(3_601);
  expect(env.now()).toBe(Date.UTC(2026, 0, 1) + 3_600_000);
});
