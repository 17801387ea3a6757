// Frames for an engine port: every kind that clients, engines and leaders send, with numbers from within and from without what there is. They name only what is not part of the good
// clients' business (depot and PState "junk"), so that damage alone can reach that.
import { encodeValue } from "../../src/base/value-codec.ts";
import { Path } from "../../src/client.ts";
import { encodePath } from "../../src/paths/path-codec.ts";
import { ACK_LEVELS, appendHeader, encodeChoosePartitions } from "../../src/protocol/append.ts";
import {
  encodeFetchDepot,
  encodeOffsetAt,
  encodePartitionInfo,
  encodeReadDepot,
} from "../../src/protocol/depot-read.ts";
import { eventsHeader } from "../../src/protocol/event.ts";
import { FrameWriter } from "../../src/protocol/frame-fields.ts";
import { encodeHello, PEER_CLIENT, PEER_ENGINE } from "../../src/protocol/hello.ts";
import { encodeBeat, encodeUnwatch, encodeWatch } from "../../src/protocol/proxy.ts";
import { encodeInvoke } from "../../src/protocol/query.ts";
import { encodeChooseTask, encodePreparePath, encodeSelect } from "../../src/protocol/read.ts";
import {
  encodeReplicaAgreed,
  encodeReplicaDurable,
  encodeReplicaHello,
  encodeReplicaState,
  entriesHead,
} from "../../src/protocol/replication.ts";
import { REPLICA_HELLO } from "../../src/protocol/table.ts";
import { below, joined, nested, oddValue, pick, type Random, randomBytes } from "./mutate.ts";

export interface EngineTarget {
  readonly moduleInstanceId: string;
  readonly release: string;
  /** Numbers of what hostile frames may touch. */
  readonly depot: number;
  readonly pstate: number;
  readonly query: number;
  readonly tasks: number;
}

const writer = new FrameWriter(4096);
/** An array of one in the value codec, as its encoder writes it. */
const arrayOfOne = [...encodeValue([null])].slice(0, -1);

function valueBytes(random: Random): Uint8Array {
  if (random() < 0.03) return nested(arrayOfOne, 10_000, [0]);
  return encodeValue(oddValue(random));
}

export function engineHello(
  random: Random,
  target: EngineTarget,
  peer: "client" | "engine",
  right: boolean,
): Uint8Array {
  return encodeHello({
    peer: peer === "client" ? PEER_CLIENT : PEER_ENGINE,
    clientId: randomBytes(random, 16),
    release: target.release,
    moduleInstanceId: right ? target.moduleInstanceId : `${target.moduleInstanceId}-of-another`,
    features: ["append-tokens", "no-such-feature"],
  });
}

const shapes = [
  [],
  ...[Path.key("hostile"), Path.key("hostile").nullToVal(0), Path.all(), Path.key("a", "b", "c")].map(
    (path: Path) => path.steps,
  ),
].map((steps) => encodePath(steps).shape);

/** Numbers of paths that a connection has prepared at its beginning. */
const paths = 8;

/** After the hello: paths for all numbers that are used later. */
export function preparations(random: Random): Uint8Array[] {
  return Array.from({ length: paths }, (_, path) => encodePreparePath(writer, path, pick(random, shapes)).slice());
}

export function engineFrame(random: Random, t: EngineTarget): Uint8Array {
  // What ends the connection at once, whatever else is in it.
  if (random() < 0.01) return fatalFrame(random, t);
  const task = random() < 0.85 ? below(random, t.tasks) : pick(random, [t.tasks, 0xffff_ffff, 1000]);
  const request = below(random, 1_000_000);
  const depot = random() < 0.9 ? t.depot : 500;
  const pstate = random() < 0.9 ? t.pstate : 500;
  const path = below(random, paths);
  const ask = { depot, task, request };
  const offset = () => pick(random, [0, 1, 5, 2 ** 40, below(random, 1000)]);
  const args = () => (random() < 0.97 ? encodeValue([oddValue(random)]) : valueBytes(random));
  return pick<() => Uint8Array>(random, [
    () => appendFrame(random, depot, task, request),
    () => encodePreparePath(writer, path, pick(random, shapes)).slice(),
    () => joined(encodeSelect(writer, { one: random() < 0.5, pstate, task, request, path }, []), args()),
    () => encodeWatch(writer, { pstate, task, request, watch: below(random, 2 ** 31), path, args: args() }).slice(),
    () => encodeUnwatch(writer, below(random, 20)).slice(),
    () => encodeBeat(writer, [below(random, 20), below(random, 20), 0xffff_ffff]).slice(),
    () => encodePartitionInfo(writer, ask).slice(),
    () => encodeReadDepot(writer, { ...ask, from: offset(), to: offset() }).slice(),
    () =>
      encodeFetchDepot(writer, {
        ...ask,
        from: offset(),
        to: offset(),
        bytes: pick(random, [0, 100, 0xffff_ffff]),
        waitMs: pick(random, [0, 10, 0xffff_ffff]),
        consumer: pick(random, ["", `consumer-${below(random, 5000)}`]),
        neededFrom: offset(),
      }).slice(),
    () => encodeOffsetAt(writer, { ...ask, ms: pick(random, [0, -1, 1e300, Number.NaN]) }).slice(),
    () => encodeChoosePartitions(writer, { depot, request, count: 1, records: record(random) }).slice(),
    () => encodeChooseTask(writer, { pstate, request, key: args() }).slice(),
    () => encodeInvoke(writer, { query: pick(random, [t.query, 500]), task, request, args: args() }).slice(),
  ])();
}

/** Of another engine of the module; a client that sends it is cut off. */
export function eventsFrame(random: Random, t: EngineTarget): Uint8Array {
  return joined(eventsHeader(writer, below(random, t.tasks)), eventMessage(random, t));
}

function fatalFrame(random: Random, t: EngineTarget): Uint8Array {
  return pick<() => Uint8Array>(random, [
    () => replicaFrame(random),
    () => engineHello(random, t, "client", random() < 0.5),
    () => new Uint8Array(0),
    () => eventsFrame(random, t),
    () => encodePreparePath(writer, 5000, pick(random, shapes)).slice(),
    () => encodePreparePath(writer, 1, randomBytes(random, 70_000)).slice(),
  ])();
}

function record(random: Random): Uint8Array {
  const value = valueBytes(random);
  const bytes = new Uint8Array(4 + value.length);
  new DataView(bytes.buffer).setUint32(0, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function appendFrame(random: Random, depot: number, task: number, request: number): Uint8Array {
  const count = 1 + below(random, 3);
  const records = Array.from({ length: count }, () => record(random));
  const level = pick(random, ACK_LEVELS);
  const header = appendHeader(writer, { level, depot, task, request, count, sequence: below(random, 1e6) });
  return joined(header, ...records);
}

/** As `task/event-codec.ts` has it: all six kinds, in part with topologies, stages and tasks that there are not. */
function eventMessage(random: Random, t: EngineTarget): Uint8Array {
  const number = () => below(random, 127);
  const f64 = (value: number) => new Uint8Array(new Float64Array([value]).buffer);
  const low = () => pick(random, [0, 1, 2, 3, number()]);
  // A million and up to twelve: what engines tell each other about microbatches.
  const stage = () => (random() < 0.7 ? [low()] : [0xc0 + below(random, 13), 0x84, 0x3d]);
  const task = () => pick(random, [below(random, t.tasks), number()]);
  const value = () => valueBytes(random);
  const tree = () => f64(pick(random, [random() * 2 ** 53, 0, Number.NaN, -1]));
  return pick<() => Uint8Array>(random, [
    () =>
      joined(
        Uint8Array.of(1, low(), ...stage(), task(), task()),
        tree(),
        tree(),
        Uint8Array.of(...(random() < 0.5 ? [0, 0, 0, 0] : [9, 9, 9, 9, 5, 2, 1, 1, 1, 1])),
        value(),
      ),
    () => joined(Uint8Array.of(2, low()), tree(), tree(), Uint8Array.of(1), value()),
    () => joined(Uint8Array.of(3, low()), tree(), Uint8Array.of(2, 0x7b, 0x7d)),
    () => joined(Uint8Array.of(4, low(), task(), task()), tree(), value()),
    () => joined(Uint8Array.of(5), tree(), Uint8Array.of(0), value()),
    () => joined(Uint8Array.of(6, low(), task()), tree()),
  ])();
}

/** Of a leader that nobody elected: data ids, groups and epochs that are not ours. */
export function replicaFrame(random: Random): Uint8Array {
  const epoch = pick(random, [0, 1, 2, 0xffff_ffff]);
  const from = pick(random, [0, 1, 1000]);
  return pick<() => Uint8Array>(random, [
    () => encodeReplicaHello({ dataId: "nobody's data", group: below(random, 10), epoch, leader: 1 }),
    () => encodeReplicaState({ listens: true, epoch, applied: 0, end: from, runs: [{ epoch: 1, start: 0 }] }),
    () => encodeReplicaAgreed(epoch, from),
    () => joined(entriesHead(writer, { epoch, committed: from, from, count: 3 }), randomBytes(random, 60)),
    () => encodeReplicaDurable(epoch, from),
    // Any of the others, with nothing that belongs there.
    () => joined(Uint8Array.of(REPLICA_HELLO + below(random, 10)), randomBytes(random, below(random, 60))),
  ])();
}
