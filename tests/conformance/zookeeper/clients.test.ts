// Other people's clients must not notice that the server is ours: each program runs against Apache's server and against ours and must see the same.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DevZookeeperFixture, devZookeeper } from "../../dev-zookeeper-fixture.ts";
import { needs, systemPython, zookeeperCli } from "../../needs.ts";
import { type RealZookeeper, startRealZookeeper, zookeeperClassPath } from "../../real-zookeeper.ts";

const present = needs("zookeeper");
const clientsDir = join(import.meta.dir, "clients");
let real: RealZookeeper;
let ours: DevZookeeperFixture;
let dir: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "rama-zookeeper-clients-"));
  if (!present) return;
  [real, ours] = await Promise.all([startRealZookeeper(), devZookeeper({ packetBytesMax: 0xfffff })]);
}, 40000);

afterAll(async () => {
  await real?.stop();
  await ours?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

async function run(command: string[], options: { stdin?: string; mayFail?: boolean } = {}): Promise<string[]> {
  const stdin = options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin);
  const child = Bun.spawn(command, { cwd: dir, stdin, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  if (code !== 0 && options.mayFail !== true)
    throw new Error(`${command.join(" ")} ended with ${code}:\n${out}\n${err}`);
  return `${out}\n${options.mayFail === true ? err : ""}`
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("SLF4J"));
}

async function sameOnBoth(program: (port: number) => Promise<string[]>): Promise<string[]> {
  const [theirs, mine] = await Promise.all([program(real.port), program(ours.port)]);
  expect(mine).toEqual(theirs);
  return mine;
}

test.skipIf(!present || !needs("kazoo"))(
  "kazoo sees the same: nodes, watches, transactions, ACLs, recipes, a broken connection",
  async () => {
    const lines = await sameOnBoth((port) => run([systemPython, join(clientsDir, "kazoo_client.py"), String(port)]));
    expect(lines.at(-1)).toBe("done");
  },
  60000,
);

test.skipIf(!present || !needs("gcc-zookeeper"))(
  "the C client sees the same: nodes, watches, multi, ACLs, 500 requests on the way at once",
  async () => {
    const binary = join(dir, "c_client");
    await run(["/usr/bin/gcc", "-o", binary, join(clientsDir, "c_client.c"), "-lzookeeper_mt", "-lpthread"]);
    const lines = await sameOnBoth((port) => run([binary, String(port)]));
    expect(lines.at(-1)).toBe("done");
    expect(lines).toContain("pipelined to version 501");
  },
  60000,
);

test.skipIf(!present || !needs("java"))(
  "the Java client sees the same: multiRead, persistent and recursive watches, containers, TTL nodes, a broken connection",
  async () => {
    const classPath = zookeeperClassPath(dir);
    await run(["/usr/bin/javac", "-d", dir, "-cp", classPath, join(clientsDir, "JavaClient.java")]);
    writeFileSync(join(dir, "log4j.properties"), "log4j.rootLogger=OFF\n");
    const java = ["/usr/bin/java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classPath, "JavaClient"];
    const lines = await sameOnBoth((port) => run([...java, String(port)]));
    expect(lines.at(-1)).toBe("done");
  },
  60000,
);

test.skipIf(!present)(
  "zkCli.sh sees the same",
  async () => {
    const script = await Bun.file(join(clientsDir, "zkcli.txt")).text();
    const program = async (port: number) => {
      const lines = await run([zookeeperCli, "-server", `127.0.0.1:${port}`], { stdin: script, mayFail: true });
      // Events arrive beside the answers, so only the set of lines is the same. Apache spends zxids on refusals; times are those of the run.
      return lines
        .filter((line) => !/^Connecting to|^[cm]time = /.test(line))
        .map((line) => line.replace(/Zxid = 0x[0-9a-f]+/, "Zxid"))
        .sort();
    };
    const lines = await sameOnBoth(program);
    expect(lines).toContain("WatchedEvent state:SyncConnected type:NodeDataChanged path:/w/x");
    expect(lines).toContain("Created /a/seq-0000000001");
  },
  60000,
);
