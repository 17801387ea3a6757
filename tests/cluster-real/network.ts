// A network of machines on this one: a Linux network namespace each, joined by a bridge, with addresses of their own. Links are cut with nftables inside the namespace, so
// that nothing outside is touched. Needs root, iproute2 and nftables (`needs("network-namespaces")`).
import { spawnSync } from "node:child_process";

export interface Machine {
  readonly namespace: string;
  readonly address: string;
}

/** What no longer passes: everything, what comes in, what goes out. */
export type Cut = "both" | "in" | "out";

export class Network implements Disposable {
  /** Of this process, and of what it starts outside of the machines. */
  readonly address: string;
  readonly machines: readonly Machine[];
  readonly #bridge: string;

  private constructor(bridge: string, address: string, machines: readonly Machine[]) {
    this.#bridge = bridge;
    this.address = address;
    this.machines = machines;
  }

  static create(count: number): Network {
    const id = `${process.pid.toString(36)}${(lastNetwork++).toString(36)}`;
    const net = `10.77.${process.pid % 250}`;
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

  /** Packets of the link to everyone, or to one address, are dropped without a word. Its own loopback goes on. */
  cut(machine: Machine, cut: Cut = "both", peer?: string): void {
    const nft = (...words: string[]) => run(...this.on(machine, "nft", ...words));
    nft("add", "table", "inet", "cut");
    for (const [hook, side, field] of [
      ["input", "in", "saddr"],
      ["output", "out", "daddr"],
    ] as const) {
      if (cut !== "both" && cut !== side) continue;
      nft("add", "chain", "inet", "cut", side, `{ type filter hook ${hook} priority 0 ; policy accept ; }`);
      const of = peer === undefined ? [] : ["ip", field, peer];
      nft("add", "rule", "inet", "cut", side, side === "in" ? "iif" : "oif", "!=", "lo", ...of, "drop");
    }
  }

  heal(machine: Machine): void {
    run(...this.on(machine, "nft", "flush", "ruleset"));
  }

  [Symbol.dispose](): void {
    for (const { namespace } of this.machines) spawnSync("ip", ["netns", "del", namespace]);
    spawnSync("ip", ["link", "del", this.#bridge]);
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

let lastNetwork = 0;

function run(...words: string[]): void {
  const done = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${words.join(" ")}: ${done.stderr ?? done.error?.message}`);
}
