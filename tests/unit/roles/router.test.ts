// Guards events between engines when their peer goes away and comes back: the engine is told, so that records which miss something run again.
import { expect, test } from "bun:test";
import type { Address } from "../../../src/net/transport.ts";
import { EngineRouter } from "../../../src/roles/worker/router.ts";
import { MemoryWorld } from "../../../src/testing/platform-memory.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";

function setUp() {
  const world = new MemoryWorld();
  const platform = world.platform("node");
  const { env, transport } = platform;
  let address: Address | undefined;
  let back = 0;
  const lost: number[] = [];
  const router = new EngineRouter({
    env,
    transport,
    release: "0.1.0",
    moduleInstanceId: "m1",
    addressOf: () => address,
    onPeerLost: (tasks) => void lost.push(...tasks),
    onPeerBack: () => void back++,
  });
  /** A peer that keeps the last byte of each frame; the first frame of a connection is the hello. */
  const peer = async (name: string) => {
    const other = world.platform(name);
    const seen = { frames: [] as number[], kill: () => other.kill() };
    const listener = await other.transport.listen({ host: name, port: 0 }, () => ({
      onFrame: (frame) => void seen.frames.push(frame.at(-1)!),
      onClose: () => {},
    }));
    address = { host: name, port: listener.port };
    return seen;
  };
  const until = (what: string, condition: () => boolean) => waitFor(condition, { env, what, timeoutMs: 2000 });
  return { router, peer, until, lost, back: () => back, forget: () => (address = undefined) };
}

test("events go to the owner of the task, and nobody is told of anything while it is there", async () => {
  const { router, peer, until, back } = setUp();
  const there = await peer("a");
  router.send(3, Uint8Array.of(1, 2));
  router.send(3, Uint8Array.of(3));
  await until("hello and two batches", () => there.frames.length === 3);
  expect(back()).toBe(0);
  router.close();
});

test("after a peer was lost the engine is told once its task can be reached again, without a further event", async () => {
  const { router, peer, until, back, lost } = setUp();
  const first = await peer("a");
  router.send(3, Uint8Array.of(1));
  await until("the first batch", () => first.frames.length === 2);
  first.kill();
  await peer("b");
  await until("the word that the peer is back", () => back() === 1);
  expect(lost).toEqual([3]);
  router.close();
});

test("events for a task whose owner is not known yet wait for it, in order with later ones", async () => {
  const { router, peer, until, back } = setUp();
  router.send(3, Uint8Array.of(1));
  router.send(3, Uint8Array.of(2));
  const there = await peer("a");
  router.send(3, Uint8Array.of(3));
  await until("hello and three batches", () => there.frames.length === 4);
  expect(there.frames.slice(1)).toEqual([1, 2, 3]);
  expect(back()).toBe(0);
  router.close();
});

test("what could not leave for the old port of a task's owner goes to the new one", async () => {
  const { router, peer, until, back } = setUp();
  const first = await peer("a");
  first.kill();
  router.send(3, Uint8Array.of(7));
  const second = await peer("b");
  await until("hello and the batch", () => second.frames.length === 2);
  expect(second.frames[1]).toBe(7);
  expect(back()).toBe(0);
  router.close();
});
