// A network of machines on this one: a Linux network namespace each, joined by a bridge, with addresses of their own. Links are cut with nftables inside the namespace, so
// that nothing outside is touched. Needs root, iproute2 and nftables (`needs("network-namespaces")`).
import { spawnSync } from "node:child_process";
import { join } from "node:path";

export interface Machine {
  readonly namespace: string;
  readonly address: string;
}

/** What no longer passes: everything, what comes in, what goes out. */
export type Cut = "both" | "in" | "out";

/** Each packet waits `delayMs` and up to `jitterMs` more, so that packets overtake each other; some never arrive. */
export interface Disturbance {
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly lossPercent: number;
}

export class Network implements Disposable {
  /** Of this process, and of what it starts outside of the machines. */
  readonly address: string;
  readonly machines: readonly Machine[];
  readonly #bridge: string;
  readonly #forwarders = new Map<Machine, Bun.Subprocess>();

  private constructor(bridge: string, address: string, machines: readonly Machine[]) {
    this.#bridge = bridge;
    this.address = address;
    this.machines = machines;
  }

  static create(count: number): Network {
    const id = `${process.pid.toString(36)}${(lastNetwork++).toString(36)}`;
    const net = freeNet();
    const bridge = `rb${id}`;
    const machines = Array.from({ length: count }, (_, i) => ({
      namespace: `rama-${id}-${i + 1}`,
      address: `${net}.${i + 1}`,
    }));
    const network = new Network(bridge, `${net}.254`, machines);
    try {
      run("ip", "link", "add", bridge, "type", "bridge");
      run("ip", "addr", "add", `${network.address}/24`, "dev", bridge);
      run("ip", "link", "set", bridge, "up");
      for (const [i, machine] of machines.entries()) network.#attach(machine, `rv${id}${i + 1}`);
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
    return network;
  }

  /** The words that run a command on the machine. */
  on(machine: Machine, ...command: string[]): string[] {
    return ["ip", "netns", "exec", machine.namespace, ...command];
  }

  /** Packets of the link to everyone, to one address, or to one of its TCP ports, are dropped without a word. Its own loopback goes on. */
  cut(machine: Machine, cut: Cut = "both", peer?: string, port?: number): void {
    const nft = (...words: string[]) => run(...this.on(machine, "nft", ...words));
    nft("add", "table", "inet", "cut");
    for (const [hook, side, field, portField] of [
      ["input", "in", "saddr", "sport"],
      ["output", "out", "daddr", "dport"],
    ] as const) {
      if (cut !== "both" && cut !== side) continue;
      nft("add", "chain", "inet", "cut", side, `{ type filter hook ${hook} priority 0 ; policy accept ; }`);
      const of = peer === undefined ? [] : ["ip", field, peer];
      if (port !== undefined) of.push("tcp", portField, String(port));
      nft("add", "rule", "inet", "cut", side, side === "in" ? "iif" : "oif", "!=", "lo", ...of, "drop");
    }
  }

  heal(machine: Machine): void {
    run(...this.on(machine, "nft", "flush", "ruleset"));
  }

  /** What leaves the machine passes at that rate. False: this kernel has no `tbf`. */
  narrow(machine: Machine, rate: string): boolean {
    const words = [
      "tc",
      "qdisc",
      "add",
      "dev",
      "eth0",
      "root",
      "tbf",
      "rate",
      rate,
      "burst",
      "32kb",
      "latency",
      "100ms",
    ];
    return spawnSync("ip", ["netns", "exec", machine.namespace, ...words], { stdio: "ignore" }).status === 0;
  }

  widen(machine: Machine): void {
    run(...this.on(machine, "tc", "qdisc", "del", "dev", "eth0", "root"));
  }

  /** Every packet of the machine, both ways, goes through a process that delays, drops and reorders (`forwarder.py`). */
  async disturb(machine: Machine, how: Disturbance): Promise<void> {
    const link = this.#linkOf(machine);
    const [near, far] = [`${link}n`, `${link}f`];
    run("ip", "link", "add", near, "type", "veth", "peer", "name", far);
    run("ip", "link", "set", far, "master", this.#bridge, "up");
    run("ip", "link", "set", near, "up");
    // Whole packets with checksums, as on a wire: the process carries what it reads.
    run("/usr/bin/python3", forwarder, "--offload-off", far);
    run(...this.on(machine, "/usr/bin/python3", forwarder, "--offload-off", "eth0"));
    run("ip", "link", "set", link, "nomaster");
    const words = [link, near, how.delayMs, how.jitterMs, how.lossPercent].map(String);
    const child = Bun.spawn(["/usr/bin/python3", forwarder, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#forwarders.set(machine, child);
    const { value } = await child.stdout.getReader().read();
    if (value === undefined) throw new Error("the forwarding process ended");
  }

  async smooth(machine: Machine): Promise<void> {
    const link = this.#linkOf(machine);
    const child = this.#forwarders.get(machine);
    this.#forwarders.delete(machine);
    child?.kill("SIGKILL");
    await child?.exited;
    run("ip", "link", "del", `${link}n`);
    run("ip", "link", "set", link, "master", this.#bridge);
  }

  [Symbol.dispose](): void {
    for (const child of this.#forwarders.values()) child.kill("SIGKILL");
    for (const { namespace } of this.machines) spawnSync("ip", ["netns", "del", namespace]);
    spawnSync("ip", ["link", "del", this.#bridge]);
  }

  /** This side's end of the machine's link. */
  #linkOf(machine: Machine): string {
    return `${this.#bridge.replace("rb", "rv")}${this.machines.indexOf(machine) + 1}`;
  }

  #attach({ namespace, address }: Machine, link: string): void {
    run("ip", "netns", "add", namespace);
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    run("ip", "link", "set", link, "master", this.#bridge, "up");
    run("ip", "-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    run("ip", "-n", namespace, "link", "set", "eth0", "up");
    run("ip", "-n", namespace, "link", "set", "lo", "up");
  }
}

const forwarder = join(import.meta.dir, "forwarder.py");
let lastNetwork = 0;

/** A range that no other network of this machine has. */
function freeNet(): string {
  const taken = spawnSync("ip", ["-br", "addr"], { encoding: "utf8" }).stdout;
  for (let i = 0; i < 250; i++) {
    const net = `10.77.${(process.pid + i) % 250}`;
    if (!taken.includes(`${net}.`)) return net;
  }
  throw new Error("every range below 10.77 is taken: remove old bridges (ip link del)");
}

function run(...words: string[]): void {
  const done = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${words.join(" ")}: ${done.stderr ?? done.error?.message}`);
}
