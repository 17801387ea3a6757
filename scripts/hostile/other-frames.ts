// Frames for the ports that speak calls (conductor, supervisors, the hello ports of workers), packets for ZooKeeper's port, and requests for the HTTP ports.
import { encodeControl } from "../../src/base/codec.ts";
import { JuteWriter } from "../../src/zookeeper/jute.ts";
import { OP } from "../../src/zookeeper/messages.ts";
import { below, joined, nested, oddValue, pick, type Random, randomBytes } from "./mutate.ts";

/** kind u8 | call u32 | method u16 | body */
export function callFrame(random: Random): Uint8Array {
  const kind = random() < 0.99 ? 1 : 1 + below(random, 20);
  const header = Uint8Array.of(kind, below(random, 256), below(random, 256), 0, 0, below(random, 40), 0);
  return joined(header, controlBody(random));
}

function controlBody(random: Random): Uint8Array {
  return pick<() => Uint8Array>(random, [
    () => encodeControl({ moduleName: "NoSuchModule", side: "external" }),
    () => encodeControl({ moduleName: "NoSuchModule", topology: "none", paused: true, action: "list", choice: {} }),
    () =>
      encodeControl({
        moduleName: { $: 1 },
        options: [{}],
        bundle: "abc",
        hash: "0000",
        index: 1e9,
        bytes: new Uint8Array(9),
      }),
    () => encodeControl({ options: "all", action: "drop", choice: null }),
    () => encodeControl(plain(oddValue(random))),
    () => new Uint8Array(0),
    // Arrays in arrays; a length nobody has; the same for bytes and maps; tags.
    () => nested([0x81], pick(random, [300, 300, 50_000]), [0xf6]),
    () => Uint8Array.of(0x9a, 0x06, 0xff, 0xff, 0xff, 0xf6),
    () => Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff, 0x01),
    () => Uint8Array.of(0xba, 0x06, 0xff, 0xff, 0xff, 0x61, 0x61, 0xf6),
    () => joined(Uint8Array.of(0xd9, below(random, 256), below(random, 256)), encodeControl({ a: 1 })),
    () => randomBytes(random, below(random, 200)),
  ])();
}

/** The control codec takes plain data alone. */
function plain(value: unknown): unknown {
  return value instanceof Map || value instanceof Set ? [...value.keys()] : value;
}

export function zookeeperConnect(random: Random): Uint8Array {
  const writer = new JuteWriter(64);
  const at = writer.hole();
  writer.int(0);
  writer.longNumber(pick(random, [0, 0, 0, 2 ** 40]));
  writer.int(pick(random, [4000, 10_000, 0, -1, 0x7fff_ffff]));
  writer.longNumber(pick(random, [0, 0, 12_345]));
  writer.buffer(randomBytes(random, pick(random, [16, 16, 0, 500])));
  writer.bool(false);
  writer.closeFrame(at);
  return writer.copy();
}

/** With its length. Paths are strangers' ones; what is created is small and has one of a few names. */
export function zookeeperPacket(random: Random): Uint8Array {
  const writer = new JuteWriter(256);
  const at = writer.hole();
  const op = pick(random, [...Object.values(OP), 55, -100]);
  writer.int(pick(random, [1, 2, -2, -4, -8, 0x7fff_ffff]));
  writer.int(op);
  const path = pick(random, [
    "/hostile",
    `/hostile-${below(random, 16)}`,
    "/",
    "",
    "no-slash",
    "/a//b",
    "/x/../y",
    `/${"p".repeat(2000)}`,
  ]);
  switch (op) {
    case OP.create:
    case OP.create2:
      writer.string(path);
      writer.buffer(randomBytes(random, below(random, 500)));
      writer.int(1);
      writer.int(31);
      writer.string("world");
      writer.string("anyone");
      writer.int(pick(random, [0, 1, 99]));
      break;
    case OP.setData:
      writer.string(path);
      writer.buffer(randomBytes(random, below(random, 500)));
      writer.int(-1);
      break;
    case OP.setWatches:
    case OP.setWatches2:
      writer.longNumber(0);
      for (let lists = 0; lists < 3; lists++) {
        const long = random() < 0.1;
        writer.strings(Array.from({ length: long ? 1000 : 2 }, (_, i) => `/hostile-watch-${i}`));
      }
      break;
    case OP.multi:
      writer.int(OP.check);
      writer.bool(false);
      writer.int(-1);
      writer.string(path);
      writer.int(-1);
      writer.int(-1);
      writer.bool(true);
      writer.int(-1);
      break;
    case OP.auth:
      writer.int(0);
      writer.string(pick(random, ["digest", "x509", ""]));
      writer.buffer(randomBytes(random, 20));
      break;
    case OP.closeSession:
    case OP.ping:
      break;
    default:
      writer.string(path);
      writer.bool(random() < 0.5);
  }
  writer.closeFrame(at);
  return writer.copy();
}

const utf8 = new TextEncoder();

/** A whole request, or what begins as one. `hold`: the rest never comes. */
export function httpRequest(random: Random): { readonly bytes: Uint8Array; readonly hold: boolean } {
  const method = pick(random, ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "get"]);
  const path = pick(random, [
    "/",
    "/api/cluster",
    "/api/modules/NoSuchModule",
    "/api/modules/%00",
    "/api/modules/%E0%A4%A",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/d/bundle/..%2f..%2fetc.js",
    "/rest/%ff/depot/*x/append",
    "/rest/NoSuchModule/pstate/$$junk/select",
    "/rest/HostileModule/depot/*junk/append",
    "/rest/HostileModule/pstate/$$junk/select",
    "/rest/HostileModule/query/none/invoke",
    "/api/modules/NoSuchModule/topologies/x",
    `/${"a".repeat(20_000)}`,
    "no-slash",
  ]);
  const head = (...lines: string[]): string =>
    [`${method} ${path} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join("\r\n");
  const json = "Content-Type: application/json";
  const bodied = (body: string): string => head(json, `Content-Length: ${utf8.encode(body).length}`) + body;
  return pick<() => { bytes: Uint8Array; hold: boolean }>(random, [
    () => ({
      bytes: utf8.encode(bodied(pick(random, ["{", '{"data": {"key": "hostile"}}', "[1,", "null", "\u0000"]))),
      hold: false,
    }),
    () => ({ bytes: utf8.encode(bodied("[".repeat(100_000))), hold: false }),
    () => ({ bytes: utf8.encode(bodied(`${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`)), hold: false }),
    () => ({ bytes: utf8.encode(head(`X-Big: ${"h".repeat(200_000)}`)), hold: false }),
    () => ({ bytes: utf8.encode(head(...Array.from({ length: 3000 }, (_, i) => `X-${i}: 1`))), hold: false }),
    () => ({ bytes: utf8.encode(head(json, "Content-Length: 99999999999")), hold: false }),
    () => ({ bytes: utf8.encode(head(json, "Content-Length: -5")), hold: false }),
    () => ({ bytes: utf8.encode(`${head(json, "Content-Length: 1000")}slow`), hold: true }),
    () => ({ bytes: utf8.encode(head("Transfer-Encoding: chunked")).slice(0, -2), hold: true }),
    () => ({
      bytes: joined(utf8.encode(head("Transfer-Encoding: chunked")), utf8.encode("ffffffffffff\r\nx\r\n")),
      hold: false,
    }),
    () => ({ bytes: utf8.encode(head().repeat(20)), hold: false }),
    () => ({ bytes: utf8.encode("GET / HTTP/9.9\r\n\r\n"), hold: false }),
    () => ({ bytes: randomBytes(random, 1 + below(random, 2000)), hold: false }),
  ])();
}
