// The port of a worker that waits for its stores: those who come early are served once it serves, in the order of their frames.
import { expect, test } from "bun:test";
import { MemoryNetwork, MemoryTransport } from "../../../src/net/transport-memory.ts";
import type { Connection, ConnectionHandlers } from "../../../src/net/transport.ts";
import { HeldListener } from "../../../src/roles/worker/held-listener.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";

const text = (frame: Uint8Array): string => new TextDecoder().decode(frame);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

function world() {
  const env = new SimulatedEnv({ seed: 1 });
  const network = new MemoryNetwork(env);
  const server = new MemoryTransport(network, "server");
  const client = new MemoryTransport(network, "client");
  const got: string[] = [];
  const answers: string[] = [];
  const closed: string[] = [];
  const serve = (connection: Connection): ConnectionHandlers => ({
    onFrame: (frame) => {
      got.push(text(frame));
      connection.send(bytes(`re ${text(frame)}`));
    },
    onClose: (reason) => closed.push(reason),
  });
  const connect = (port: number) =>
    client.connect(
      { host: "server", port },
      { onFrame: (frame) => answers.push(text(frame)), onClose: (reason) => answers.push(`closed: ${reason}`) },
    );
  return { env, server, got, answers, closed, serve, connect };
}

test("who comes before there is anyone to serve is answered when there is, and who comes later at once", async () => {
  const { env, server, got, answers, serve, connect } = world();
  const held = await HeldListener.open(server, { host: "server", port: 0 });
  const early = await env.complete(connect(held.port));
  early.send(bytes("hello"));
  await env.advance(1_000);
  expect({ got, answers }).toEqual({ got: [], answers: [] });
  held.serve(serve);
  early.send(bytes("more"));
  const late = await env.complete(connect(held.port));
  late.send(bytes("late"));
  await env.advance(1_000);
  expect(got).toEqual(["hello", "more", "late"]);
  expect(answers).toEqual(["re hello", "re more", "re late"]);
});

test("one that leaves before is forgotten, and one that sends more than a hello is closed", async () => {
  const { env, server, got, answers, serve, connect } = world();
  const held = await HeldListener.open(server, { host: "server", port: 0 });
  const leaving = await env.complete(connect(held.port));
  leaving.send(bytes("never mind"));
  leaving.close();
  const talker = await env.complete(connect(held.port));
  talker.send(new Uint8Array(5000));
  await env.advance(1_000);
  held.serve(serve);
  await env.advance(1_000);
  expect(got).toEqual([]);
  expect(talker.closed).toBe(true);
  expect(answers.filter((answer) => !answer.startsWith("closed"))).toEqual([]);
});
