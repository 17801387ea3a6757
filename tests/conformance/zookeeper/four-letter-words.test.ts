// Monitoring reads the four-letter words by machine: ours have the lines and names that Apache's have.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { OP } from "../../../src/zookeeper/messages.ts";
import { type DevZookeeperFixture, devZookeeper } from "../../dev-zookeeper-fixture.ts";
import { needs } from "../../needs.ts";
import { fourLetterWord, type RealZookeeper, startRealZookeeper } from "../../real-zookeeper.ts";
import { WireClient } from "../../zookeeper-wire.ts";

const present = needs("zookeeper");
let real: RealZookeeper | undefined;
let ours: DevZookeeperFixture;

beforeAll(async () => {
  ours = await devZookeeper();
  if (present) real = await startRealZookeeper();
}, 40000);

afterAll(async () => {
  await real?.stop();
  await ours[Symbol.asyncDispose]();
});

/** Numbers, ids and names of the machine replaced, so that the shape is left. */
function shape(answer: string): string[] {
  return answer
    .replace(/3\.8\.0\S*, built on [^\n]*/g, "<version>")
    .replace(/expire at [^\n]*:/g, "expire at <time>:")
    .replace(/0x[0-9a-f]+/g, "<id>")
    .replace(/=[^,)\n]+/g, "=<value>")
    .replace(/\d+(\.\d+)?/g, "#")
    .split("\n");
}

async function prepare(port: number): Promise<WireClient> {
  const client = await WireClient.connect(port, { timeoutMs: 10000 });
  await client.create("/w");
  await client.create("/w/e", { flags: 1 });
  await client.read(OP.getData, "/w", true);
  await client.read(OP.getChildren, "/w", true);
  return client;
}

for (const word of [
  "ruok",
  "isro",
  "srvr",
  "stat",
  "cons",
  "dump",
  "dirs",
  "wchs",
  "wchc",
  "wchp",
  "gtmk",
  "crst",
  "srst",
]) {
  test.skipIf(!present)(`${word} has the shape of Apache's answer`, async () => {
    using theirClient = await prepare(real!.port);
    using ourClient = await prepare(ours.port);
    const [theirs, mine] = await Promise.all([
      fourLetterWord("127.0.0.1", real!.port, word),
      fourLetterWord("127.0.0.1", ours.port, word),
    ]);
    // Connections stand in no order; Apache joins those of the same expiry time under one head line in `dump`.
    const sorted = (answer: string) =>
      word === "cons" || word === "stat" || word === "dump" ? [...new Set(shape(answer))].sort() : shape(answer);
    expect(sorted(mine)).toEqual(sorted(theirs));
    for (const client of [theirClient, ourClient]) {
      await client.delete("/w/e");
      await client.delete("/w");
      await client.closeSession();
    }
  });
}

test.skipIf(!present)("mntr and conf give values that Apache gives, under the same names", async () => {
  const names = async (port: number, word: string, separator: string) =>
    (await fourLetterWord("127.0.0.1", port, word))
      .trim()
      .split("\n")
      .map((line) => line.split(separator)[0]!);
  const theirMonitor = await names(real!.port, "mntr", "\t");
  for (const name of await names(ours.port, "mntr", "\t")) expect(theirMonitor).toContain(name);
  const ourConfig = await names(ours.port, "conf", "=");
  for (const name of await names(real!.port, "conf", "=")) expect(ourConfig).toContain(name);
});

test("the values are those of this server", async () => {
  using client = await prepare(ours.port);
  const monitor = await fourLetterWord("127.0.0.1", ours.port, "mntr");
  expect(monitor).toContain("zk_server_state\tstandalone");
  expect(monitor).toContain("zk_ephemerals_count\t1");
  expect(await fourLetterWord("127.0.0.1", ours.port, "conf")).toContain(`clientPort=${ours.port}\n`);
  expect(await fourLetterWord("127.0.0.1", ours.port, "wchs")).toBe(
    "1 connections watching 1 paths\nTotal watches:1\n",
  );
  expect(await fourLetterWord("127.0.0.1", ours.port, "wchc")).toContain(`0x${client.sessionId.toString(16)}\n\t/w\n`);
  expect(await fourLetterWord("127.0.0.1", ours.port, "dump")).toContain("\t/w/e\n");
  expect(await fourLetterWord("127.0.0.1", ours.port, "envi")).toStartWith("Environment:\nzookeeper.version=3.8.0");
  expect(await fourLetterWord("127.0.0.1", ours.port, "abcd")).toBe("");
});
