// Calls over a memory network: answers to whom they belong, errors across the wire, streams, and what the loss of a connection does.
import { describe, expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { RpcClient, type RpcHandlers, RpcPeer } from "../../../src/net/rpc.ts";
import { MemoryNetwork } from "../../../src/net/transport-memory.ts";

const lines: string[] = [];
const env = systemEnv({ sink: (line) => lines.push(line) });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (body: Uint8Array): string => new TextDecoder().decode(body);

async function served(handlers: RpcHandlers) {
  const network = new MemoryNetwork(env);
  const peers: RpcPeer[] = [];
  const listener = await network.transport("server").listen({ host: "server", port: 0 }, (connection) => {
    const peer = new RpcPeer(env, connection, handlers);
    peers.push(peer);
    return peer;
  });
  const address = { host: "server", port: listener.port };
  const client = new RpcClient(env, network.transport("client"), address);
  return { network, listener, client, peers, address };
}

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error: RamaError) => error.code,
  );

describe("calls", () => {
  test("answers reach their calls, whatever their order", async () => {
    const waiting: ((body: Uint8Array) => void)[] = [];
    const { client } = await served({
      onCall: (method, body) =>
        method === 1 ? new Promise((resolve) => waiting.push(() => resolve(body))) : bytes(`now ${text(body)}`),
    });
    const slow = [client.call(1, bytes("a"), 5_000), client.call(1, bytes("b"), 5_000)];
    expect(text(await client.call(300, bytes("c"), 5_000))).toBe("now c");
    for (const answer of waiting.reverse()) answer(bytes(""));
    expect((await Promise.all(slow)).map(text)).toEqual(["a", "b"]);
  });

  test("a RamaError crosses with code, message and facts; anything else is INTERNAL", async () => {
    const { client } = await served({
      onCall(method) {
        if (method === 1) throw new RamaError("MODULE_NOT_FOUND", "no such module", { module: "m", odd: () => 1 });
        throw new TypeError("x is not a function");
      },
    });
    const error = await client.call(1, bytes(""), 5_000).catch((e: RamaError) => e);
    expect(error).toMatchObject({ code: "MODULE_NOT_FOUND", message: "no such module" });
    expect((error as RamaError).facts["module"]).toBe("m");
    expect(await codeOf(client.call(2, bytes(""), 5_000))).toBe("INTERNAL");
    expect(lines.some((line) => line.includes("x is not a function"))).toBe(true);
  });

  test("no answer is TIMEOUT, and the handler learns of it", async () => {
    const aborted = Promise.withResolvers<void>();
    const { client } = await served({
      onCall: (_method, _body, call) =>
        new Promise(() => call.signal.addEventListener("abort", () => aborted.resolve())),
    });
    expect(await codeOf(client.call(1, bytes(""), 5))).toBe("TIMEOUT");
    await aborted.promise;
  });

  test("a lost connection ends what is in flight, and the next call connects anew", async () => {
    const { client, network, peers } = await served({
      onCall: (method, body) => (method === 1 ? new Promise<Uint8Array>(() => {}) : body),
    });
    await client.call(2, bytes(""), 5_000);
    const hanging = codeOf(client.call(1, bytes(""), 5_000));
    network.closeConnections("client", "server");
    expect(await hanging).toBe("CONNECTION_LOST");
    expect(text(await client.call(2, bytes("again"), 5_000))).toBe("again");
    expect(peers.length).toBe(2);
  });

  test("concurrent first calls share one connection; an address without a listener is CONNECT_FAILED", async () => {
    const { client, peers, listener } = await served({ onCall: (_method, body) => body });
    await Promise.all([1, 2, 3].map((n) => client.call(n, bytes(""), 5_000)));
    expect(peers.length).toBe(1);
    await listener.close();
    expect(["CONNECT_FAILED", "CONNECTION_LOST"]).toContain(await codeOf(client.call(1, bytes(""), 5_000)));
    client.close();
    expect(await codeOf(client.call(1, bytes(""), 5_000))).toBe("CONNECTION_LOST");
  });

  test("the called side can call back over the same connection", async () => {
    const { network, address } = await served({
      onCall: async (_method, body, call) => bytes(`<${text(await call.peer.call(9, body, 5_000))}>`),
    });
    const peer = await RpcPeer.connect(env, network.transport("client"), address, {
      onCall: (_method, body) => bytes(text(body).toUpperCase()),
    });
    expect(text(await peer.call(1, bytes("hi"), 5_000))).toBe("<HI>");
  });

  test("one-way messages and foreign frames reach their handlers", async () => {
    const seen: string[] = [];
    const done = Promise.withResolvers<void>();
    const { client } = await served({
      onOneWay: (method, body) => seen.push(`${method} ${text(body)}`),
      onOther(frame) {
        seen.push(`other ${frame[0]}`);
        done.resolve();
      },
    });
    const peer = await client.connect();
    peer.oneWay(65_535, bytes("x"));
    peer.connection.send(new Uint8Array([16]));
    await done.promise;
    expect(seen).toEqual(["65535 x", "other 16"]);
  });

  test("a frame that is none closes the connection with BAD_FRAME", async () => {
    const closed = Promise.withResolvers<string>();
    const { client } = await served({ onClose: (reason) => closed.resolve(reason) });
    (await client.connect()).connection.send(new Uint8Array([1, 2]));
    expect(await closed.promise).toContain("BAD_FRAME");
  });
});

describe("streams", () => {
  test("items come in order and end", async () => {
    const { client } = await served({
      async onCall() {
        return (async function* () {
          for (let i = 0; i < 1_000; i++) yield bytes(String(i));
        })();
      },
    });
    const got: string[] = [];
    for await (const item of client.stream(1, bytes(""))) got.push(text(item));
    expect(got).toEqual(Array.from({ length: 1_000 }, (_, i) => String(i)));
  });

  test("an error in the middle arrives after the items before it", async () => {
    const { client } = await served({
      onCall: () =>
        (async function* () {
          yield bytes("one");
          throw new RamaError("OVERLOADED", "too much");
        })(),
    });
    const got: string[] = [];
    const reading = (async () => {
      for await (const item of client.stream(1, bytes(""))) got.push(text(item));
    })();
    expect(await codeOf(reading)).toBe("OVERLOADED");
    expect(got).toEqual(["one"]);
  });

  test("leaving the loop ends the stream on the other side", async () => {
    const ended = Promise.withResolvers<void>();
    const { client } = await served({
      onCall: (_method, _body, call) =>
        (async function* () {
          try {
            for (;;) {
              yield bytes("more");
              await env.sleep(1, call.signal);
            }
          } finally {
            ended.resolve();
          }
        })(),
    });
    for await (const item of client.stream(1, bytes(""))) {
      expect(text(item)).toBe("more");
      break;
    }
    await ended.promise;
  });

  test("a lost connection ends a stream with CONNECTION_LOST", async () => {
    const { client, network } = await served({
      onCall: () =>
        (async function* () {
          yield bytes("one");
          await new Promise(() => {});
        })(),
    });
    const reading = (async () => {
      for await (const _ of client.stream(1, bytes(""))) network.closeConnections("client", "server");
    })();
    expect(await codeOf(reading)).toBe("CONNECTION_LOST");
  });
});
