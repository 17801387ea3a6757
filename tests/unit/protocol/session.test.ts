// What an engine port does with peers that do not speak the protocol: a reason and a closed connection, and nobody else notices.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { MemoryTransport } from "../../../src/net/transport-memory.ts";
import { appendHeader } from "../../../src/protocol/append.ts";
import { failureOf, failureText } from "../../../src/protocol/failure.ts";
import { FrameWriter } from "../../../src/protocol/frame-fields.ts";
import { decodeGoodbye, decodeHello, encodeHello, PEER_CLIENT } from "../../../src/protocol/hello.ts";
import { FAILURE, GOODBYE, HELLO_OK, SELECT } from "../../../src/protocol/table.ts";
import { FakeCluster } from "../../fake-engine.ts";

const hello = {
  peer: PEER_CLIENT,
  clientId: new Uint8Array(16).fill(1),
  release: "0.1.0",
  moduleInstanceId: "m1",
  features: ["x"],
} as const;

/** Sends the frames and returns what comes back until the engine closes, or until `count` frames have come. */
async function talk(cluster: FakeCluster, frames: readonly Uint8Array[], count = 99): Promise<Uint8Array[]> {
  const answers: Uint8Array[] = [];
  const transport = new MemoryTransport(cluster.network, "peer");
  await new Promise<void>((resolve, reject) => {
    const handlers = {
      onFrame: (frame: Uint8Array) => {
        answers.push(frame.slice());
        if (answers.length === count) resolve();
      },
      onClose: () => resolve(),
    };
    transport.connect({ host: "server", port: 7 }, handlers).then((connection) => {
      for (const frame of frames) connection.send(frame);
    }, reject);
  });
  return answers;
}

test("a hello is read back as it was written, and carries its version first", () => {
  expect(decodeHello(encodeHello(hello))).toEqual({ version: 1, ...hello });
  const other = encodeHello(hello);
  other[1] = 9;
  expect(() => decodeHello(other)).toThrow(expect.objectContaining({ code: "WRONG_VERSION" }));
});

test("garbage, a missing hello, a cut frame and a wrong instance close the connection with a reason", async () => {
  const cluster = new FakeCluster();
  await cluster.listen();
  const cases: [readonly Uint8Array[], string][] = [
    [[new Uint8Array([200, 1, 2, 3])], "BAD_FRAME"],
    [[new Uint8Array(0)], "BAD_FRAME"],
    [[new FrameWriter().begin(SELECT).view()], "BAD_FRAME"],
    [[encodeHello({ ...hello, moduleInstanceId: "m0" })], "MOVED"],
    [[encodeHello(hello), new Uint8Array([16, 0, 0])], "BAD_FRAME"],
    [[encodeHello(hello), new Uint8Array([77])], "BAD_FRAME"],
  ];
  for (const [frames, code] of cases) {
    const answers = await talk(cluster, frames);
    const last = answers.at(-1)!;
    expect(last[0]).toBe(GOODBYE);
    expect(decodeGoodbye(last).code).toBe(code as "MOVED");
  }
  const random = Array.from({ length: 200 }, () => crypto.getRandomValues(new Uint8Array(40)));
  for (const frame of random) await talk(cluster, [encodeHello(hello), frame, new Uint8Array([0])]);
  expect((await talk(cluster, [encodeHello(hello)], 1))[0]![0]).toBe(HELLO_OK);
});

test("records that do not fill their frame are refused before anything is stored", async () => {
  const cluster = new FakeCluster();
  await cluster.listen();
  const header = appendHeader(new FrameWriter(), {
    level: "ack",
    depot: 0,
    task: 0,
    request: 1,
    count: 2,
    sequence: 0,
  });
  const frame = new Uint8Array(header.length + 5);
  frame.set(header);
  frame[header.length] = 1;
  const answers = await talk(cluster, [encodeHello(hello), frame]);
  expect(decodeGoodbye(answers.at(-1)!).code).toBe("BAD_FRAME");
  expect(cluster.appends).toEqual([]);
});

test("a read by a path that was not prepared ends the connection; a failure is answered otherwise", async () => {
  const cluster = new FakeCluster();
  await cluster.listen();
  const select = new FrameWriter().begin(SELECT).u8(1).u16(0).u32(0).u32(1).u32(5).take();
  expect((await talk(cluster, [encodeHello(hello), select])).at(-1)![0]).toBe(GOODBYE);
  const own = new FrameWriter()
    .begin(19)
    .u16(3)
    .u32(1)
    .u32(1)
    .block(new Uint8Array([0]))
    .take();
  expect((await talk(cluster, [encodeHello(hello), own], 2)).at(-1)![0]).toBe(FAILURE);
});

test("an error keeps code, message, facts and cause over the wire", () => {
  const error = new RamaError("BAD_PARTITION", "there is no 9", { partition: 9, big: 12n }, new TypeError("inner"));
  const read = failureOf(failureText(error));
  expect(read).toMatchObject({ code: "BAD_PARTITION", message: "there is no 9", facts: { partition: 9, big: "12" } });
  expect(read.cause).toMatchObject({ name: "TypeError", message: "inner" });
  expect(failureOf(failureText(new Error("odd"))).code).toBe("INTERNAL");
});
