// Calls of a client to whoever can tell it routes: the conductor, and any supervisor that it has heard of. One that does not answer is passed over for the next, so
// that a client which has once been connected lives on while the conductor is away.
import { decodeControl, encodeControl } from "../base/codec.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { RpcClient } from "../net/rpc.ts";
import type { Address, Transport } from "../net/transport.ts";
import { compatibleReleases, type PeersAnswer, type VersionAnswer } from "../protocol/control.ts";
import type { GetRoutes, ModuleRoutes } from "../protocol/routes.ts";
import { GET_MODULE_NAMES, GET_PEERS, GET_ROUTES, GET_VERSION } from "../protocol/table.ts";

const callTimeoutMs = 10_000;
const connectTimeoutMs = 3_000;
/** After so long the next one is asked, too: far above what an answer takes, far below what a failover should wait for one that will not come. */
const silentMs = 500;
/** Supervisors come and go: who there is is asked again this often, beside other calls. */
const peersEveryMs = 30_000;

export class ControlClient {
  readonly #env: Env;
  readonly #transport: Transport;
  readonly #side: GetRoutes["side"];
  readonly #clients = new Map<string, RpcClient>();
  /** Those that answered last stand first. */
  #servers: string[];
  #peersAskedAt = Number.NEGATIVE_INFINITY;

  /** `servers` are `host:port`. */
  constructor(options: { env: Env; transport: Transport; servers: readonly string[]; side: GetRoutes["side"] }) {
    this.#env = options.env;
    this.#transport = options.transport;
    this.#side = options.side;
    this.#servers = [...options.servers];
  }

  /** CONDUCTOR_UNREACHABLE when nobody answers; WRONG_VERSION when the cluster is of another release. */
  async check(release: string): Promise<void> {
    const version = (await this.#ask(GET_VERSION, {})) as VersionAnswer;
    if (compatibleReleases(release, version.release)) return this.#learnPeers();
    throw new RamaError(
      "WRONG_VERSION",
      `the cluster is of release ${version.release}, this client of ${release}; their first two numbers must be the same`,
      { cluster: version.release, client: release },
    );
  }

  async fetchRoutes(moduleName: string): Promise<ModuleRoutes> {
    const ask: GetRoutes = { moduleName, side: this.#side };
    const routes = (await this.#ask(GET_ROUTES, ask)) as ModuleRoutes;
    if (this.#env.monotonicMs() - this.#peersAskedAt > peersEveryMs) {
      this.#env.spawn("who answers for routes", () => this.#learnPeers());
    }
    return routes;
  }

  async moduleNames(): Promise<string[]> {
    return (await this.#ask(GET_MODULE_NAMES, {})) as string[];
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  async #learnPeers(): Promise<void> {
    this.#peersAskedAt = this.#env.monotonicMs();
    try {
      const peers = (await this.#ask(GET_PEERS, {})) as PeersAnswer;
      const named = peers.conductor === null ? peers.supervisors : [peers.conductor, ...peers.supervisors];
      this.#servers = [...new Set([...this.#servers, ...named])].slice(0, 64);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      this.#env.log.debug("supervisors are not known", { error });
    }
  }

  /**
   * One after the other, the next as soon as one has failed, and beside it when one has been silent for a while: a process that is stopped, or a node that is cut off, takes
   * calls and answers none. The first answer counts.
   */
  #ask(method: number, body: unknown): Promise<unknown> {
    const encoded = encodeControl(body);
    const left = [...this.#servers];
    const tried = left.join(", ");
    return new Promise((resolve, reject) => {
      let open = 0;
      let done = false;
      let last: RamaError | undefined;
      const end = (settle: () => void): void => {
        done = true;
        settle();
      };
      const next = (): void => {
        if (done) return;
        const server = left.shift();
        if (server === undefined) {
          if (open > 0) return;
          const message = `nobody answers at ${tried}: ${last?.message}`;
          end(() => reject(new RamaError("CONDUCTOR_UNREACHABLE", message, { tried }, last)));
          return;
        }
        open++;
        const impatience = this.#env.setTimer(silentMs, next);
        this.#env.spawn(`a call to ${server}`, async () => {
          try {
            const answer = await this.#client(server).call(method, encoded, callTimeoutMs);
            if (done) return;
            if (this.#servers[0] !== server)
              this.#servers = [server, ...this.#servers.filter((other) => other !== server)];
            end(() => resolve(decodeControl(answer)));
          } catch (error) {
            open--;
            if (error instanceof RamaError && passesOver(error)) {
              last = error;
              next();
            } else if (!done) end(() => reject(error));
          } finally {
            impatience.cancel();
          }
        });
      };
      next();
    });
  }

  #client(server: string): RpcClient {
    let client = this.#clients.get(server);
    if (client === undefined) {
      client = new RpcClient(this.#env, this.#transport, addressOf(server), { connectTimeoutMs });
      this.#clients.set(server, client);
    }
    return client;
  }
}

function passesOver(error: RamaError): boolean {
  switch (error.code) {
    case "CONNECT_FAILED":
    case "CONNECTION_LOST":
    case "TIMEOUT":
    case "METASTORE_UNAVAILABLE":
    case "MODULE_NOT_RUNNING":
    case "BAD_FRAME":
      return true;
    default:
      return false;
  }
}

function addressOf(server: string): Address {
  const colon = server.lastIndexOf(":");
  const port = Number(server.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new RamaError("BAD_CONFIG", `${server} is not of the form host:port`, { server });
  }
  const host = server.slice(0, colon);
  return { host: host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host, port };
}
