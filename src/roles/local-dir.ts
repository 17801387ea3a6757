// A role's directory below `local.dir`: its lock, the ports it took, its id.
//
//   <local.dir>/<role>/lock/        an open LevelDB: its lock goes with the process, however that ends
//   <local.dir>/<role>/owner.json   pid, role, start time: what a refusal quotes
//   <local.dir>/<role>/ports.json   the ports taken, since a configured port may be 0
//   <local.dir>/<role>/id           a supervisor's id
import { messageOf, RamaError } from "../base/errors.ts";
import type { Platform } from "../net/platform.ts";
import type { Kv } from "../storage/kv.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type RoleName = "devZookeeper" | "conductor" | "supervisor";

export class RoleDirectory {
  readonly dir: string;
  readonly #platform: Platform;
  readonly #lock: Kv;

  private constructor(platform: Platform, dir: string, lock: Kv) {
    this.#platform = platform;
    this.dir = dir;
    this.#lock = lock;
  }

  /** STORE_LOCKED that names the process which has it; DISK_READ_ONLY. */
  static async open(platform: Platform, localDir: string, role: RoleName, pid: number): Promise<RoleDirectory> {
    const dir = `${localDir}/${role}`;
    platform.disk.mkdir(`${dir}/lock`);
    const ownerFile = `${dir}/owner.json`;
    let lock: Kv;
    try {
      lock = await platform.kv.open(`${dir}/lock`);
    } catch (error) {
      if (!(error instanceof RamaError) || error.code !== "STORE_LOCKED") throw error;
      const owner = platform.disk.exists(ownerFile)
        ? decoder.decode(platform.disk.readFile(ownerFile)).trim()
        : "an unknown process";
      throw new RamaError("STORE_LOCKED", `another ${role} uses ${dir}: ${owner}`, { dir, owner }, error);
    }
    const owner = { pid, role, started: new Date(platform.env.now()).toISOString() };
    platform.disk.writeFile(ownerFile, encoder.encode(JSON.stringify(owner)));
    return new RoleDirectory(platform, dir, lock);
  }

  writePorts(ports: Readonly<Record<string, number>>): void {
    this.#platform.disk.writeFile(`${this.dir}/ports.json`, encoder.encode(`${JSON.stringify(ports)}\n`));
  }

  /** The id kept in this directory, made at the first call. */
  id(): string {
    const file = `${this.dir}/id`;
    if (this.#platform.disk.exists(file)) return decoder.decode(this.#platform.disk.readFile(file)).trim();
    const id = uuidOf(this.#platform.env.randomBytes(16));
    this.#platform.disk.writeFile(file, encoder.encode(`${id}\n`));
    return id;
  }

  async close(): Promise<void> {
    try {
      await this.#lock.close();
    } catch (error) {
      this.#platform.env.log.warn("closing the lock", { dir: this.dir, error: messageOf(error) });
    }
  }
}

/** Version 4, from 16 random bytes. */
export function uuidOf(random: Uint8Array): string {
  const bytes = random.slice(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
