// The process of a case's load, seen from the test.
import { join } from "node:path";
import type { Phase } from "./lanes.ts";

/** "phase": the present phase ends. "end": no more appends, then the check. */
export type LoadWord = "phase" | "end";

export interface LoadResult {
  readonly acked: number;
  readonly unknown: number;
  readonly refused: number;
  readonly lost: number;
  readonly doubled: number;
  readonly wrong: readonly string[];
}

export type LoadReport =
  | { readonly kind: "count"; readonly count: number }
  | ({ readonly kind: "phase" } & Phase)
  | ({ readonly kind: "result" } & LoadResult)
  | { readonly kind: "failed"; readonly why: string };

const progressTimeoutMs = 90_000;
/** The check waits for what is processed late, up to a minute for each state. */
const answerTimeoutMs = 420_000;

export class LoadProcess implements Disposable {
  readonly #child: Bun.Subprocess;
  #count = 0;
  #failed: string | undefined;
  readonly #answers: LoadReport[] = [];

  constructor(on: { readonly host: string; readonly port: number; readonly tasks: number; readonly tag: string }) {
    const words = [on.host, on.port, on.tasks, on.tag].map(String);
    this.#child = Bun.spawn([process.execPath, join(import.meta.dir, "load-process.ts"), ...words], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (report: LoadReport) => {
        if (report.kind === "count") this.#count = report.count;
        else if (report.kind === "failed") this.#failed = report.why;
        else this.#answers.push(report);
      },
    });
  }

  /** Resolves once `more` further appends have been acknowledged. */
  async progress(more: number): Promise<void> {
    const wanted = this.#count + more;
    await this.#until(`${more} further appends`, progressTimeoutMs, () => this.#count >= wanted);
  }

  /** What the phase that ends now was like. */
  async phase(): Promise<Phase> {
    this.#child.send("phase" satisfies LoadWord);
    return (await this.#answer()) as Phase & LoadReport;
  }

  async end(): Promise<LoadResult> {
    this.#child.send("end" satisfies LoadWord);
    return (await this.#answer()) as LoadResult & LoadReport;
  }

  async #answer(): Promise<LoadReport> {
    await this.#until("an answer of the load", answerTimeoutMs, () => this.#answers.length > 0);
    return this.#answers.shift()!;
  }

  async #until(what: string, timeoutMs: number, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      if (this.#failed !== undefined) throw new Error(`the load ended: ${this.#failed}`);
      if (this.#child.exitCode !== null) throw new Error(`the load's process ended with ${this.#child.exitCode}`);
      if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms, at ${this.#count}`);
      await Bun.sleep(10);
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
