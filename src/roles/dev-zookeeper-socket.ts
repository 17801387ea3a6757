// The real ByteServer: TCP by node:net. Only ZooKeeper's port is served so; everything of our own goes through the framed Transport.

import { createServer, type Server, type Socket } from "node:net";
import { messageOf, RamaError } from "../base/errors.ts";
import type { ByteConnection, ByteHandler, ByteListener, ByteServer } from "../zookeeper/byte-server.ts";

class SocketConnection implements ByteConnection {
  readonly remoteHost: string;
  readonly remotePort: number;
  readonly localPort: number;
  private readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    this.remoteHost = (socket.remoteAddress ?? "unknown").replace(/^::ffff:/, "");
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed && !this.socket.writableEnded) this.socket.write(bytes);
  }

  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    // What the client still sends must be read, or its kernel answers our close with a reset that swallows the last reply.
    this.socket.end();
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

export const socketByteServer: ByteServer = {
  async listen({ host, port }, accept): Promise<ByteListener> {
    const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: false }, (socket) =>
      attach(socket, accept),
    );
    await listening(server, host, port);
    const address = server.address();
    const boundPort = address !== null && typeof address === "object" ? address.port : port;
    return { host, port: boundPort, close: () => new Promise((resolve) => server.close(() => resolve())) };
  },
};

function attach(socket: Socket, accept: (connection: ByteConnection) => ByteHandler): void {
  // A client that resets its connection is no event for us beyond the close that follows.
  socket.on("error", () => socket.destroy());
  const handler = accept(new SocketConnection(socket));
  socket.on("data", (chunk: Uint8Array) => handler.onData(chunk));
  socket.on("drain", () => handler.onDrained());
  socket.on("close", () => handler.onClose());
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: Error & { code?: string }) => {
      const facts = { host, port };
      if (error.code === "EADDRINUSE")
        reject(new RamaError("PORT_IN_USE", `port ${port} on ${host} is in use`, facts, error));
      else reject(new RamaError("BAD_CONFIG", `cannot listen on ${host}:${port}: ${messageOf(error)}`, facts, error));
    });
    server.listen({ host, port, backlog: 1024 }, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}
