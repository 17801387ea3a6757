// An engine whose machine stands still or is cut off: its connections stay, nothing comes. What is in flight goes to whoever has its tasks by then.
import { expect, test } from "bun:test";
import { ClientCore } from "../../../src/client/client-core.ts";
import { configOf } from "../../../src/config/rama-yaml.ts";
import { MemoryNetwork, MemoryTransport } from "../../../src/net/transport-memory.ts";
import { Path } from "../../../src/paths/path.ts";
import { decodeAppend } from "../../../src/protocol/append.ts";
import { FrameWriter } from "../../../src/protocol/frame-fields.ts";
import { encodeHelloOk } from "../../../src/protocol/hello.ts";
import { decodeSelect } from "../../../src/protocol/read.ts";
import { ANSWER, APPEND, APPEND_DONE, HELLO, SELECT } from "../../../src/protocol/table.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import { depots, pstates } from "../../fake-engine.ts";

/** Engines "old", which greets and then says nothing, and "new", which answers; routes name the old one at first. */
async function world() {
  const env = new SimulatedEnv({ seed: 1 });
  const network = new MemoryNetwork(env);
  const seen: { host: string; sequence: number; count: number }[] = [];
  const writer = new FrameWriter(256);
  for (const host of ["old", "new"]) {
    await env.complete(
      new MemoryTransport(network, host).listen({ host, port: 7 }, (connection) => ({
        onFrame(frame) {
          if (frame[0] === HELLO) connection.send(encodeHelloOk({ release: "0.1.0", features: [] }));
          if (frame[0] === APPEND) {
            const { request, sequence, count } = decodeAppend(frame.slice(), 1000);
            seen.push({ host, sequence, count });
            if (host === "new") connection.send(writer.begin(APPEND_DONE).u32(request).f64(5).view());
          }
          if (frame[0] === SELECT && host === "new")
            connection.send(writer.begin(ANSWER).u32(decodeSelect(frame).request).value("found").view());
        },
        onClose() {},
      })),
    );
  }
  const routesOf = (host: string) => ({
    moduleName: "M",
    moduleInstanceId: "m1",
    version: 1,
    numTasks: 1,
    groups: [{ host, port: 7 }],
    depots,
    pstates,
    queries: [],
  });
  const state = { routes: routesOf("old"), fetches: 0 };
  const client = new ClientCore({
    env,
    transport: new MemoryTransport(network, "client"),
    config: configOf({}, "test"),
    release: "0.1.0",
    fetchRoutes: async () => {
      state.fetches++;
      return state.routes;
    },
  });
  return { env, client, state, seen, routesOf };
}

test("a read and an append that an engine does not answer go to the one that has its tasks by then, the append with the same token", async () => {
  const { env, client, state, seen, routesOf } = await world();
  const reading = client.pstate("M", "$$map").selectOne(Path.key("x"));
  const appending = client.depot("M", "*random").append("record");
  await env.advance(500);
  state.routes = routesOf("new");
  const began = env.monotonicMs();
  expect(await env.complete(reading)).toBe("found");
  await env.complete(appending);
  expect(env.monotonicMs() - began).toBeLessThan(2_000);
  expect(seen).toEqual([
    { host: "old", sequence: 0, count: 1 },
    { host: "new", sequence: 0, count: 1 },
  ]);
});

test("an engine that is slow and still has its tasks is left alone, and asked about less and less often", async () => {
  const { env, client, state } = await world();
  const reading = client.pstate("M", "$$map").selectOne(Path.key("x"));
  let ended = false;
  reading.then(
    () => (ended = true),
    () => (ended = true),
  );
  await env.advance(5_500);
  expect(ended).toBe(false);
  expect(state.fetches).toBeGreaterThan(3);
  expect(state.fetches).toBeLessThan(20);
  const before = state.fetches;
  await env.advance(5_500);
  expect(state.fetches - before).toBeLessThan(10);
});
