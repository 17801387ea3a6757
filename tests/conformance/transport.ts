// The suite of the Transport contract, run for every implementation by transport.test.ts.
import { afterAll, describe, expect, test } from "bun:test";
import type { RamaError } from "../../src/base/errors.ts";
import type { Connection, ConnectionHandlers, Transport } from "../../src/net/transport.ts";

export interface TransportSubject {
  readonly name: string;
  readonly host: string;
  /** Limits: frames of 1 MB, 4 MB unsent. */
  create(): { transport: Transport; dispose?(): void };
}

export interface Recorder extends ConnectionHandlers {
  readonly frames: string[];
  readonly closed: Promise<string>;
  closes: number;
  /** Resolves when so many frames are there. */
  count(n: number): Promise<string[]>;
}

const text = (frame: Uint8Array): string => Buffer.from(frame).toString("latin1");
const bytes = (content: string): Uint8Array => Buffer.from(content, "latin1");

/** Handlers that write down what comes. */
export function recorder(onFrame?: (frame: Uint8Array, connection: Connection) => void): Recorder {
  const frames: string[] = [];
  const waiting: { n: number; resolve: (frames: string[]) => void }[] = [];
  let tellClosed: (reason: string) => void = () => {};
  const closed = new Promise<string>((resolve) => {
    tellClosed = resolve;
  });
  const self: Recorder = {
    frames,
    closed,
    closes: 0,
    count: (n) => new Promise((resolve) => (frames.length >= n ? resolve(frames) : waiting.push({ n, resolve }))),
    onFrame(frame, connection) {
      frames.push(text(frame));
      onFrame?.(frame, connection);
      for (const { n, resolve } of waiting) if (frames.length >= n) resolve(frames);
    },
    onClose(reason) {
      self.closes++;
      tellClosed(reason);
    },
  };
  return self;
}

export function transportSuite(subject: TransportSubject): void {
  describe(`transport ${subject.name}`, () => {
    const { transport, dispose } = subject.create();
    const { host } = subject;
    afterAll(() => dispose?.());

    /** A listener with one connection to it. */
    async function pair(near: ConnectionHandlers, far: ConnectionHandlers) {
      const accepted = Promise.withResolvers<Connection>();
      const listener = await transport.listen({ host, port: 0 }, (connection) => {
        accepted.resolve(connection);
        return far;
      });
      const connection = await transport.connect({ host, port: listener.port }, near);
      return { listener, connection, peer: await accepted.promise };
    }

    test("frames of all sizes arrive whole, once and in order, in both directions", async () => {
      const near = recorder();
      const far = recorder((frame, connection) => connection.send(frame));
      const { listener, connection } = await pair(near, far);
      const sent: string[] = [];
      for (const size of [0, 1, 3, 4, 5, 100, 4_096, 65_536, 70_001, 1_000_000, 0, 7]) sent.push("x".repeat(size));
      for (let i = 0; i < 5_000; i++) sent.push(`frame ${i}`);
      for (const frame of sent) connection.send(bytes(frame));
      const back = await near.count(sent.length);
      expect(back.length).toBe(sent.length);
      expect(back.every((frame, i) => frame === sent[i])).toBe(true);
      connection.close();
      await listener.close();
    });

    test("several parts make one frame, and the sender may reuse its bytes at once", async () => {
      const far = recorder();
      const { listener, connection } = await pair(recorder(), far);
      const part = bytes("abc");
      connection.sendParts([part, bytes(""), part]);
      connection.send(part);
      part.fill(0);
      expect(await far.count(2)).toEqual(["abcabc", "abc"]);
      await listener.close();
    });

    test("a frame can be copied with slice", async () => {
      const kept: Uint8Array[] = [];
      const far = recorder((frame) => kept.push(frame.slice()));
      const { listener, connection } = await pair(recorder(), far);
      connection.send(bytes("abc"));
      await far.count(1);
      expect(Object.getPrototypeOf(kept[0])).toBe(Uint8Array.prototype);
      expect(kept[0]!.buffer.byteLength).toBe(3);
      await listener.close();
    });

    test("the accepting side may speak first, from inside the callback", async () => {
      const near = recorder();
      const listener = await transport.listen({ host, port: 0 }, (connection) => {
        connection.send(bytes("hello"));
        return recorder();
      });
      await transport.connect({ host, port: listener.port }, near);
      expect(await near.count(1)).toEqual(["hello"]);
      await listener.close();
    });

    test("closing sends what was sent before, tells both sides once, and later sends are no-ops", async () => {
      const near = recorder();
      const far = recorder();
      const { listener, connection, peer } = await pair(near, far);
      for (let i = 0; i < 100; i++) connection.send(bytes("last words"));
      connection.close("done");
      expect(connection.closed).toBe(true);
      connection.send(bytes("too late"));
      connection.flush();
      connection.close("again");
      expect(await near.closed).toBe("done");
      expect(typeof (await far.closed)).toBe("string");
      expect(peer.closed).toBe(true);
      peer.send(bytes("too late"));
      expect(far.frames.length).toBe(100);
      expect([near.closes, far.closes]).toEqual([1, 1]);
      await listener.close();
    });

    test("no frame is handed over after close, even of those that have arrived", async () => {
      const far = recorder((_frame, connection) => connection.close("enough"));
      const near = recorder();
      const { listener, connection } = await pair(near, far);
      for (let i = 0; i < 10; i++) connection.send(bytes(String(i)));
      expect(await far.closed).toBe("enough");
      await near.closed;
      expect(far.frames).toEqual(["0"]);
      await listener.close();
    });

    test("a frame that is too large closes the connection with FRAME_TOO_LARGE", async () => {
      const near = recorder();
      const far = recorder();
      const { listener, connection } = await pair(near, far);
      connection.send(new Uint8Array(1024 * 1024 + 1));
      expect(await near.closed).toContain("FRAME_TOO_LARGE");
      await far.closed;
      expect(far.frames).toEqual([]);
      await listener.close();
    });

    test("nobody listening is CONNECT_FAILED with the address", async () => {
      const listener = await transport.listen({ host, port: 0 }, () => recorder());
      await listener.close();
      const error = await transport.connect({ host, port: listener.port }, recorder()).then(
        () => undefined,
        (e: RamaError) => e,
      );
      expect(error?.code).toBe("CONNECT_FAILED");
      expect(error?.facts).toMatchObject({ host, port: listener.port });
    });

    test("a taken port is PORT_IN_USE", async () => {
      const listener = await transport.listen({ host, port: 0 }, () => recorder());
      const error = await transport
        .listen({ host, port: listener.port }, () => recorder())
        .then(
          () => undefined,
          (e: RamaError) => e,
        );
      expect(error?.code).toBe("PORT_IN_USE");
      expect(error?.facts["port"]).toBe(listener.port);
      await listener.close();
    });

    test("closing the listener closes its connections", async () => {
      const near = recorder();
      const { listener } = await pair(near, recorder());
      await listener.close();
      expect(typeof (await near.closed)).toBe("string");
    });

    test("every connection has its own number, and keeps what is put on it", async () => {
      const { listener, connection, peer } = await pair(recorder(), recorder());
      expect(connection.id).not.toBe(peer.id);
      connection.data = { session: 1 };
      expect(connection.data).toEqual({ session: 1 });
      expect(peer.data).toBeUndefined();
      await listener.close();
    });
  });
}
