// What several roles derive from rama.yaml alike: the metastore's address, the address to bind, the node's own name.
import { RamaError } from "../base/errors.ts";
import { type Config, type HostPair, hostName } from "../config/rama-yaml.ts";
import type { Metastore } from "../metastore/metastore.ts";
import type { Platform } from "../net/platform.ts";

export function openClusterMetastore(platform: Platform, config: Config): Promise<Metastore> {
  const servers = config
    .require<(string | HostPair)[]>("zookeeper.servers")
    .map((server) => hostName(server, "internal"));
  const port = config.get<number>("zookeeper.port");
  return platform.openMetastore({
    servers: servers.map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`)),
    root: `/${config.get<string>("zookeeper.root").replace(/^\/+|\/+$/g, "")}`,
    sessionTimeoutMs: config.get<number>("zookeeper.session.timeout.millis"),
  });
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** Loopback when the conductor is on loopback, else all interfaces. */
export function bindAddress(config: Config): string {
  const set = config.get<string | undefined>("bind.address");
  if (set !== undefined) return set;
  return isLoopback(config.host("conductor.host", "internal")) ? "127.0.0.1" : "0.0.0.0";
}

/** The name that others reach this node by. BAD_CONFIG when it cannot be found out. */
export function ownHost(config: Config, hostNameOfNode: string, resolves: boolean): string {
  const set = config.get<string | undefined>("supervisor.host");
  if (set !== undefined) return set;
  if (isLoopback(config.host("conductor.host", "internal"))) return "localhost";
  if (resolves) return hostNameOfNode;
  throw new RamaError(
    "BAD_CONFIG",
    `the host name "${hostNameOfNode}" does not resolve; set supervisor.host in rama.yaml`,
    {
      host: hostNameOfNode,
    },
  );
}
