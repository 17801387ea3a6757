// The suite of the Metastore contract, run for every implementation by metastore.test.ts.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RamaError } from "../../src/base/errors.ts";
import type { Metastore, NodeValue, SessionEvent } from "../../src/metastore/metastore.ts";

export interface MetastoreServer {
  /** Sessions of one server see each other's changes. */
  open(root: string): Promise<Metastore>;
  /** Ends the session as its timeout does, while its object lives on. */
  expire?(session: Metastore): Promise<void>;
  /** The server answers nothing until `resume`; the sessions' request timeout is longer than that. */
  freeze?(): Promise<void>;
  resume?(): Promise<void>;
  /** The server ends and is there again with its data. */
  restart?(): Promise<void>;
  stop(): Promise<void>;
}

export interface MetastoreSubject {
  readonly name: string;
  readonly skip?: boolean;
  readonly timeoutMs: number;
  start(): Promise<MetastoreServer>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (node: NodeValue | undefined): string | undefined => node && new TextDecoder().decode(node.data);

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error: RamaError) => error.code ?? String(error),
  );

/** Waits for a state of a watch; fails with the last one when it does not come. */
async function until<T>(states: AsyncIterable<T>, wanted: (state: T) => boolean): Promise<T> {
  for await (const state of states) if (wanted(state)) return state;
  throw new Error("the watch has ended");
}

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export function metastoreSuite(subject: MetastoreSubject): void {
  const describeIt = subject.skip === true ? describe.skip : describe;
  describeIt(`metastore ${subject.name}`, () => {
    let server: MetastoreServer;
    const sessions: Metastore[] = [];
    let lastRoot = 0;
    beforeAll(async () => {
      server = await subject.start();
    }, 40_000);
    afterAll(async () => {
      await Promise.all(sessions.map((session) => session.close()));
      await server?.stop();
    }, 40_000);

    /** Two sessions on a tree that nobody else uses. */
    async function two(): Promise<[Metastore, Metastore]> {
      const root = `/suite-${++lastRoot}/rama`;
      const pair = [await server.open(root), await server.open(root)] as const;
      sessions.push(...pair);
      return [...pair];
    }

    const it = (name: string, fn: () => Promise<void>) => test(name, fn, subject.timeoutMs);

    it("a node is created with its parents, read, listed and removed with all below it", async () => {
      const [one, other] = await two();
      expect(await one.get("/a")).toBeUndefined();
      expect(await one.children("/a")).toEqual([]);
      expect(await one.create("/a/b/c", bytes("data"))).toBe("/a/b/c");
      expect(await one.create("/a/b/A", bytes(""))).toBe("/a/b/A");
      expect(await codeOf(one.create("/a/b/c", bytes("again")))).toBe("METASTORE_NODE_EXISTS");
      expect(await other.get("/a/b/c")).toEqual({ data: bytes("data"), version: 0, ephemeral: false });
      expect(await other.get("/a")).toEqual({ data: bytes(""), version: 0, ephemeral: false });
      expect(await other.children("/a/b")).toEqual(["A", "c"]);
      expect(await other.children("/")).toEqual(["a"]);
      await other.remove("/a");
      await other.remove("/a");
      expect(await one.get("/a/b/c")).toBeUndefined();
      expect(await one.children("/")).toEqual([]);
    });

    it("each change adds one to the version, and an expected version makes it conditional", async () => {
      const [one, other] = await two();
      expect(await one.set("/n", bytes("0"))).toBe(0);
      expect(await one.set("/n", bytes("1"))).toBe(1);
      expect(await other.set("/n", bytes("2"), 1)).toBe(2);
      expect(await codeOf(one.set("/n", bytes("x"), 1))).toBe("METASTORE_CONFLICT");
      expect(await codeOf(one.set("/none", bytes("x"), 0))).toBe("METASTORE_NO_NODE");
      expect(await codeOf(one.remove("/n", 0))).toBe("METASTORE_CONFLICT");
      expect(await codeOf(one.remove("/none", 0))).toBe("METASTORE_CONFLICT");
      await one.create("/n/child", bytes(""));
      expect(await codeOf(one.remove("/n", 2))).toBe("METASTORE_CONFLICT");
      await one.remove("/n/child", 0);
      expect(text(await one.get("/n"))).toBe("2");
      await one.remove("/n", 2);
      expect(await one.get("/n")).toBeUndefined();
    });

    it("of many conditional changes from one version exactly one succeeds", async () => {
      const [one, other] = await two();
      await one.create("/race", bytes("start"));
      const tries = Array.from({ length: 20 }, (_, i) =>
        codeOf((i % 2 ? one : other).set("/race", bytes(String(i)), 0)),
      );
      const codes = await Promise.all(tries);
      expect(codes.filter((code) => code === "no error").length).toBe(1);
      expect(codes.filter((code) => code === "METASTORE_CONFLICT").length).toBe(19);
    });

    it("sequential nodes get ten growing digits", async () => {
      const [one, other] = await two();
      const paths = [
        await one.create("/q/n-", bytes(""), { sequential: true }),
        await other.create("/q/n-", bytes(""), { sequential: true }),
        await one.create("/q/n-", bytes(""), { sequential: true, ephemeral: true }),
      ];
      expect(paths[0]).toMatch(/^\/q\/n-\d{10}$/);
      expect([...paths].sort()).toEqual(paths);
      expect(new Set(paths).size).toBe(3);
    });

    it("a multi happens as a whole or not at all, and says which op failed", async () => {
      const [one, other] = await two();
      await one.create("/m", bytes("0"));
      await one.multi([
        { kind: "check", path: "/m", expectedVersion: 0 },
        { kind: "set", path: "/m", data: bytes("1"), expectedVersion: 0 },
        { kind: "create", path: "/deep/er/x", data: bytes("x") },
        { kind: "create", path: "/e", data: bytes("e"), ephemeral: true },
      ]);
      expect(text(await other.get("/m"))).toBe("1");
      expect(text(await other.get("/deep/er/x"))).toBe("x");
      expect((await other.get("/e"))?.ephemeral).toBe(true);
      const failed = await one
        .multi([
          { kind: "set", path: "/m", data: bytes("2") },
          { kind: "remove", path: "/e" },
          { kind: "set", path: "/deep/er/x", data: bytes("y"), expectedVersion: 7 },
          { kind: "remove", path: "/m" },
        ])
        .catch((error: RamaError) => error);
      expect((failed as RamaError).code).toBe("METASTORE_CONFLICT");
      expect((failed as RamaError).facts["index"]).toBe(2);
      expect(text(await other.get("/m"))).toBe("1");
      expect(await other.get("/e")).toBeDefined();
      // Version 0 is a version, not "any".
      const stale = one.multi([{ kind: "check", path: "/m", expectedVersion: 0 }]);
      expect(await codeOf(stale)).toBe("METASTORE_CONFLICT");
      expect(await codeOf(one.multi([{ kind: "create", path: "/m", data: bytes("") }]))).toBe("METASTORE_CONFLICT");
      expect(await codeOf(one.multi([{ kind: "remove", path: "/none" }]))).toBe("METASTORE_CONFLICT");
      await one.multi([
        { kind: "remove", path: "/e" },
        { kind: "remove", path: "/m", expectedVersion: 1 },
      ]);
      expect(await other.children("/")).toEqual(["deep"]);
    });

    it("a multi that creates and removes a node happens only while the node is not there, and one that checks changes nothing", async () => {
      const [one, other] = await two();
      await one.create("/record", bytes("0"));
      await other.create("/member/x", bytes("here"), { ephemeral: true });
      const elect = (expectedVersion: number) =>
        one.multi([
          { kind: "create", path: "/member/x", data: bytes("{}") },
          { kind: "remove", path: "/member/x" },
          { kind: "set", path: "/record", data: bytes("1"), expectedVersion },
        ]);
      expect(await codeOf(elect(0))).toBe("METASTORE_CONFLICT");
      await other.multi([
        { kind: "check", path: "/record", expectedVersion: 0 },
        { kind: "check", path: "/member/x", expectedVersion: 0 },
      ]);
      expect(await one.get("/record")).toEqual({ data: bytes("0"), version: 0, ephemeral: false });
      await other.remove("/member/x");
      const check = other.multi([{ kind: "check", path: "/member/x", expectedVersion: 0 }]);
      expect(await codeOf(check)).toBe("METASTORE_CONFLICT");
      await elect(0);
      expect(text(await other.get("/record"))).toBe("1");
      expect(await other.get("/member/x")).toBeUndefined();
    });

    it("ephemeral nodes go when their session closes, and have no children", async () => {
      const [one, other] = await two();
      const third = await server.open(`/suite-${lastRoot}/rama`);
      await third.create("/live/x", bytes("here"), { ephemeral: true });
      expect(await one.get("/live/x")).toEqual({ data: bytes("here"), version: 0, ephemeral: true });
      expect(await codeOf(one.create("/live/x/y", bytes("")))).toBe("METASTORE_CONFLICT");
      await third.close();
      await until(other.watchChildren("/live", AbortSignal.timeout(10_000)), (names) => names.length === 0);
      expect(await codeOf(third.get("/live"))).toBe("METASTORE_UNAVAILABLE");
    });

    it("a watch yields the present state first and never misses the last one", async () => {
      const [one, other] = await two();
      const stop = new AbortController();
      const seen: (string | undefined)[] = [];
      const watching = (async () => {
        for await (const node of one.watch("/w", stop.signal)) {
          seen.push(text(node));
          if (seen.length === 1) await other.create("/w", bytes("a"));
          if (text(node) === "a") {
            for (let i = 0; i < 30; i++) await other.set("/w", bytes(`s${i}`));
          }
          if (text(node) === "s29") await other.remove("/w");
          if (node === undefined && seen.length > 2) break;
        }
      })();
      await watching;
      expect(seen[0]).toBeUndefined();
      expect(seen.slice(-2)).toEqual(["s29", undefined]);
      stop.abort();
    });

    it("a node that was removed and created again between two looks is seen as changed", async () => {
      const [one, other] = await two();
      await one.create("/again", bytes("1"));
      let count = 0;
      for await (const node of one.watch("/again", AbortSignal.timeout(10_000))) {
        if (++count === 1) {
          await other.remove("/again");
          await other.create("/again", bytes("2"));
        }
        if (text(node) === "2") break;
      }
      expect(count).toBeLessThanOrEqual(3);
    });

    it("watching children sees names come and go, also below a node that is not there yet", async () => {
      const [one, other] = await two();
      const seen: string[][] = [];
      for await (const names of one.watchChildren("/kids", AbortSignal.timeout(10_000))) {
        seen.push(names);
        if (names.length === 0 && seen.length === 1) await other.create("/kids/b", bytes(""));
        else if (names.length === 1 && names[0] === "b" && seen.length < 4) await other.create("/kids/a", bytes(""));
        else if (names.length === 2) await other.remove("/kids");
        else break;
      }
      expect(seen[0]).toEqual([]);
      expect(seen).toContainEqual(["a", "b"]);
      expect(seen.at(-1)).toEqual([]);
    });

    it("an aborted watch ends, at rest and before it began", async () => {
      const [one] = await two();
      const stop = new AbortController();
      let count = 0;
      const watching = (async () => {
        for await (const _ of one.watch("/x", stop.signal)) count++;
      })();
      const idle = (async () => {
        for await (const _ of one.watchChildren("/", AbortSignal.abort())) count++;
      })();
      await one.get("/x");
      await one.get("/x");
      stop.abort();
      await watching;
      await idle;
      expect(count).toBe(1);
    });

    it("a thousand requests at once are all answered", async () => {
      const [one] = await two();
      await one.create("/many/0", bytes(""));
      await Promise.all(Array.from({ length: 1_000 }, (_, i) => one.set(`/many/${i % 50}`, bytes(String(i)))));
      expect((await one.children("/many")).length).toBe(50);
      let versions = 0;
      for (let i = 0; i < 50; i++) versions += (await one.get(`/many/${i}`))!.version;
      expect(versions).toBe(1_000 - 49);
    });

    it("data up to 500 KB passes, and a path that is none is refused", async () => {
      const [one] = await two();
      const large = new Uint8Array(500_000).fill(7);
      await one.set("/large", large);
      expect((await one.get("/large"))?.data).toEqual(large);
      expect(await codeOf(one.set("/larger", new Uint8Array(1_100_000)))).toBe("TOO_LARGE");
      expect(await codeOf(one.create("/larger", new Uint8Array(1_100_000)))).toBe("TOO_LARGE");
      const halves = ["/h1", "/h2", "/h3"].map((path) => ({ kind: "create", path, data: large }) as const);
      expect(await codeOf(one.multi(halves))).toBe("TOO_LARGE");
      expect(await codeOf(one.get("no-slash"))).toBe("BAD_VALUE");
      expect(await codeOf(one.get("/a//b"))).toBe("BAD_VALUE");
    });

    const disturbed = (name: string, can: () => boolean, fn: () => Promise<void>) =>
      it(name, async () => {
        if (can()) await fn();
      });

    disturbed(
      "a lost session is renewed with its ephemerals and their last data, and its watches go on",
      () => server.expire !== undefined,
      async () => {
        const [one, other] = await two();
        const events: SessionEvent[] = [];
        const renewed = Promise.withResolvers<void>();
        one.onSession((event) => {
          events.push(event);
          if (event === "renewed") renewed.resolve();
        });
        await one.create("/e/mine", bytes("first"), { ephemeral: true });
        await one.set("/e/mine", bytes("second"));
        await one.create("/e/removed", bytes(""), { ephemeral: true });
        await one.remove("/e/removed");
        const states: (string | undefined)[] = [];
        const stop = new AbortController();
        const seeing = Promise.withResolvers<void>();
        const watching = (async () => {
          for await (const node of one.watch("/watched", stop.signal)) {
            states.push(text(node));
            if (states.length === 1) seeing.resolve();
            if (text(node) === "after") return;
          }
        })();
        await seeing.promise;
        // A server that was held up may hear of the session before it looks at its age: then it is held up again.
        let isRenewed = false;
        void renewed.promise.then(() => {
          isRenewed = true;
        });
        while (!isRenewed) {
          await server.expire!(one);
          await Promise.race([renewed.promise, later(5_000)]);
        }
        await until(other.watch("/e/mine", AbortSignal.timeout(20_000)), (node) => text(node) === "second");
        expect(await other.children("/e")).toEqual(["mine"]);
        await other.set("/watched", bytes("after"));
        await watching;
        stop.abort();
        expect(states).toEqual([undefined, "after"]);
        expect(events[events.indexOf("renewed") - 1]).toBe("disconnected");
      },
    );

    disturbed(
      "requests during an outage are answered after it, and the session lives",
      () => server.freeze !== undefined,
      async () => {
        const [one] = await two();
        await one.create("/before", bytes("x"));
        await server.freeze!();
        const during = [one.get("/before"), one.set("/during", bytes("y")).then(() => one.get("/during"))];
        await server.resume!();
        expect((await Promise.all(during)).map(text)).toEqual(["x", "y"]);
      },
    );

    disturbed(
      "after a restart of the server the same session goes on, with data, ephemerals and watches",
      () => server.restart !== undefined,
      async () => {
        const [one, other] = await two();
        await one.create("/kept", bytes("x"));
        await one.create("/alive", bytes("y"), { ephemeral: true });
        let seen = 0;
        const watching = (async () => {
          for await (const node of one.watch("/kept", AbortSignal.timeout(30_000))) {
            seen++;
            if (text(node) === "z") return;
          }
        })();
        await one.get("/kept");
        await server.restart!();
        await other.set("/kept", bytes("z"));
        await watching;
        expect(seen).toBe(2);
        expect(text(await other.get("/alive"))).toBe("y");
      },
    );
  });
}
