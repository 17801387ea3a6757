// One soak: faults for a while, then calm under the same load, then the oracles. The calm part is there for the slope of the memory: a process that is killed every other
// minute has none.
import { RamaClusterManager } from "../../src/client.ts";
import { Chance } from "../../src/simulation/chance.ts";
import { SoakCluster } from "./cluster.ts";
import { drawn, type Fault, soakFaults } from "./faults.ts";
import { SoakLoad } from "./load.ts";
import { type MeterRow, Meters } from "./meters.ts";

export interface SoakOptions {
  readonly faultsMs: number;
  readonly calmMs: number;
  readonly seed: number;
  readonly log: (line: string) => void;
  /** Only these; all when left out. */
  readonly kinds?: readonly string[];
}

export interface FaultRow {
  readonly name: string;
  count: number;
  /** From its beginning until both modules had acknowledged appends again after its end. */
  longestMs: number;
}

export interface SoakResult {
  readonly seconds: number;
  readonly faults: readonly FaultRow[];
  readonly processes: readonly MeterRow[];
  readonly loads: readonly SoakLoad[];
  readonly records: number;
  /** Empty: all held. */
  readonly violations: readonly string[];
  /** Of a run with violations. */
  readonly logs?: string;
}

const sampleMs = 5_000;
/** After a fault has healed, both modules acknowledge so many appends more … */
const progressAppends = 50;
/** … within this time. */
const progressMs = 120_000;
/** Bounds of the last part of the calm; what a cache of 100 MB needs to fill is below. */
const rssSlopeMax = 300;
const descriptorGrowthMax = 50;
const rssMaxMb = 1_500;

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { log, seed } = options;
  const { random } = new Chance(seed);
  await using cluster = await SoakCluster.start();
  if (cluster.smallDisk === undefined)
    log("no small disk: this machine does not let us mount one; disks stay as they are");
  await cluster.deploy("launch", "SoakOne", 1);
  await cluster.deploy("launch", "SoakThree", 3);
  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.first.ports.conductor,
  });
  const loads = ["SoakOne", "SoakThree"].map((module) => new SoakLoad(manager, module, random));
  const run = new Soak(options, cluster, loads, random);
  let records = 0;
  try {
    await run.disturb();
    await run.calm();
    await Promise.all(loads.map((load) => load.end()));
    for (const load of loads) records += (await load.check()).records;
  } catch (error) {
    run.violations.push(String(error instanceof Error ? (error.stack ?? error) : error));
    await Promise.all(loads.map((load) => load.end()));
  }
  run.judge();
  const { violations } = run;
  return {
    seconds: Math.round((performance.now() - run.beganMs) / 1000),
    faults: run.faults,
    processes: run.rows,
    loads,
    records,
    violations,
    ...(violations.length === 0 ? {} : { logs: cluster.keepLogs() }),
  };
}

class Soak {
  readonly beganMs = performance.now();
  readonly faults: FaultRow[] = [];
  readonly violations: string[] = [];
  rows: MeterRow[] = [];
  readonly #options: SoakOptions;
  readonly #loads: readonly SoakLoad[];
  readonly #random: () => number;
  readonly #kinds: readonly Fault[];
  readonly #meters: Meters;
  #calmSinceMs = 0;
  #sampledMs = 0;

  constructor(options: SoakOptions, cluster: SoakCluster, loads: readonly SoakLoad[], random: () => number) {
    this.#options = options;
    this.#loads = loads;
    this.#random = random;
    this.#meters = new Meters(() => cluster.processes());
    const all = soakFaults({ cluster, loads, random });
    const { kinds } = options;
    this.#kinds = kinds === undefined ? all : all.filter(({ name }) => kinds.includes(name));
  }

  async disturb(): Promise<void> {
    const { faultsMs, log } = this.#options;
    await this.#progress("the launch");
    while (performance.now() - this.beganMs < faultsMs) {
      const fault = drawn(this.#kinds, this.#random);
      const began = performance.now();
      await this.#sampling(fault.run());
      const healed = performance.now();
      await this.#progress(fault.name);
      const now = performance.now();
      this.#count(fault.name, now - began);
      const seconds = (ms: number) => (ms / 1000).toFixed(1);
      log(
        `${seconds(now - this.beganMs)} s  ${fault.name}: ${seconds(healed - began)} s, ${seconds(now - healed)} s until both go on`,
      );
      if (this.#loads.some(({ violations }) => violations.length > 0)) return;
      await this.#sampling(Bun.sleep(1_000 + this.#random() * 8_000));
    }
  }

  #count(name: string, ms: number): void {
    let row = this.faults.find((each) => each.name === name);
    if (row === undefined) {
      row = { name, count: 0, longestMs: 0 };
      this.faults.push(row);
    }
    row.count++;
    row.longestMs = Math.max(row.longestMs, ms);
  }

  async calm(): Promise<void> {
    const { calmMs, log } = this.#options;
    log(`calm for ${Math.round(calmMs / 1000)} s`);
    const began = performance.now();
    // Caches that the last restarts emptied fill up in the first part.
    this.#calmSinceMs = began + calmMs / 3;
    await this.#sampling(Bun.sleep(calmMs));
    await this.#progress("the calm");
    this.rows = this.#meters.rows(this.#calmSinceMs);
  }

  judge(): void {
    for (const { violations } of this.#loads) this.violations.push(...violations);
    // A short window tells nothing of a slope.
    const tells = this.#options.calmMs >= 300_000;
    for (const row of this.rows) {
      if (tells && row.slopeMbPerHour > rssSlopeMax)
        this.violations.push(`${row.name} grows by ${Math.round(row.slopeMbPerHour)} MB an hour`);
      if (row.peakRssMb > rssMaxMb) this.violations.push(`${row.name} had ${Math.round(row.peakRssMb)} MB`);
      if (row.lastDescriptors - row.firstDescriptors > descriptorGrowthMax)
        this.violations.push(`${row.name} went from ${row.firstDescriptors} to ${row.lastDescriptors} descriptors`);
    }
  }

  async #progress(after: string): Promise<void> {
    const wanted = this.#loads.map(({ acknowledgedCount }) => acknowledgedCount + progressAppends);
    let waitedMs = 0;
    const behind = () => this.#loads.filter((load, i) => load.acknowledgedCount < wanted[i]!);
    while (behind().length > 0) {
      if (waitedMs > progressMs)
        throw new Error(`${behind().map(({ module }) => module)} did not go on within ${progressMs} ms after ${after}`);
      const before = performance.now();
      await this.#sampling(Bun.sleep(50));
      waitedMs += Math.min(performance.now() - before, 1_000);
      this.#noticeStandstill(performance.now() - before);
    }
  }

  /** Who stops all processes of a machine stops its clusters as well: that is no fault of theirs, but it should be known. */
  #noticeStandstill(ms: number): void {
    if (ms > 5_000) this.#options.log(`this process stood still for ${Math.round(ms / 1000)} s`);
  }

  async #sampling(until: Promise<void>): Promise<void> {
    let over = false;
    const ended = until.finally(() => {
      over = true;
    });
    while (!over) {
      const dueMs = this.#sampledMs + sampleMs - performance.now();
      if (dueMs <= 0) {
        this.#sampledMs = performance.now();
        this.#meters.sample();
      } else await Promise.race([ended, Bun.sleep(dueMs)]);
    }
    await ended;
  }
}
