// How a module is launched in an in-process cluster: `new LaunchConfig(4, 2).numWorkers(2)`, or the literal `{ tasks: 4, threads: 2, workers: 2 }`.
import { checkParallelism } from "../cluster/assignment.ts";

export interface LaunchLiteral {
  readonly tasks: number;
  readonly threads?: number;
  readonly workers?: number;
}

export class LaunchConfig {
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;

  /** BAD_PARALLELISM unless tasks is a power of two and tasks ≥ threads ≥ workers ≥ 1. */
  constructor(tasks: number, threads = 1, workers = 1) {
    checkParallelism({ tasks, threads, workers, replicationFactor: 1 });
    this.tasks = tasks;
    this.threads = threads;
    this.workers = workers;
    Object.freeze(this);
  }

  numWorkers(workers: number): LaunchConfig {
    return new LaunchConfig(this.tasks, this.threads, workers);
  }

  /** Accepted for compatibility; an in-process cluster has one copy of everything. */
  replicationFactor(_factor: number): LaunchConfig {
    return this;
  }
}

export function launchConfigOf(config: LaunchConfig | LaunchLiteral): LaunchConfig {
  if (config instanceof LaunchConfig) return config;
  return new LaunchConfig(config.tasks, config.threads, config.workers);
}
