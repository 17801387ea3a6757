// A port that is open before there is anyone to serve it: the worker of an update listens while the old one still has the stores, so that clients know the address at the
// hand-over and wait in its queue for the moment that it takes to open them, instead of asking around. A client sends nothing but its hello until that is answered.
import type { Address, Connection, ConnectionHandlers, Listener, Transport } from "../../net/transport.ts";

type Accept = (connection: Connection) => ConnectionHandlers;

/** Of one connection; a hello has less than a hundred. */
const heldBytesMax = 4096;

export class HeldListener implements Listener {
  readonly host: string;
  readonly port: number;
  readonly #listener: Listener;
  readonly #waiting: Waiting;

  private constructor(listener: Listener, waiting: Waiting) {
    this.host = listener.host;
    this.port = listener.port;
    this.#listener = listener;
    this.#waiting = waiting;
  }

  /** Port 0 takes a free one. PORT_IN_USE. */
  static async open(transport: Transport, address: Address): Promise<HeldListener> {
    const waiting = new Waiting();
    return new HeldListener(await transport.listen(address, (connection) => waiting.accept(connection)), waiting);
  }

  /** From now on `accept` has the connections; first those that wait, with what they have sent. */
  serve(accept: Accept): void {
    this.#waiting.serve(accept);
  }

  close(): Promise<void> {
    return this.#listener.close();
  }
}

class Waiting {
  readonly #held = new Set<HeldConnection>();
  #accept: Accept | undefined;

  accept(connection: Connection): ConnectionHandlers {
    if (this.#accept !== undefined) return this.#accept(connection);
    const held = new HeldConnection(connection, () => this.#held.delete(held));
    this.#held.add(held);
    return held;
  }

  serve(accept: Accept): void {
    this.#accept = accept;
    for (const held of this.#held) held.serve(accept);
    this.#held.clear();
  }
}

class HeldConnection implements ConnectionHandlers {
  readonly #connection: Connection;
  readonly #onGone: () => void;
  readonly #frames: Uint8Array[] = [];
  #bytes = 0;
  #handlers: ConnectionHandlers | undefined;

  constructor(connection: Connection, onGone: () => void) {
    this.#connection = connection;
    this.#onGone = onGone;
  }

  serve(accept: Accept): void {
    this.#handlers = accept(this.#connection);
    for (const frame of this.#frames.splice(0)) this.#handlers.onFrame(frame, this.#connection);
  }

  onFrame(frame: Uint8Array, connection: Connection): void {
    if (this.#handlers !== undefined) {
      this.#handlers.onFrame(frame, connection);
      return;
    }
    this.#bytes += frame.length;
    if (this.#bytes > heldBytesMax) connection.close(`BAD_FRAME: ${this.#bytes} bytes before the hello was answered`);
    else this.#frames.push(frame.slice());
  }

  onClose(reason: string, connection: Connection): void {
    if (this.#handlers !== undefined) this.#handlers.onClose(reason, connection);
    else this.#onGone();
  }

  onDrain(connection: Connection): void {
    this.#handlers?.onDrain?.(connection);
  }
}
