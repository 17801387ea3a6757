// A ZooKeeper session over a client that the test plays, on a simulated clock: what real servers show only by luck - a renewal that breaks in the middle, a
// ping that is not answered, requests that were out when the connection broke.
import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import {
  type ZookeeperClient,
  type ZookeeperError,
  type ZookeeperLibrary,
  ZookeeperSession,
} from "../../../src/metastore/zookeeper-session.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";

type Done = (error: ZookeeperError, value: unknown) => void;

/** One connection; the test says what happens on it. */
class PlayedClient {
  readonly listeners = new Map<string, () => void>();
  readonly sent: { path: string; done: Done }[] = [];
  readonly sessionId: Buffer | undefined;
  answersPings = true;
  destroyed = false;
  connectionManager = { connect() {}, zxid: Buffer.alloc(8), socket: { destroy: () => this.#destroy() } };

  constructor(sessionId: Buffer | undefined) {
    this.sessionId = sessionId;
  }

  #destroy(): void {
    this.destroyed = true;
  }
  connect(): void {}
  close(): void {
    this.emit("disconnected");
  }
  on(event: string, listener: () => void): void {
    this.listeners.set(event, listener);
  }
  removeAllListeners(): void {
    this.listeners.clear();
  }
  emit(event: "connected" | "disconnected" | "expired"): void {
    this.listeners.get(event)?.();
  }
  getSessionId(): Buffer {
    return this.sessionId ?? Buffer.from("session1");
  }
  getSessionPassword(): Buffer {
    return Buffer.alloc(16);
  }
  getSessionTimeout(): number {
    return 3_000;
  }
  exists(path: string, _watcher: unknown, done: Done): void {
    if (path !== "/zookeeper") this.sent.push({ path, done });
    else if (this.answersPings) done(null, {});
  }
}

function played(onRenewed: (client: ZookeeperClient) => Promise<void> = async () => {}) {
  const env = new SimulatedEnv({ seed: 1 });
  const clients: PlayedClient[] = [];
  const servers: string[] = [];
  const events: string[] = [];
  const library = {
    createClient(list: string, options: { sessionId?: Buffer }) {
      servers.push(list);
      const client = new PlayedClient(options.sessionId);
      clients.push(client);
      return client as unknown as ZookeeperClient;
    },
    Exception: { CONNECTION_LOSS: -4, SESSION_EXPIRED: -112 },
  } as unknown as ZookeeperLibrary;
  const session = new ZookeeperSession(env, library, {
    servers: ["a:1", "b:2"],
    sessionTimeoutMs: 3_000,
    connectTimeoutMs: 1_000,
    requestTimeoutMs: 8_000,
    onRenewed,
    onConnected: () => void events.push("connected"),
    onDisconnected: () => void events.push("disconnected"),
  });
  const ask = (path: string, repeatable = true) =>
    session
      .request<unknown>(repeatable, (client, done) => client.exists(path, undefined, done))
      .catch((error: RamaError) => `${error.code} sent=${error.facts["sent"]}`);
  const last = () => clients.at(-1)!;
  return { env, clients, servers, events, session, ask, last };
}

test("requests wait for the connection, and no more than 250 are out at once", async () => {
  const { env, ask, last } = played();
  const all = Array.from({ length: 600 }, (_, i) => ask(`/${i}`));
  await env.advance(10);
  expect(last().sent.length).toBe(0);
  last().emit("connected");
  expect(last().sent.length).toBe(250);
  for (let i = 0; i < 600; i++) last().sent[i]!.done(null, i);
  expect(await Promise.all(all)).toEqual(Array.from({ length: 600 }, (_, i) => i));
});

test("a server that does not answer our ping is left within two thirds of the session timeout, for the next server and in the same session", async () => {
  const { env, clients, servers, events, last } = played();
  last().emit("connected");
  await env.advance(10_000);
  expect(clients.length).toBe(1);
  last().answersPings = false;
  await env.advance(2_100);
  expect(clients[0]!.destroyed).toBe(true);
  expect(clients.length).toBe(2);
  expect(clients[1]!.sessionId?.toString()).toBe("session1");
  expect(servers).toEqual(["a:1,b:2", "b:2,a:1"]);
  expect(events).toEqual(["connected", "disconnected"]);
});

test("a server that accepts and says nothing is left after the connect timeout", async () => {
  const { env, clients } = played();
  await env.advance(5_000);
  expect(clients.length).toBeGreaterThanOrEqual(3);
  expect(clients.slice(0, -1).every((client) => client.destroyed)).toBe(true);
});

test("of the requests that were out when the connection broke, the repeatable ones are sent again, the others have an unknown outcome", async () => {
  const { env, ask, last } = played();
  last().emit("connected");
  const [read, change] = [ask("/read"), ask("/change", false)];
  const before = last();
  before.emit("disconnected");
  expect(await change).toBe("METASTORE_UNAVAILABLE sent=true");
  await env.advance(100);
  last().emit("connected");
  expect(last().sent.map(({ path }) => path)).toEqual(["/read"]);
  // What the old connection still says is of no interest.
  before.sent[0]!.done(null, "stale");
  last().sent[0]!.done(null, "fresh");
  expect(await read).toBe("fresh");
});

test("requests of an outage end with METASTORE_UNAVAILABLE after their timeout", async () => {
  const { env, ask } = played();
  const waiting = ask("/x");
  expect(await env.complete(waiting)).toBe("METASTORE_UNAVAILABLE sent=false");
  expect(env.monotonicMs()).toBeGreaterThanOrEqual(8_000);
});

test("after an expiry a new session is opened and renewed before requests flow, again if the renewal is interrupted", async () => {
  const renewals: (() => void)[] = [];
  const { env, clients, ask, last } = played(
    (client) =>
      new Promise((resolve, reject) => {
        renewals.push(resolve);
        client.on("disconnected", () => reject(new Error("broken")));
      }),
  );
  last().emit("connected");
  last().emit("expired");
  await env.advance(100);
  expect(last().sessionId).toBeUndefined();
  const waiting = ask("/x");
  last().emit("connected");
  expect([renewals.length, last().sent.length]).toEqual([1, 0]);
  last().emit("disconnected");
  await env.advance(1_000);
  expect(clients.length).toBeGreaterThan(2);
  // The session of the interrupted renewal goes on, and is renewed as a whole.
  last().emit("connected");
  expect([renewals.length, last().sent.length]).toEqual([2, 0]);
  renewals[1]!();
  await env.advance(1);
  expect(last().sent.length).toBe(1);
  last().sent[0]!.done(null, "answer");
  expect(await waiting).toBe("answer");
});

test("closing ends what waits, and nothing is tried any more", async () => {
  const { env, clients, session, ask, last } = played();
  last().emit("connected");
  const waiting = ask("/x");
  await env.complete(session.close());
  expect(await waiting).toBe("METASTORE_UNAVAILABLE sent=undefined");
  await env.advance(60_000);
  expect(clients.length).toBe(1);
  expect(await ask("/y")).toBe("METASTORE_UNAVAILABLE sent=undefined");
});
