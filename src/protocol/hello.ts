// The first frame of each direction on an engine port, and the last one.
//   HELLO    := kind | version u16 | peer u8 | client id [16] | release text | module instance text | feature count u16 | feature text*
//   HELLO_OK := kind | version u16 | release text | feature count u16 | feature text*
//   GOODBYE  := kind | code text | message text
// The version stands first for ever, so that any two releases can tell that they do not understand each other. A client names the module instance that its
// routes are for; an engine of another instance answers GOODBYE MOVED.
import { isErrorCode, RamaError } from "../base/errors.ts";
import { badFrame, FrameReader, FrameWriter } from "./frame-fields.ts";
import { GOODBYE, HELLO, HELLO_OK, PROTOCOL_VERSION } from "./table.ts";

export const CLIENT_ID_BYTES = 16;
export const PEER_CLIENT = 0;
export const PEER_ENGINE = 1;

export interface Hello {
  readonly version: number;
  readonly peer: typeof PEER_CLIENT | typeof PEER_ENGINE;
  /** Random, one per client object; append tokens count in it. */
  readonly clientId: Uint8Array;
  readonly release: string;
  readonly moduleInstanceId: string;
  readonly features: readonly string[];
}

export interface HelloOk {
  readonly version: number;
  readonly release: string;
  readonly features: readonly string[];
}

export function encodeHello(hello: Omit<Hello, "version">): Uint8Array {
  const writer = new FrameWriter(128).begin(HELLO).u16(PROTOCOL_VERSION).u8(hello.peer).raw(hello.clientId);
  writer.text(hello.release).text(hello.moduleInstanceId);
  return writeTexts(writer, hello.features).take();
}

/** WRONG_VERSION when the peer speaks another version of the protocol. */
export function decodeHello(frame: Uint8Array): Hello {
  const reader = new FrameReader(frame, 0);
  if (reader.u8() !== HELLO) throw badFrame("the first frame must be a hello");
  const version = checkVersion(reader.u16());
  const peer = reader.u8();
  if (peer !== PEER_CLIENT && peer !== PEER_ENGINE) throw badFrame(`unknown kind of peer ${peer}`);
  const clientId = reader.raw(CLIENT_ID_BYTES).slice();
  return {
    version,
    peer,
    clientId,
    release: reader.text(),
    moduleInstanceId: reader.text(),
    features: readTexts(reader),
  };
}

export function encodeHelloOk(answer: Omit<HelloOk, "version">): Uint8Array {
  const writer = new FrameWriter(64).begin(HELLO_OK).u16(PROTOCOL_VERSION).text(answer.release);
  return writeTexts(writer, answer.features).take();
}

export function decodeHelloOk(frame: Uint8Array): HelloOk {
  const reader = new FrameReader(frame, 0);
  if (reader.u8() !== HELLO_OK) throw badFrame("the answer to a hello was expected");
  return { version: checkVersion(reader.u16()), release: reader.text(), features: readTexts(reader) };
}

export function encodeGoodbye(error: RamaError): Uint8Array {
  return new FrameWriter(64).begin(GOODBYE).text(error.code).text(error.message).take();
}

export function decodeGoodbye(frame: Uint8Array): RamaError {
  const reader = new FrameReader(frame);
  const code = reader.text();
  return new RamaError(isErrorCode(code) ? code : "CONNECTION_LOST", reader.text());
}

function checkVersion(version: number): number {
  if (version !== PROTOCOL_VERSION) {
    throw new RamaError(
      "WRONG_VERSION",
      `the peer speaks version ${version} of the protocol, this release speaks ${PROTOCOL_VERSION}`,
      { version, ours: PROTOCOL_VERSION },
    );
  }
  return version;
}

function writeTexts(writer: FrameWriter, texts: readonly string[]): FrameWriter {
  writer.u16(texts.length);
  for (const text of texts) writer.text(text);
  return writer;
}

function readTexts(reader: FrameReader): string[] {
  const texts: string[] = [];
  for (let left = reader.u16(); left > 0; left--) texts.push(reader.text());
  return texts;
}
