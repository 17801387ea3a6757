// A single-node cluster out of an unpacked release, as a person would start it: three daemons, each a process of the executable, every port a free one.
// `stop` ends all in order; `kill` is for when something failed, and reaches workers too, which outlive their supervisor by design.
import { type Subprocess, spawn } from "bun";
import { existsSync, openSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Role = "devZookeeper" | "conductor" | "supervisor";

const startTimeoutMs = 20_000;
const stopTimeoutMs = 12_000;

export class CommandFailed extends Error {}

export class DemoCluster {
  /** The unpacked release. */
  readonly dir: string;
  readonly #daemons = new Map<Role, Subprocess>();

  constructor(dir: string) {
    this.dir = dir;
    this.#set({
      "zookeeper.port": 0,
      "conductor.port": 0,
      "cluster.ui.port": 0,
      "supervisor.http.port": 0,
      "supervisor.port.range": 0,
    });
  }

  get pids(): ReadonlyMap<Role, number> {
    return new Map([...this.#daemons].map(([role, process]) => [role, process.pid]));
  }

  get conductorPort(): number {
    return this.#ports("conductor")["rpc"]!;
  }

  get uiUrl(): string {
    return `http://localhost:${this.#ports("conductor")["ui"]}`;
  }

  get restUrl(): string {
    return `http://localhost:${this.#ports("supervisor")["http"]}`;
  }

  /** Each daemon takes a free port; the next ones find it in rama.yaml. */
  async start(): Promise<void> {
    await this.#startRole("devZookeeper");
    this.#set({ "zookeeper.port": this.#ports("devZookeeper")["client"]! });
    await this.#startRole("conductor");
    this.#set({ "conductor.port": this.conductorPort, "cluster.ui.port": this.#ports("conductor")["ui"]! });
    await this.#startRole("supervisor");
  }

  /** `./rama …` in the release's directory; its output. CommandFailed with what it said. */
  async rama(...args: string[]): Promise<string> {
    const child = spawn([join(this.dir, "rama"), ...args], {
      cwd: this.dir,
      env: this.#env(),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) throw new CommandFailed(`./rama ${args.join(" ")} ended with ${code}\n${out}${err}`);
    return out.trim();
  }

  /** Destroys the modules, whose workers end with them, then stops supervisor, conductor and devZookeeper. */
  async stop(modules: readonly string[]): Promise<void> {
    for (const module of modules) await this.rama("destroy", module);
    for (const role of ["supervisor", "conductor", "devZookeeper"] as const) await this.#stopRole(role);
  }

  /** Ends every process of this cluster that is still there, at once. */
  kill(): void {
    for (const process of this.#daemons.values()) process.kill("SIGKILL");
    this.#daemons.clear();
    for (const pid of this.#workerPids()) killQuietly(pid);
  }

  /** The last lines of every log, newest role last. */
  logTails(lines = 15): string {
    const dir = join(this.dir, "logs");
    if (!existsSync(dir)) return "";
    return readdirSync(dir)
      .map((name) => ({ name, text: readFileSync(join(dir, name), "utf8").trimEnd() }))
      .filter(({ text }) => text !== "")
      .map(({ name, text }) => `--- logs/${name}\n${text.split("\n").slice(-lines).join("\n")}`)
      .join("\n");
  }

  async #startRole(role: Role): Promise<void> {
    const log = openSync(join(this.dir, `logs/${role}.out`), "a");
    // A process group of its own: Ctrl-C reaches this program alone, which then stops the daemons in order.
    const child = spawn([join(this.dir, "rama"), role], {
      cwd: this.dir,
      env: this.#env(),
      stdin: "ignore",
      stdout: log,
      stderr: log,
      detached: true,
    });
    child.unref();
    this.#daemons.set(role, child);
    const deadline = performance.now() + startTimeoutMs;
    while (!this.#ready(role)) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new CommandFailed(`./rama ${role} ended with ${child.exitCode ?? child.signalCode}`);
      if (performance.now() > deadline)
        throw new CommandFailed(`./rama ${role} was not ready after ${startTimeoutMs / 1000} s`);
      await Bun.sleep(10);
    }
  }

  /** Its ports are written and its log has the line of the start. */
  #ready(role: Role): boolean {
    const log = join(this.dir, `logs/${role}.out`);
    return existsSync(this.#portsFile(role)) && /listens on|REST on/.test(readFileSync(log, "utf8"));
  }

  async #stopRole(role: Role): Promise<void> {
    const child = this.#daemons.get(role);
    if (!child) return;
    child.kill("SIGTERM");
    const ended = await Promise.race([child.exited, Bun.sleep(stopTimeoutMs).then(() => "late" as const)]);
    if (ended === "late") throw new CommandFailed(`./rama ${role} did not stop within ${stopTimeoutMs / 1000} s`);
    this.#daemons.delete(role);
    if (ended !== 0) throw new CommandFailed(`./rama ${role} ended with ${ended} when it was stopped`);
  }

  #workerPids(): number[] {
    const dir = join(this.dir, "local-rama-data/supervisor/workers");
    if (!existsSync(dir)) return [];
    return readdirSync(dir)
      .map((name) => join(dir, name, "process.json"))
      .filter((file) => existsSync(file))
      .map((file) => (JSON.parse(readFileSync(file, "utf8")) as { pid: number }).pid);
  }

  #portsFile(role: Role): string {
    return join(this.dir, "local-rama-data", role, "ports.json");
  }

  #ports(role: Role): Record<string, number> {
    return JSON.parse(readFileSync(this.#portsFile(role), "utf8")) as Record<string, number>;
  }

  #env(): Record<string, string | undefined> {
    return { ...process.env, RAMA_HOME: this.dir };
  }

  /** Changes settings in rama.yaml, where each stands as a comment with its default. */
  #set(settings: Readonly<Record<string, number>>): void {
    const path = join(this.dir, "rama.yaml");
    let text = readFileSync(path, "utf8");
    for (const [name, value] of Object.entries(settings)) {
      const line = new RegExp(`^#?${name.replaceAll(".", "\\.")}:.*$`, "m");
      if (!line.test(text)) throw new Error(`rama.yaml of the release has no line for ${name}`);
      text = text.replace(line, `${name}: ${value}`);
    }
    writeFileSync(path, text);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}
