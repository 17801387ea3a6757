// The files by which a supervisor and its workers know of each other, so that either may be killed and started again:
//
//   <supervisor dir>/workers/<workerId>/
//     assignment.json   what the worker shall run (roles/worker/assignment.ts); written before it is started
//     process.json      pid and start time, written by the supervisor after the start
//     prepared.json     written by a worker that was told to wait, once it has loaded its module: its pid, its ports
//     go                written by the supervisor: such a worker opens its stores now
//     status.json       written by the worker: ports and what it recovered, once it serves
//     failure.json      written by the worker before it ends because it could not start
//     heartbeat         written by the worker every worker.heartbeat.frequency.millis: its pid and the time
//   <supervisor dir>/data/<data id>-w<worker index>/
//     the stores of that worker of the module: passed on from instance to instance by updates, deleted when no task names them any more
import type { Disk } from "../../storage/disk.ts";

export interface ProcessFile {
  readonly pid: number;
  /** `Processes.birth`: another process may have the pid later. Absent in files of earlier releases. */
  readonly birth?: string;
  readonly startedMs: number;
  readonly starts: number;
  readonly startsInARow: number;
  readonly everReady: boolean;
}

export interface PreparedFile {
  readonly pid: number;
  /** Where it listens already. */
  readonly groupPorts: Readonly<Record<string, number>>;
}

export interface StatusFile {
  readonly pid: number;
  readonly helloPort: number;
  readonly groupPorts: Readonly<Record<string, number>>;
  readonly recovered: { readonly entries: number; readonly tornBytes: number; readonly ms: number };
}

export interface HeartbeatFile {
  readonly pid: number;
  readonly atMs: number;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class WorkerFiles {
  readonly dir: string;
  readonly #disk: Disk;

  constructor(disk: Disk, dir: string) {
    this.#disk = disk;
    this.dir = dir;
  }

  /** Ids of all workers that have a directory. */
  static list(disk: Disk, supervisorDir: string): string[] {
    return disk.list(`${supervisorDir}/workers`);
  }

  static of(disk: Disk, supervisorDir: string, workerId: string): WorkerFiles {
    return new WorkerFiles(disk, `${supervisorDir}/workers/${workerId}`);
  }

  get assignmentPath(): string {
    return `${this.dir}/assignment.json`;
  }

  /** Where the stores of a module's worker are. */
  static dataDir(supervisorDir: string, dataId: string, workerIndex: number): string {
    return `${supervisorDir}/data/${dataId}-w${workerIndex}`;
  }

  create(assignment: unknown): void {
    this.#disk.mkdir(this.dir);
    this.#write("assignment.json", assignment);
    for (const name of ["status.json", "prepared.json", "go"]) this.#disk.remove(`${this.dir}/${name}`);
    this.#disk.remove(`${this.dir}/heartbeat`);
  }

  writeProcess(file: ProcessFile): void {
    this.#write("process.json", file);
  }

  writePrepared(file: PreparedFile): void {
    this.#write("prepared.json", file);
  }

  prepared(pid: number): PreparedFile | undefined {
    const prepared = this.#read<PreparedFile>("prepared.json");
    return prepared?.pid === pid ? prepared : undefined;
  }

  letGo(): void {
    if (!this.isLetGo) this.#write("go", {});
  }

  /** The supervisor has said so. */
  get isLetGo(): boolean {
    return this.#disk.exists(`${this.dir}/go`);
  }

  writeStatus(file: StatusFile): void {
    this.#write("status.json", file);
  }

  /** Not made durable: only its age counts. */
  writeHeartbeat(file: HeartbeatFile): void {
    const handle = this.#disk.open(`${this.dir}/heartbeat`, "upsert");
    try {
      handle.write(encoder.encode(JSON.stringify(file).padEnd(64)), 0);
    } finally {
      handle.close();
    }
  }

  process(): ProcessFile | undefined {
    return this.#read<ProcessFile>("process.json");
  }

  /** Only of the process that runs: an earlier one's does not count. */
  status(pid: number): StatusFile | undefined {
    const status = this.#read<StatusFile>("status.json");
    return status?.pid === pid ? status : undefined;
  }

  heartbeatMs(pid: number): number {
    const heartbeat = this.#read<HeartbeatFile>("heartbeat");
    return heartbeat?.pid === pid ? heartbeat.atMs : 0;
  }

  assignment<T>(): T | undefined {
    return this.#read<T>("assignment.json");
  }

  /** Why the last start failed, as the worker said it. */
  failure(): string | undefined {
    return this.#read<{ message: string }>("failure.json")?.message;
  }

  writeFailure(message: string): void {
    this.#write("failure.json", { message });
  }

  remove(): void {
    this.#disk.removeTree(this.dir);
  }

  #write(name: string, value: unknown): void {
    this.#disk.writeFile(`${this.dir}/${name}`, encoder.encode(JSON.stringify(value)));
  }

  /** undefined also for a file that is being written at this moment. */
  #read<T>(name: string): T | undefined {
    const path = `${this.dir}/${name}`;
    if (!this.#disk.exists(path)) return undefined;
    try {
      return JSON.parse(decoder.decode(this.#disk.readFile(path))) as T;
    } catch {
      return undefined;
    }
  }
}
