// Apache ZooKeeper from Debian's jars, on 127.0.0.1 in a temporary directory: the peer that our ZooKeeper metastore and our own server are
// held against. Ask `needs("zookeeper")` first. Starts in about a second on an idle machine.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const jarDir = "/usr/share/java";
const exactJars = [
  "zookeeper",
  "zookeeper-jute",
  "slf4j-api",
  "slf4j-log4j12",
  "log4j-1.2",
  "commons-cli",
  "commons-io",
  "metrics-core",
  "snappy-java",
];
const jarPrefixes = ["netty", "jackson"];

export interface RealZookeeper {
  readonly host: string;
  readonly port: number;
  /** Ends the server and removes its directory. */
  stop(): Promise<void>;
  /** Like kill -9; `restart` brings the same data back on the same port. */
  kill(): Promise<void>;
  /** The process keeps its sockets and answers nothing, until `resume`. */
  freeze(): void;
  resume(): void;
  restart(): Promise<void>;
}

/** Class path of Debian's ZooKeeper; `first` goes in front of it. */
export function zookeeperClassPath(...first: string[]): string {
  const all = readdirSync(jarDir).filter((name) => name.endsWith(".jar"));
  const exact = exactJars.map((name) => `${name}.jar`).filter((name) => all.includes(name));
  // Debian carries each jar twice, with and without its version: the plain names suffice.
  const prefixed = all.filter((name) => jarPrefixes.some((prefix) => name.startsWith(prefix)) && !/-\d/.test(name));
  return [...first, ...[...exact, ...prefixed].map((name) => join(jarDir, name))].join(":");
}

export async function startRealZookeeper(
  options: { host?: string; tickTimeMs?: number; minSessionTimeoutMs?: number } = {},
): Promise<RealZookeeper> {
  const dir = mkdtempSync(join(tmpdir(), "rama-real-zookeeper-"));
  const host = options.host ?? "127.0.0.1";
  const port = await freePort(host);
  mkdirSync(join(dir, "conf"));
  writeFileSync(join(dir, "conf", "log4j.properties"), logConfig(join(dir, "zookeeper.log")));
  const config = join(dir, "zoo.cfg");
  writeFileSync(
    config,
    [
      `tickTime=${options.tickTimeMs ?? 500}`,
      `minSessionTimeout=${options.minSessionTimeoutMs ?? 1000}`,
      `dataDir=${join(dir, "data")}`,
      `clientPort=${port}`,
      `clientPortAddress=${host}`,
      "maxClientCnxns=0",
      "admin.enableServer=false",
      "4lw.commands.whitelist=*",
      "extendedTypesEnabled=true",
      "",
    ].join("\n"),
  );
  const command = [
    "/usr/bin/java",
    "-Xmx192m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dzookeeper.extendedTypesEnabled=true",
    "-cp",
    zookeeperClassPath(join(dir, "conf")),
    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    config,
  ];
  const spawn = () => Bun.spawn(command, { cwd: dir, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  let child = spawn();
  const end = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const untilUp = async () => {
    const deadline = performance.now() + 30000;
    // "ruok" is answered before the server serves requests; "srvr" names its mode only afterwards.
    while (!(await fourLetterWord(host, port, "srvr").catch(() => "")).includes("Mode: ")) {
      if (child.exitCode !== null)
        throw new Error(`Apache ZooKeeper ended with ${child.exitCode}; see ${dir}/zookeeper.log`);
      if (performance.now() > deadline)
        throw new Error(`Apache ZooKeeper does not answer on port ${port}; see ${dir}/zookeeper.log`);
      await Bun.sleep(50);
    }
  };
  try {
    await untilUp();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    host,
    port,
    stop: async () => {
      await end();
      rmSync(dir, { recursive: true, force: true });
    },
    kill: end,
    freeze: () => child.kill("SIGSTOP"),
    resume: () => child.kill("SIGCONT"),
    restart: async () => {
      await end();
      child = spawn();
      await untilUp();
    },
  };
}

/** Sends a four-letter word and resolves with everything that the server answers until it closes. */
export function fourLetterWord(host: string, port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    let answer = "";
    socket.setTimeout(5000, () => socket.destroy(new Error(`no answer to ${word}`)));
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      answer += chunk.toString("utf8");
    });
    socket.on("close", () => resolve(answer));
    socket.connect(port, host, () => socket.write(word));
  });
}

function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, host, () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

function logConfig(file: string): string {
  return [
    "log4j.rootLogger=INFO, FILE",
    "log4j.appender.FILE=org.apache.log4j.FileAppender",
    `log4j.appender.FILE.File=${file}`,
    "log4j.appender.FILE.layout=org.apache.log4j.PatternLayout",
    "log4j.appender.FILE.layout.ConversionPattern=%d %p %c: %m%n",
    "",
  ].join("\n");
}
