// Which parts of the operating system a test may use. `npm test` must pass on a machine without them, and must say what it left out, so every
// such test asks here:
//   test.skipIf(!needs("kazoo"))("a kazoo lock is handed over", ...)
// A part that is missing is told once on the terminal and, when RAMA_SKIPS_FILE names a file, appended to it as one line
//   part<TAB>Debian package<TAB>what was skipped
// With RAMA_REQUIRE_ALL=1 (the full check) a missing part is an error, never a silent skip.

import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";

export type Part = "zookeeper" | "kazoo" | "chromium" | "gcc-zookeeper" | "java" | "namespaces" | "network-namespaces";

interface PartFacts {
  readonly packages: string;
  readonly skipped: string;
  readonly present: () => boolean;
}

export const systemPython = "/usr/bin/python3";
export const systemChromium = "/usr/bin/chromium";
export const zookeeperJar = "/usr/share/java/zookeeper.jar";
export const zookeeperCli = "/usr/share/zookeeper/bin/zkCli.sh";

const facts: Record<Part, PartFacts> = {
  zookeeper: {
    packages: "zookeeper",
    skipped: "tests against Apache ZooKeeper and its zkCli.sh",
    present: () => existsSync("/usr/bin/java") && existsSync(zookeeperJar) && existsSync(zookeeperCli),
  },
  kazoo: {
    packages: "python3-kazoo",
    skipped: "devZookeeper with kazoo as its client",
    present: () => existsSync(systemPython) && existsSync("/usr/lib/python3/dist-packages/kazoo"),
  },
  chromium: {
    packages: "chromium",
    skipped: "the Cluster UI in a browser",
    present: () => existsSync(systemChromium),
  },
  "gcc-zookeeper": {
    packages: "gcc libc6-dev libzookeeper-mt-dev",
    skipped: "devZookeeper with the C client",
    present: () => existsSync("/usr/bin/gcc") && existsSync("/usr/include/zookeeper/zookeeper.h"),
  },
  java: {
    packages: "openjdk-17-jdk-headless libzookeeper-java",
    skipped: "devZookeeper with the Java client",
    present: () => existsSync("/usr/bin/java") && existsSync("/usr/bin/javac") && existsSync(zookeeperJar),
  },
  namespaces: {
    packages: "util-linux",
    skipped: "tests that cut the network or the disk inside a Linux namespace",
    present: () =>
      process.platform === "linux" && spawnSync("unshare", ["-Urnm", "true"], { stdio: "ignore" }).status === 0,
  },
  "network-namespaces": {
    packages: "iproute2 nftables",
    skipped: "clusters of several nodes with addresses of their own (they need root and CAP_NET_ADMIN)",
    present: hasNetworkNamespaces,
  },
};

/** Only a machine that lets us make network namespaces can have several nodes; one that does not is no fault of what is installed on it. */
const maySkip = (part: Part): boolean =>
  part === "network-namespaces" && existsSync("/usr/sbin/nft") && spawnSync("ip", ["-V"]).status === 0;

const answers = new Map<Part, boolean>();

/** True when `part` is here. Says once per process what is missing; throws instead when RAMA_REQUIRE_ALL=1. */
export function needs(part: Part): boolean {
  const known = answers.get(part);
  if (known !== undefined) return known;
  const { packages, skipped, present } = facts[part];
  const here = present();
  if (!here) {
    if (process.env["RAMA_REQUIRE_ALL"] === "1" && !maySkip(part))
      throw new Error(`${part} is missing: apt-get install ${packages}`);
    const file = process.env["RAMA_SKIPS_FILE"];
    if (file !== undefined && file !== "") appendFileSync(file, `${part}\t${packages}\t${skipped}\n`);
    else console.warn(`skipped, no ${part} (apt-get install ${packages}): ${skipped}`);
  }
  answers.set(part, here);
  return here;
}

function hasNetworkNamespaces(): boolean {
  if (process.platform !== "linux" || !existsSync("/usr/sbin/nft")) return false;
  const name = `rama-probe-${process.pid}`;
  const works = (...words: string[]) => spawnSync(words[0]!, words.slice(1), { stdio: "ignore" }).status === 0;
  if (!works("ip", "netns", "add", name)) return false;
  const link = `rp${process.pid}`;
  const all =
    works("ip", "netns", "exec", name, "nft", "add", "table", "inet", "probe") &&
    works("ip", "link", "add", link, "type", "bridge");
  works("ip", "link", "del", link);
  works("ip", "netns", "del", name);
  return all;
}
