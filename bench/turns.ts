// Runs several measuring processes in turns: one run of the first, one of the second, and so on, in changing order, so that the machine's drift meets all alike.
// Each of them waits before a run for a line on its stdin (bench/peers/lib/common.mjs, BENCH_STEPS), and prints its results as JSON lines.

export interface Result {
  readonly name: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly min?: number;
  readonly max?: number;
}

export interface Command {
  readonly words: readonly string[];
  readonly cwd: string;
}

class Process {
  readonly results: Result[] = [];
  ended = false;
  readonly #child;
  #resolve: () => void = () => {};
  #ready: Promise<void>;

  constructor(readonly command: Command) {
    this.#child = Bun.spawn([...command.words], {
      cwd: command.cwd,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      env: { ...process.env, BENCH_STEPS: "1" },
    });
    this.#ready = new Promise((resolve) => (this.#resolve = resolve));
    void this.#follow();
  }

  async #follow(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#line(line);
    }
    await this.#child.exited;
    this.ended = true;
    this.#resolve();
  }

  #line(line: string): void {
    if (!line.startsWith("{")) return;
    const parsed = JSON.parse(line) as Result & { step?: string };
    if (parsed.step === "ready") this.#resolve();
    else {
      console.log(line);
      this.results.push(parsed);
    }
  }

  /** Until it waits for its turn, or has ended. */
  async ready(): Promise<void> {
    await this.#ready;
    if (this.ended && this.#child.exitCode !== 0) throw new Error(`${this.command.words.join(" ")} failed`);
  }

  async turn(): Promise<void> {
    this.#ready = new Promise((resolve) => (this.#resolve = resolve));
    this.#child.stdin.write("\n");
    await this.#child.stdin.flush();
    await this.ready();
  }

  end(): void {
    if (!this.ended) this.#child.kill();
  }
}

/** The results of each command, in their order. Preparations run one after the other, too. */
export async function inTurns(commands: readonly Command[]): Promise<Result[][]> {
  const all: Process[] = [];
  try {
    for (const command of commands) {
      const next = new Process(command);
      all.push(next);
      await next.ready();
    }
    for (let round = 0; all.some((each) => !each.ended); round++) {
      const order = round % 2 === 0 ? all : [...all].reverse();
      for (const each of order) if (!each.ended) await each.turn();
    }
    return all.map(({ results }) => results);
  } finally {
    for (const each of all) each.end();
  }
}

export function pick(all: readonly Result[], part: string): Result {
  const found = all.find((result) => result.metric.includes(part));
  if (!found) throw new Error(`no result "${part}" among: ${all.map(({ metric }) => metric).join("; ")}`);
  return found;
}
