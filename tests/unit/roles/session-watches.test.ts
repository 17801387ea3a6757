// The engine's side of a connection's proxies: which of them a beat keeps, which silence ends, what the client is told.
import { expect, test } from "bun:test";
import type { Connection } from "../../../src/net/transport.ts";
import { NewValueDiff } from "../../../src/paths/diff.ts";
import { FrameWriter } from "../../../src/protocol/frame-fields.ts";
import {
  decodeBeat,
  decodeDiff,
  encodeBeat,
  encodeUnwatch,
  watchOf,
  watchSilenceMs,
} from "../../../src/protocol/proxy.ts";
import { DIFF, WATCH_ENDED } from "../../../src/protocol/table.ts";
import { RamaError } from "../../../src/base/errors.ts";
import type { EngineRequests } from "../../../src/roles/worker/requests.ts";
import { SessionWatches } from "../../../src/roles/worker/session-watches.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import type { WatchSink } from "../../../src/task/proxies.ts";

function started() {
  const env = new SimulatedEnv({ seed: 1 });
  const frames: Uint8Array[] = [];
  const connection = { remote: "c", unsentBytes: 0, send: (frame: Uint8Array) => frames.push(frame.slice()) };
  const sinks: WatchSink[] = [];
  const closed: number[] = [];
  const requests = {
    log: env.log,
    answerBytesMax: 1000,
    watch: (_pstate: number, _task: number, _path: unknown, _args: unknown, sink: WatchSink) => {
      const number = sinks.push(sink) - 1;
      return { close: () => closed.push(number) };
    },
  };
  const watches = new SessionWatches(connection as unknown as Connection, requests as unknown as EngineRequests, env);
  const answers: unknown[] = [];
  const open = (watch: number) =>
    watches.open(watch, { pstate: 0, task: 0, path: { spec: "", selects: [] }, args: [] }, (error, answer) =>
      answers.push(error?.code ?? answer),
    );
  return { env, frames, connection, sinks, closed, watches, answers, open };
}

const writer = new FrameWriter();

test("a beat keeps what it lists, ends the rest and tells what is not known", () => {
  const { watches, open, closed, frames } = started();
  for (const watch of [1, 2, 3]) open(watch);
  watches.onFrame(encodeBeat(writer, [1, 3, 9]).slice());
  expect(closed).toEqual([1]);
  expect(decodeBeat(frames[0]!)).toEqual([9]);
  watches.onFrame(encodeUnwatch(writer, 3).slice());
  expect(closed).toEqual([1, 2]);
});

test("a client that beats keeps its proxies; silence ends them", async () => {
  const { env, watches, open, closed } = started();
  open(1);
  for (let i = 0; i < 6; i++) {
    await env.advance(watchSilenceMs - 1000);
    watches.onFrame(encodeBeat(writer, [1]).slice());
  }
  expect(closed).toEqual([]);
  await env.advance(2 * watchSilenceMs);
  expect(closed).toEqual([0]);
});

test("diffs are numbered from one; what is too large or cannot be carried out ends the subscription", () => {
  const { sinks, frames, answers, open, closed } = started();
  open(7);
  sinks[0]!.started("now", 500);
  expect(answers).toEqual([["now", 500]]);
  for (const value of [1, 2]) sinks[0]!.changed({ diff: new NewValueDiff(value) }, value);
  expect(
    frames.map((frame) => [frame[0], watchOf(frame), decodeDiff(frame).number, decodeDiff(frame).checksum]),
  ).toEqual([
    [DIFF, 7, 1, 1],
    [DIFF, 7, 2, 2],
  ]);
  sinks[0]!.changed({ diff: new NewValueDiff("x".repeat(2000)) }, 3);
  expect([frames[2]![0], closed.includes(0)]).toEqual([WATCH_ENDED, true]);
  open(8);
  sinks[1]!.ended(new RamaError("NOT_EXACTLY_ONE", "none"));
  expect(answers[1]).toBe("NOT_EXACTLY_ONE");
  expect(frames.length).toBe(3);
});

test("a connection that holds too much unsent is not ready for diffs", () => {
  const { sinks, connection, open } = started();
  open(1);
  expect(sinks[0]!.ready).toBe(true);
  connection.unsentBytes = 2 ** 21;
  expect(sinks[0]!.ready).toBe(false);
});
