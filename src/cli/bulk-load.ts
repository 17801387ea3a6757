// Bulk loading: the lines of a file or of stdin into a depot, a bounded window of calls under way. Ctrl-C or a cluster that is away stops it between calls, and it says
// the line to go on from; lines that cannot be stored go to a file beside it.
import { messageOf, RamaError } from "../base/errors.ts";
import type { DepotClient } from "../client/depot.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { type CommandContext, jsonArgument, numberOption } from "./command.ts";
import { absolute } from "./commands/modules.ts";

/** Records sent in one call, and calls under way, of a bulk load. */
const chunkRecords = 1000;
const chunksInFlight = 8;

/** Resolves to the exit code: 0 when every line is stored and processed, 1 when lines were rejected or the load was stopped. */
export async function loadFile(
  context: CommandContext,
  depot: DepotClient,
  file: string,
  level: AckLevelName,
): Promise<number> {
  const { parsed, print, workbench, cwd, platform, env } = context;
  const path = file === "-" ? "-" : absolute(cwd, file);
  if (path !== "-" && !platform.disk.exists(path))
    throw new RamaError("FILE_NOT_FOUND", `there is no file ${path}`, { path });
  const fromLine = numberOption(parsed, "from-line", 1);
  const totalBytes = path === "-" ? 0 : platform.disk.size(path);
  const rejects = new Rejects(context, path === "-" ? `${cwd}/stdin` : path);
  const progress = print.progress(`loading ${file}`, totalBytes);
  const startedMs = env.monotonicMs();
  const load = new BulkLoad(depot, level, rejects);
  let isStopped = false;
  const unlisten = workbench.onInterrupt(() => {
    isStopped = true;
  });
  let line = 0;
  let bytes = 0;
  try {
    for await (const text of workbench.readLines(path)) {
      if (isStopped) break;
      line++;
      bytes += text.length + 1;
      if (line < fromLine || text.trim() === "") continue;
      await load.add(line, text);
      if (line % chunkRecords === 0) {
        progress.update(bytes, `${rate(load.appended, env.monotonicMs() - startedMs)} records/s`);
        await env.sleep(0);
      }
    }
    await load.finish();
  } catch (error) {
    progress.end(`stopped: everything before line ${load.resumeLine} is stored`);
    print.note(`go on with: --from-line ${load.resumeLine}`);
    throw error;
  } finally {
    unlisten();
    rejects.close();
  }
  const ms = env.monotonicMs() - startedMs;
  const summary = `${load.appended.toLocaleString("en-US")} records in ${(ms / 1000).toFixed(2)} s (${rate(load.appended, ms)} records/s)`;
  progress.end(isStopped ? `stopped: ${summary}; everything before line ${load.resumeLine} is stored` : summary);
  if (isStopped) print.note(`go on with: --from-line ${load.resumeLine}`);
  if (rejects.count > 0) print.note(`${rejects.count} lines are in ${rejects.path}${rejects.storedNote}`);
  if (parsed.json) {
    const next = isStopped ? { nextLine: load.resumeLine } : {};
    print.json({ appended: load.appended, rejected: rejects.count, lines: line, ...next });
  }
  return rejects.count > 0 || isStopped ? 1 : 0;
}

function rate(count: number, ms: number): string {
  return Math.round(count / Math.max(ms / 1000, 0.001)).toLocaleString("en-US");
}

/** Keeps a bounded window of chunks under way and knows the first line that may not be stored. */
class BulkLoad {
  appended = 0;
  readonly #depot: DepotClient;
  readonly #level: AckLevelName;
  readonly #rejects: Rejects;
  readonly #underWay = new Map<number, Promise<void>>();
  #lines: number[] = [];
  #records: unknown[] = [];
  #nextLine = 1;
  #failure: unknown;

  constructor(depot: DepotClient, level: AckLevelName, rejects: Rejects) {
    this.#depot = depot;
    this.#level = level;
    this.#rejects = rejects;
  }

  get resumeLine(): number {
    return Math.min(this.#nextLine, ...this.#underWay.keys(), ...this.#lines.slice(0, 1));
  }

  async add(line: number, text: string): Promise<void> {
    this.#nextLine = line + 1;
    try {
      this.#records.push(jsonArgument(text, `line ${line}`));
      this.#lines.push(line);
    } catch (error) {
      this.#rejects.add({ line, reason: messageOf(error), text });
    }
    if (this.#records.length >= chunkRecords) await this.#send();
  }

  async finish(): Promise<void> {
    if (this.#records.length > 0) await this.#send();
    await Promise.all(this.#underWay.values());
    if (this.#failure) throw this.#failure;
  }

  async #send(): Promise<void> {
    while (this.#underWay.size >= chunksInFlight) await Promise.race(this.#underWay.values());
    if (this.#failure) throw this.#failure;
    const [lines, records] = [this.#lines, this.#records];
    this.#lines = [];
    this.#records = [];
    const chunk = this.#appendAll(lines, records).then(
      () => void this.#underWay.delete(lines[0]!),
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#underWay.set(lines[0]!, chunk);
  }

  async #appendAll(lines: readonly number[], records: readonly unknown[]): Promise<void> {
    const { appended, failures } = await this.#depot.appendMany(records, this.#level);
    this.appended += appended;
    for (const { index, error } of failures) {
      // Stored all the same: only its processing failed.
      if (error.facts["stored"] === true) this.appended++;
      if (error.retryable && error.facts["stored"] !== true) throw error;
      this.#rejects.add({
        line: lines[index]!,
        reason: `${error.message} (${error.code})`,
        ...(error.facts["stored"] === true ? { stored: true as const } : {}),
        text: JSON.stringify(records[index]),
      });
    }
  }
}

interface Reject {
  readonly line: number;
  readonly reason: string;
  /** The record is in the depot, and its topology tries it again: do not append it a second time. */
  readonly stored?: true;
  readonly text: string;
}

/** <file>.rejected: one `Reject` as JSON a line. Made when the first line is rejected. */
class Rejects {
  count = 0;
  #stored = 0;
  readonly path: string;
  readonly #context: CommandContext;
  #file: ReturnType<CommandContext["platform"]["disk"]["open"]> | undefined;
  #position = 0;

  constructor(context: CommandContext, path: string) {
    this.#context = context;
    this.path = `${path}.rejected`;
  }

  get storedNote(): string {
    return this.#stored === 0 ? "" : `; ${this.#stored} of them are stored, but their processing failed`;
  }

  add(reject: Reject): void {
    if (!this.#file) {
      this.#file = this.#context.platform.disk.open(this.path, "upsert");
      this.#file.truncate(0);
    }
    const bytes = new TextEncoder().encode(`${JSON.stringify(reject)}\n`);
    this.#file.write(bytes, this.#position);
    this.#position += bytes.length;
    this.count++;
    if (reject.stored) this.#stored++;
  }

  close(): void {
    this.#file?.close();
  }
}
