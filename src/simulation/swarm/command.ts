// The command behind `npm run sim`: runs seeds, repeats those that fail and every tenth to see the same trace, makes a failing plan smaller, and prints what was done.
//
//   npm run sim                          100 seeds from a fresh one, 20 s of faults each
//   npm run sim -- --seeds 500 --from 1
//   npm run sim -- --seed 17 --log       one seed again, with the cluster's log
//   npm run sim -- --hours 2             goes on for so long
import { systemEnv } from "../../base/env-system.ts";
import { type FaultKind, faultKinds, type Plan, planOf } from "./plan.ts";
import { type RunResult, runPlan } from "./run.ts";
import { shrink } from "./shrink.ts";

interface Arguments {
  seeds: number;
  from: number;
  hours: number;
  seed: number | undefined;
  chaosMs: number;
  log: boolean;
  shrink: boolean;
  /** Ends at the first failure. */
  untilFailure: boolean;
  /** Only these kinds of faults. */
  kinds: readonly FaultKind[];
  /** And such as aim at leaders. */
  leaders: boolean;
}

export async function simulate(args: readonly string[], print: (line: string) => void): Promise<number> {
  const wanted = parse(args);
  if (wanted === undefined) {
    print(
      "npm run sim -- [--seeds N] [--from S] [--hours H] [--seed X [--log]] [--chaos SECONDS] [--kinds a,b] [--leaders] [--no-shrink]",
    );
    return 2;
  }
  return new Swarm(wanted, print).run();
}

function parse(args: readonly string[]): Arguments | undefined {
  const fresh = Math.floor(clock.random() * 1e9);
  const wanted: Arguments = {
    seeds: 100,
    from: fresh,
    hours: 0,
    seed: undefined,
    chaosMs: 20_000,
    log: false,
    shrink: true,
    untilFailure: false,
    kinds: faultKinds,
    leaders: false,
  };
  for (let i = 0; i < args.length; i++) {
    const name = args[i]!;
    if (name === "--log") wanted.log = true;
    else if (name === "--leaders") wanted.leaders = true;
    else if (name === "--no-shrink") wanted.shrink = false;
    else if (name === "--until-failure") wanted.untilFailure = true;
    else if (name === "--kinds") {
      wanted.kinds = (args[++i] ?? "").split(",") as FaultKind[];
      if (wanted.kinds.some((kind) => !faultKinds.includes(kind))) return undefined;
    } else {
      const value = Number(args[++i]);
      if (!Number.isFinite(value)) return undefined;
      if (name === "--seeds") wanted.seeds = value;
      else if (name === "--from") wanted.from = value;
      else if (name === "--hours") wanted.hours = value;
      else if (name === "--seed") wanted.seed = value;
      else if (name === "--chaos") wanted.chaosMs = value * 1000;
      else return undefined;
    }
  }
  return wanted;
}

const clock = systemEnv({ sink: () => {} });

class Swarm {
  readonly #wanted: Arguments;
  readonly #print: (line: string) => void;
  readonly #counters: Record<string, number> = {};
  #failed = 0;
  #runs = 0;
  #simulatedMs = 0;
  #records = 0;
  #operations = 0;

  constructor(wanted: Arguments, print: (line: string) => void) {
    this.#wanted = wanted;
    this.#print = print;
  }

  async run(): Promise<number> {
    const { seed, seeds, from, hours, log } = this.#wanted;
    const beganMs = clock.monotonicMs();
    if (seed !== undefined) {
      const result = await runPlan(planOf(seed, this.#wanted), log ? { sink: this.#print } : {});
      this.#print(JSON.stringify(result, null, 1));
      return result.problem === undefined ? 0 : 1;
    }
    const isEnough = () =>
      (this.#wanted.untilFailure && this.#failed > 0) ||
      (hours > 0 ? clock.monotonicMs() - beganMs > hours * 3_600_000 : this.#runs >= seeds);
    for (let i = 0; !isEnough(); i++) await this.#one(from + i, i % 10 === 0);
    this.#report(clock.monotonicMs() - beganMs);
    return this.#failed === 0 ? 0 : 1;
  }

  async #one(seed: number, twice: boolean): Promise<void> {
    const plan = planOf(seed, this.#wanted);
    const result = await runPlan(plan);
    this.#runs++;
    this.#note(result);
    if (twice || result.problem !== undefined) {
      const again = await runPlan(plan);
      if (again.traceHash !== result.traceHash) {
        this.#failed++;
        this.#print(`seed ${seed}: not the same twice: ${result.traceHash}, then ${again.traceHash}`);
      }
    }
    if (result.problem !== undefined) await this.#tell(plan, result);
  }

  async #tell(plan: Plan, result: RunResult): Promise<void> {
    this.#failed++;
    this.#print(`seed ${plan.seed} FAILED after ${Math.round(result.simulatedMs)} ms: ${result.problem}`);
    const kinds = this.#wanted.kinds === faultKinds ? "" : ` --kinds "${this.#wanted.kinds.join(",")}"`;
    const leaders = this.#wanted.leaders ? " --leaders" : "";
    this.#print(`  again: npm run sim -- --seed ${plan.seed} --chaos ${plan.chaosMs / 1000}${kinds}${leaders} --log`);
    if (!this.#wanted.shrink) return;
    const { plan: small, result: last, runs } = await shrink(plan, result);
    const { seed: _, settings, faults, ...rest } = small;
    this.#print(`  made smaller in ${runs} runs: ${last.problem?.split("\n")[0]}`);
    this.#print(`  ${JSON.stringify(rest)}`);
    this.#print(`  ${JSON.stringify(settings)}`);
    for (const fault of faults) this.#print(`  ${JSON.stringify(fault)}`);
  }

  #note({ counters, simulatedMs, records, operations }: RunResult): void {
    for (const [name, count] of Object.entries(counters)) this.#counters[name] = (this.#counters[name] ?? 0) + count;
    this.#simulatedMs += simulatedMs;
    this.#records += records;
    this.#operations += operations;
  }

  #report(realMs: number): void {
    const seconds = (ms: number) => (ms / 1000).toFixed(0);
    this.#print(
      `${this.#runs} seeds, ${this.#failed} failed; ${seconds(this.#simulatedMs)} simulated seconds in ${seconds(realMs)} (${(this.#simulatedMs / realMs).toFixed(1)} x); ${this.#records} records, ${this.#operations} operations`,
    );
    for (const name of Object.keys(this.#counters).sort()) this.#print(`  ${name}: ${this.#counters[name]}`);
    const missing = faultKinds.filter((kind) => this.#counters[`fault: ${kind}`] === undefined);
    if (missing.length > 0) this.#print(`  never struck: ${missing.join(", ")}`);
  }
}
