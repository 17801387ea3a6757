// One hostile connection after another to a port, each in a manner of its own: greeted or not, whole or damaged frames, pieces, lies about lengths, cut off, half open, never read.
// Counts what was sent and what the other side said before it closed.
import { connect, type Socket } from "node:net";
import { FrameSplitter } from "../../src/net/frame.ts";
import { GOODBYE } from "../../src/protocol/table.ts";
import { decodeGoodbye } from "../../src/protocol/hello.ts";
import { below, joined, mutated, pick, type Random, randomBytes } from "./mutate.ts";

export interface RaidTarget {
  readonly name: string;
  readonly port: number;
  /** u32 before each frame; what a frame is. Absent where frames carry it themselves. */
  readonly framed: boolean;
  /** GOODBYE frames tell why it ends. */
  readonly saysGoodbye: boolean;
  /** What a well-mannered connection begins with. */
  readonly hello?: (random: Random) => readonly Uint8Array[];
  readonly frame: (random: Random) => Uint8Array;
  /** Most frames of one connection. */
  readonly framesMax: number;
}

/** Frames are dear to make and cheap to damage: each of these is sent many times. */
const pooledFrames = 3_000;
const pools = new WeakMap<RaidTarget, Uint8Array[]>();

function pooled(target: RaidTarget, random: Random): Uint8Array {
  let pool = pools.get(target);
  if (pool === undefined) {
    pool = Array.from({ length: pooledFrames }, () => target.frame(random));
    pools.set(target, pool);
  }
  return pick(random, pool);
}

export interface RaidCounts {
  connections: number;
  frames: number;
  bytes: number;
  answers: number;
  /** The other side did not let us in, or closed on its own account before we did. */
  closedByThem: number;
  refused: number;
  readonly reasons: Map<string, number>;
}

export const noCounts = (): RaidCounts => ({
  connections: 0,
  frames: 0,
  bytes: 0,
  answers: 0,
  closedByThem: 0,
  refused: 0,
  reasons: new Map(),
});

const maxReplyBytes = 64 * 1024 * 1024;
/** Beyond, what is sent has not arrived or nobody says anything more. */
const connectionMs = 3_000;

/** Resolves when the connection is over. */
export function raid(target: RaidTarget, random: Random, counts: RaidCounts): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(target.port, "127.0.0.1");
    let mine = false;
    const timer = setTimeout(() => {
      mine = true;
      socket.destroy();
    }, connectionMs);
    socket.on("error", (error) => {
      if ((error as { code?: string }).code === "ECONNREFUSED") counts.refused++;
    });
    socket.on("close", () => {
      clearTimeout(timer);
      if (!mine) counts.closedByThem++;
      resolve();
    });
    listenTo(target, socket, counts);
    socket.on("connect", () => {
      counts.connections++;
      sendAll(target, socket, random, counts, () => {
        mine = true;
      });
    });
  });
}

function listenTo(target: RaidTarget, socket: Socket, counts: RaidCounts): void {
  const splitter = new FrameSplitter(maxReplyBytes, (frame) => {
    counts.answers++;
    if (target.saysGoodbye && frame[0] === GOODBYE) {
      const { code } = decodeGoodbye(frame);
      counts.reasons.set(code, (counts.reasons.get(code) ?? 0) + 1);
    }
    return true;
  });
  socket.on("data", (chunk) => {
    if (target.framed) splitter.push(new Uint8Array(chunk as Buffer));
    else counts.answers++;
  });
}

function sendAll(target: RaidTarget, socket: Socket, random: Random, counts: RaidCounts, leaving: () => void): void {
  const parts: Uint8Array[] = [];
  const add = (frame: Uint8Array): void => {
    counts.frames++;
    parts.push(target.framed ? joined(lengthOf(random, frame.length), frame) : frame);
  };
  if (target.hello !== undefined && random() < 0.97) for (const frame of target.hello(random)) add(frame);
  const damage = pick(random, [0, 0.001, 0.01, 0.1, 1]);
  for (let left = 1 + below(random, target.framesMax); left > 0; left--) {
    const frame = pooled(target, random);
    add(random() < damage ? mutated(random, frame) : frame);
    if (random() < 0.01 && parts.length > 1) parts.push(parts[below(random, parts.length)]!);
  }
  if (random() < 0.03) parts.push(randomBytes(random, below(random, 4000)));
  const bytes = joined(...parts);
  counts.bytes += bytes.length;
  if (random() < 0.1) {
    const cut = below(random, bytes.length);
    socket.write(bytes.subarray(0, cut));
    setTimeout(() => socket.writable && socket.write(bytes.subarray(cut)), 2);
  } else socket.write(bytes);
  const leave = pick<() => void>(random, [
    () => socket.end(),
    () => socket.end(),
    () => setTimeout(() => socket.destroy(), 20),
    () => socket.destroy(),
    () => socket.resetAndDestroy(),
    () => {
      // Half open, and deaf.
      socket.pause();
      setTimeout(() => socket.destroy(), 1000);
    },
  ]);
  setTimeout(() => {
    if (socket.destroyed) return;
    leaving();
    leave();
  }, 30);
}

/** Now and then it lies. */
function lengthOf(random: Random, length: number): Uint8Array {
  const told =
    random() < 0.9997 ? length : pick(random, [length + 1, Math.max(0, length - 1), 19_000_000, 0xffff_ffff]);
  return new Uint8Array(new Uint32Array([told]).buffer);
}
