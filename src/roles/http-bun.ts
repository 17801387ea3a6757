// HTTP of a real process: Bun.serve and fetch.
import { messageOf, RamaError } from "../base/errors.ts";
import type { Http } from "../net/platform.ts";

/** The largest request body (design.md 9: 20 MB, a bundle 64 MB; the handlers check the smaller one). */
const maxBodyBytes = 64 * 1024 * 1024;
/** Bun closes connections that say nothing for so long; a long poll of the UI stays below. */
const idleTimeoutSeconds = 120;

export function bunHttp(): Http {
  return {
    async serve({ host, port }, handler) {
      let server: ReturnType<typeof Bun.serve>;
      try {
        server = Bun.serve({
          hostname: host,
          port,
          fetch: handler,
          maxRequestBodySize: maxBodyBytes,
          idleTimeout: idleTimeoutSeconds,
          development: false,
          // Without this, `development: false` lets a second server take the same port (Bun 1.4.5), and half of the requests.
          reusePort: false,
        });
      } catch (error) {
        const taken = (error as { code?: string }).code === "EADDRINUSE";
        const message = taken ? `port ${port} of ${host} is in use` : `${host}:${port}: ${messageOf(error)}`;
        throw new RamaError(taken ? "PORT_IN_USE" : "BAD_CONFIG", message, { host, port }, error);
      }
      return { host: server.hostname ?? host, port: server.port ?? port, close: () => server.stop(true) };
    },
    fetch: (url, init) => fetch(url, init),
  };
}
