import { describe, expect, test } from "bun:test";
import * as net from "node:net";
import { systemEnv } from "../../src/base/env-system.ts";
import type { RamaError } from "../../src/base/errors.ts";
import type { Connection } from "../../src/net/transport.ts";
import { MemoryNetwork } from "../../src/net/transport-memory.ts";
import { tcpTransport } from "../../src/net/transport-tcp.ts";
import { recorder, transportSuite } from "./transport.ts";

const env = systemEnv({ sink: () => {} });
const limits = { maxFrameBytes: 1024 * 1024, maxUnsentBytes: 4 * 1024 * 1024 };

transportSuite({ name: "tcp", host: "127.0.0.1", create: () => ({ transport: tcpTransport(env, limits) }) });
transportSuite({
  name: "memory",
  host: "localhost",
  create: () => ({ transport: new MemoryNetwork(env, limits).transport("one") }),
});
transportSuite({
  name: "memory with delays",
  host: "localhost",
  create: () => ({ transport: new MemoryNetwork(env, { ...limits, delayMs: () => 1 }).transport("one") }),
});

describe("the TCP transport", () => {
  test("puts frames together however the stream is cut", async () => {
    const far = recorder();
    const listener = await tcpTransport(env, limits).listen({ host: "127.0.0.1", port: 0 }, () => far);
    const socket = net.connect(listener.port, "127.0.0.1");
    const stream = Buffer.from([3, 0, 0, 0, 97, 98, 99, 0, 0, 0, 0, 1, 0, 0, 0, 100]);
    for (const byte of stream) {
      await new Promise<void>((resolve) => socket.write(Buffer.from([byte]), () => resolve()));
      await new Promise<void>((resolve) => env.nextTurn(resolve));
    }
    expect(await far.count(3)).toEqual(["abc", "", "d"]);
    socket.destroy();
    await far.closed;
    await listener.close();
  });

  test("refuses the length of a frame that is too large before its bytes have come", async () => {
    const far = recorder();
    const listener = await tcpTransport(env, limits).listen({ host: "127.0.0.1", port: 0 }, () => far);
    const socket = net.connect(listener.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(Buffer.from([255, 255, 255, 255]));
    expect(await far.closed).toContain("FRAME_TOO_LARGE");
    socket.destroy();
    await listener.close();
  });

  test("closes the connection of a peer that does not read, at the limit", async () => {
    const server = net.createServer((socket) => socket.pause().on("error", () => {}));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const near = recorder();
    const port = (server.address() as net.AddressInfo).port;
    const connection = await tcpTransport(env, limits).connect({ host: "127.0.0.1", port }, near);
    const piece = new Uint8Array(256 * 1024);
    while (!connection.closed) {
      connection.send(piece);
      await new Promise<void>((resolve) => env.nextTurn(resolve));
      expect(connection.unsentBytes).toBeLessThan(6 * 1024 * 1024);
    }
    expect(await near.closed).toContain("does not read");
    server.close();
  });

  test("tells when a slow peer has caught up", async () => {
    let socket!: net.Socket;
    const accepted = Promise.withResolvers<void>();
    const server = net.createServer((s) => {
      socket = s.pause();
      accepted.resolve();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const drained = Promise.withResolvers<Connection>();
    const port = (server.address() as net.AddressInfo).port;
    const near = { ...recorder(), onDrain: drained.resolve };
    const large = { ...limits, maxUnsentBytes: 64 * 1024 * 1024 };
    const connection = await tcpTransport(env, large).connect({ host: "127.0.0.1", port }, near);
    await accepted.promise;
    while (connection.unsentBytes < 33 * 1024 * 1024) connection.send(new Uint8Array(1024 * 1024));
    connection.flush();
    socket.on("data", () => {});
    socket.resume();
    expect(await drained.promise).toBe(connection);
    expect(connection.unsentBytes).toBeLessThan(32 * 1024 * 1024);
    connection.close();
    server.close();
  });

  test("does not read more requests of a caller that takes no answers, and goes on when it does", async () => {
    const answer = new Uint8Array(64 * 1024);
    let asked = 0;
    let open!: Connection;
    const far = recorder((_frame, connection) => {
      open = connection;
      asked++;
      connection.send(answer);
    });
    const roomy = { ...limits, maxUnsentBytes: 64 * 1024 * 1024 };
    const listener = await tcpTransport(env, roomy).listen({ host: "127.0.0.1", port: 0 }, () => far);
    const socket = net.connect(listener.port, "127.0.0.1");
    let received = 0;
    socket.pause();
    const request = Buffer.alloc(4 + 16_384);
    request.writeUInt32LE(16_384);
    const requests = 2_000;
    for (let i = 0; i < requests; i++) socket.write(request);
    // It stands still once no more requests come.
    for (let before = -1; asked === 0 || before !== asked; ) {
      before = asked;
      await env.sleep(200);
    }
    expect(asked).toBeLessThan(requests / 2);
    expect(open.unsentBytes).toBeLessThan(16 * 1024 * 1024);
    const all = Promise.withResolvers<void>();
    socket.on("data", (chunk) => {
      received += chunk.length;
      if (received === requests * (answer.length + 4)) all.resolve();
    });
    socket.resume();
    await all.promise;
    expect(asked).toBe(requests);
    socket.destroy();
    await far.closed;
    await listener.close();
  });

  test("closes what comes to a listener beyond its number of connections, and serves those that it has", async () => {
    const far = recorder((frame, connection) => connection.send(frame));
    const few = { ...limits, maxConnections: 2 };
    const listener = await tcpTransport(env, few).listen({ host: "127.0.0.1", port: 0 }, () => far);
    const address = { host: "127.0.0.1", port: listener.port };
    const near = recorder();
    const transport = tcpTransport(env, limits);
    const first = await transport.connect(address, near);
    const second = await transport.connect(address, recorder());
    const refused = recorder();
    await transport.connect(address, refused);
    expect(await refused.closed).toBeDefined();
    first.send(new Uint8Array([65]));
    expect(await near.count(1)).toEqual(["A"]);
    second.close();
    await far.closed;
    // The place is free once the listener has seen the end of the second.
    let third = recorder();
    for (;;) {
      third = recorder();
      const connection = await transport.connect(address, third);
      connection.send(new Uint8Array([66]));
      const served = await Promise.race([third.count(1), third.closed.then(() => undefined)]);
      if (served !== undefined) break;
    }
    first.close();
    await listener.close();
  });

  test("an address that does not answer is CONNECT_FAILED after the timeout", async () => {
    // A full backlog answers nothing on Linux; a name that cannot be resolved fails at once. Both must end as CONNECT_FAILED.
    const error = await tcpTransport(env)
      .connect({ host: "name.invalid", port: 1 }, recorder(), 2_000)
      .catch((e: RamaError) => e);
    expect((error as RamaError).code).toBe("CONNECT_FAILED");
  });
});

describe("the memory network", () => {
  test("a cut holds frames back until it is healed, and connects run into their timeout", async () => {
    const network = new MemoryNetwork(env);
    const far = recorder();
    const listener = await network.transport("b").listen({ host: "b", port: 0 }, () => far);
    const one = network.transport("a");
    const connection = await one.connect({ host: "b", port: listener.port }, recorder());
    network.cut("a", "b");
    connection.send(new Uint8Array([65]));
    const error = await one.connect({ host: "b", port: listener.port }, recorder(), 5).catch((e: RamaError) => e);
    expect((error as RamaError).code).toBe("CONNECT_FAILED");
    expect(far.frames).toEqual([]);
    network.heal("a", "b");
    expect(await far.count(1)).toEqual(["A"]);
  });

  test("lost connections close on both sides without what had not arrived", async () => {
    const network = new MemoryNetwork(env);
    const near = recorder();
    const far = recorder();
    const listener = await network.transport("b").listen({ host: "b", port: 7 }, () => far);
    const connection = await network.transport("a").connect({ host: "b", port: listener.port }, near);
    connection.send(new Uint8Array([65]));
    network.closeConnections("b", "a");
    expect(await near.closed).toBe("connection reset");
    expect(await far.closed).toBe("connection reset");
    expect(far.frames).toEqual([]);
    expect(network.connections.size).toBe(0);
  });

  test("a role that is shut down takes its listeners and connections with it", async () => {
    const network = new MemoryNetwork(env);
    const near = recorder();
    const ending = network.transport("b");
    const other = network.transport("b");
    await ending.listen({ host: "b", port: 7 }, () => recorder());
    await other.listen({ host: "b", port: 8 }, () => recorder());
    await network.transport("a").connect({ host: "b", port: 7 }, near);
    ending.shutDown();
    expect(await near.closed).toBe("the process ended");
    await expect(network.transport("a").connect({ host: "b", port: 7 }, recorder())).rejects.toThrow("refused");
    await network.transport("a").connect({ host: "b", port: 8 }, recorder());
  });
});
