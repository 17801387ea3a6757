// Contract: plain TCP byte streams, as ZooKeeper's port needs them (its four-letter words fit into no framing of ours). The real one is
// `roles/dev-zookeeper-socket.ts`; tests bring one in memory.
//
// Obligations
//   B1  `onData` gets the bytes in order, in pieces of any size; it owns them only during the call.
//   B2  `write` keeps order and copies nothing: the caller gives the bytes away.
//   B3  After `onClose`, which comes exactly once, nothing else is called; `write`, `end` and `destroy` are then no-ops.
//   B4  While paused, no `onData`; what arrives waits in the kernel, so that the client is slowed down.

export interface ByteConnection {
  readonly remoteHost: string;
  readonly remotePort: number;
  readonly localPort: number;
  write(bytes: Uint8Array): void;
  /** Written and not yet taken by the kernel. */
  readonly unsentBytes: number;
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes. */
  end(): void;
  destroy(): void;
}

export interface ByteHandler {
  onData(bytes: Uint8Array): void;
  /** All that was written has been taken by the kernel. */
  onDrained(): void;
  onClose(): void;
}

export interface ByteListener {
  readonly host: string;
  readonly port: number;
  /** Stops accepting; connections that are open stay. */
  close(): Promise<void>;
}

export interface ByteServer {
  /** Port 0 takes a free one. PORT_IN_USE, BAD_CONFIG (no such address). */
  listen(
    options: { host: string; port: number },
    accept: (connection: ByteConnection) => ByteHandler,
  ): Promise<ByteListener>;
}
