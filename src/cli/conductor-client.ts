// The CLI's calls to the conductor.
import { decodeControl, encodeControl } from "../base/codec.ts";
import { RamaError } from "../base/errors.ts";
import type { HostPair } from "../config/rama-yaml.ts";
import { RpcClient } from "../net/rpc.ts";
import { BUNDLE_CHUNK_BYTES, PUT_BUNDLE, type PutBundle } from "../protocol/conductor.ts";
import { compatibleReleases, type VersionAnswer } from "../protocol/control.ts";
import { GET_VERSION } from "../protocol/table.ts";
import type { CommandContext } from "./command.ts";

const callTimeoutMs = 20_000;

export class ConductorClient {
  readonly #client: RpcClient;

  private constructor(client: RpcClient) {
    this.#client = client;
  }

  /** CONDUCTOR_UNREACHABLE, WRONG_VERSION. */
  static async connect(context: CommandContext): Promise<ConductorClient> {
    const { env, platform, config, parsed, release } = context;
    const side: keyof HostPair = parsed.options["useInternalHostnames"] ? "internal" : "external";
    const address = { host: config.host("conductor.host", side), port: config.get<number>("conductor.port") };
    const client = new RpcClient(env, platform.transport, address);
    const conductor = new ConductorClient(client);
    let version: VersionAnswer;
    try {
      version = await conductor.call<VersionAnswer>(GET_VERSION, {});
    } catch (error) {
      client.close();
      const where = `${address.host}:${address.port}`;
      throw new RamaError(
        "CONDUCTOR_UNREACHABLE",
        `no conductor answers at ${where} (conductor.host, conductor.port)`,
        { where },
        error,
      );
    }
    if (!compatibleReleases(release, version.release)) {
      client.close();
      throw new RamaError("WRONG_VERSION", `the cluster is of release ${version.release}, this command of ${release}`, {
        cluster: version.release,
        cli: release,
      });
    }
    return conductor;
  }

  async call<T>(method: number, body: unknown, timeoutMs = callTimeoutMs): Promise<T> {
    return decodeControl(await this.#client.call(method, encodeControl(body), timeoutMs)) as T;
  }

  async upload(bytes: Uint8Array, hash: string, onProgress: (done: number) => void): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += BUNDLE_CHUNK_BYTES) {
      const piece: PutBundle = {
        hash,
        offset,
        total: bytes.length,
        bytes: bytes.subarray(offset, offset + BUNDLE_CHUNK_BYTES),
      };
      const { done } = await this.call<{ done: boolean }>(PUT_BUNDLE, piece);
      onProgress(Math.min(bytes.length, offset + BUNDLE_CHUNK_BYTES));
      if (done) return;
    }
  }

  close(): void {
    this.#client.close();
  }
}

/** Connects, works, closes. */
export async function withConductor<T>(
  context: CommandContext,
  work: (conductor: ConductorClient) => Promise<T>,
): Promise<T> {
  const conductor = await ConductorClient.connect(context);
  try {
    return await work(conductor);
  } finally {
    conductor.close();
  }
}
