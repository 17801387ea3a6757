// Child processes that outlive their parent: own session, no pipes. A restarted supervisor finds them again by pid.
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, RamaError } from "../base/errors.ts";
import type { ChildProcess, Processes } from "./platform.ts";

export function bunProcesses(): Processes {
  return {
    start({ command, cwd, env, outFile }): ChildProcess {
      mkdirSync(dirname(outFile), { recursive: true });
      const out = openSync(outFile, "a");
      try {
        const [program, ...args] = command;
        const child = spawn(program!, args, { cwd, env: { ...env }, detached: true, stdio: ["ignore", out, out] });
        // What a missing program says arrives later; the pid tells at once.
        child.on("error", () => {});
        if (child.pid === undefined) throw new Error(`${program} cannot be started`);
        child.unref();
        return { pid: child.pid };
      } catch (error) {
        throw new RamaError("BAD_CONFIG", `${command.join(" ")}: ${messageOf(error)}`, { command, cwd }, error);
      } finally {
        closeSync(out);
      }
    },
    birth,
    signal(pid, signal) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if ((error as { code?: string }).code !== "ESRCH") throw error;
      }
    },
  };
}

/** A zombie that its parent has not waited for yet is not there. On Linux: the boot's id and the start in clock ticks since then. */
function birth(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    if ((error as { code?: string }).code !== "EPERM") return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Behind the name, which may hold anything, come the state and 19 numbers up to the start.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") return undefined;
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${fields[19]}`;
  } catch {
    // No /proc on this system, or gone in between: the next look tells.
    return "";
  }
}
