// Makes a failing plan smaller: fewer faults, fewer clients, fewer operations, as long as it still fails. How it fails may change on the way; the smallest that fails
// at all is the one to look at.
import type { SimulatedLaunch } from "../cluster.ts";
import type { Plan } from "./plan.ts";
import { type RunResult, runPlan } from "./run.ts";

const runsMax = 60;

export interface Shrunk {
  readonly plan: Plan;
  readonly result: RunResult;
  readonly runs: number;
}

export async function shrink(failing: Plan, failed: RunResult): Promise<Shrunk> {
  let plan = failing;
  let result = failed;
  let runs = 0;
  const tryPlan = async (smaller: Plan): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs++;
    const tried = await runPlan(smaller);
    if (tried.problem === undefined) return false;
    plan = smaller;
    result = tried;
    return true;
  };
  // Halves first, then single faults.
  for (let size = Math.ceil(plan.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < plan.faults.length; ) {
      const without = plan.faults.filter((_, i) => i < at || i >= at + size);
      if (!(await tryPlan({ ...plan, faults: without }))) at += size;
    }
  }
  for (const change of simplifications) {
    const smaller = change(plan);
    if (smaller !== undefined) await tryPlan(smaller);
  }
  while (plan.operations > 4 && (await tryPlan({ ...plan, operations: plan.operations >> 1 })));
  return { plan, result, runs };
}

const simplifications: readonly ((plan: Plan) => Plan | undefined)[] = [
  (plan) => (plan.proxies > 0 ? { ...plan, proxies: 0 } : undefined),
  (plan) => (plan.ledger !== undefined && plan.bank !== undefined ? { ...plan, bank: undefined } : undefined),
  (plan) => (plan.ledger !== undefined && plan.bank !== undefined ? { ...plan, ledger: undefined } : undefined),
  (plan) => (plan.clients > 1 ? { ...plan, clients: 1 } : undefined),
  (plan) => (plan.width > 1 ? { ...plan, width: 1 } : undefined),
  (plan) => (plan.ledger !== undefined && plan.audit !== undefined ? { ...plan, audit: undefined } : undefined),
  (plan) => (factorOf(plan) > 1 ? withFactor(plan, 1) : undefined),
  (plan) => (factorOf(plan) > 2 ? withFactor(plan, 2) : undefined),
  (plan) => (plan.nodes > factorOf(plan) ? { ...plan, nodes: factorOf(plan) } : undefined),
  (plan) => (plan.keys > 1 ? { ...plan, keys: 1 } : undefined),
];

/** Without so many nodes nothing is launched, which is another failure. */
function factorOf(plan: Plan): number {
  const launches = [plan.ledger, plan.bank, plan.audit];
  return Math.max(1, ...launches.map((launch) => launch?.replicationFactor ?? 1));
}

function withFactor(plan: Plan, replicationFactor: number): Plan {
  const reduced = (launch: SimulatedLaunch | undefined) => launch && { ...launch, replicationFactor };
  return { ...plan, ledger: reduced(plan.ledger), bank: reduced(plan.bank), audit: reduced(plan.audit) };
}
