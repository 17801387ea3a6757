// Contract: connections that carry whole frames. Implementations: `transport-tcp.ts` (Bun and Node), `transport-memory.ts` (in process and
// simulated: delays, loss of a connection, cuts). Suite: tests/conformance/transport.ts.
//
// Obligations
//   T1  Frames of one connection arrive whole, once, in sending order, or the connection closes.
//   T2  `send` copies or takes the bytes before it returns; small frames of one turn share few writes. It never blocks and never throws; on a closed
//       connection it is a no-op.
//   T3  A frame longer than `maxFrameBytes` closes the connection with FRAME_TOO_LARGE before it is read into memory.
//   T4  `onClose` is called exactly once, after which no `onFrame` comes.
//   T5  The bytes given to `onFrame` are valid only during the call, unless the receiver copies them.
// On the wire (TCP): frame := length u32 little-endian | payload[length].

export interface ConnectionHandlers {
  onFrame(frame: Uint8Array, connection: Connection): void;
  onClose(reason: string, connection: Connection): void;
  /** The unsent bytes fell below half of the limit after having been above it. */
  onDrain?(connection: Connection): void;
}

export interface Connection {
  readonly id: number;
  readonly remote: string;
  /** Free for the user of the connection: session state. */
  data: unknown;
  send(frame: Uint8Array): void;
  /** Several parts that make one frame; saves the sender from joining them. */
  sendParts(parts: readonly Uint8Array[]): void;
  /** Sends what is buffered now instead of at the end of the turn. */
  flush(): void;
  readonly unsentBytes: number;
  readonly closed: boolean;
  close(reason?: string): void;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Transport {
  /** Port 0 takes a free one. A taken port is PORT_IN_USE with the port. */
  listen(address: Address, onConnection: (connection: Connection) => ConnectionHandlers): Promise<Listener>;
  /** CONNECT_FAILED with the address when nobody answers within `timeoutMs` (default 5000). */
  connect(address: Address, handlers: ConnectionHandlers, timeoutMs?: number): Promise<Connection>;
}
