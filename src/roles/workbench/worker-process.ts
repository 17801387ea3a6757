// Starting a worker as a process of its own: the executable again, with what `worker.child.opts` means for a Bun program.
//
//   -Xmx<n>[kmg]     a memory guard of ours, checked by the worker (RAMA_MEMORY_LIMIT_BYTES)
//   -D… -X… -verbose… -javaagent…   JVM flags: accepted, with one note in the log
//   --smol, --cpu-prof, …           runtime flags, handed on in BUN_OPTIONS
import type { Config } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import type { StartWorker } from "../supervisor/worker-pool.ts";
import { selfCommand } from "./home.ts";

export interface ChildOptions {
  readonly memoryLimitBytes: number | undefined;
  readonly runtimeFlags: readonly string[];
  readonly ignored: readonly string[];
}

const units: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

export function parseChildOptions(text: string, workerId: string): ChildOptions {
  let memoryLimitBytes: number | undefined;
  const runtimeFlags: string[] = [];
  const ignored: string[] = [];
  for (const word of text.replaceAll("%ID%", workerId).split(/\s+/).filter(Boolean)) {
    const limit = /^-Xmx(\d+)([kmg]?)$/i.exec(word);
    if (limit) memoryLimitBytes = Number(limit[1]) * units[limit[2]!.toLowerCase()]!;
    else if (word.startsWith("--")) runtimeFlags.push(word);
    else ignored.push(word);
  }
  return { memoryLimitBytes, runtimeFlags, ignored };
}

/** Output goes to <home>/logs/worker-<id>.out. */
export function workerStarter(platform: Platform, home: string): StartWorker {
  return ({ workerId, assignmentPath, config }) => {
    const options = parseChildOptions(config.get<string>("worker.child.opts"), workerId);
    if (options.ignored.length > 0) {
      platform.env.log.info("worker.child.opts: JVM flags are ignored", {
        worker: workerId,
        flags: options.ignored.join(" "),
      });
    }
    platform.disk.mkdir(`${home}/logs`);
    const { pid } = platform.processes.start({
      command: [...selfCommand(), "worker", assignmentPath],
      cwd: home,
      env: {
        ...environment(),
        RAMA_HOME: home,
        ...(options.runtimeFlags.length > 0 ? { BUN_OPTIONS: options.runtimeFlags.join(" ") } : {}),
        ...(options.memoryLimitBytes === undefined
          ? {}
          : { RAMA_MEMORY_LIMIT_BYTES: String(options.memoryLimitBytes) }),
      },
      outFile: redirects(config) ? `${home}/logs/worker-${workerId}.out` : "/dev/null",
    });
    return pid;
  };
}

function environment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function redirects(config: Config): boolean {
  return config.get<boolean>("supervisor.redirect.worker.stdout");
}
