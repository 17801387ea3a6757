// Entry of an engine thread (a Bun worker): hands it the real platform and the doors that module code imports. Started by `roles/worker/engine-handle.ts`.
import { systemEnv } from "./base/env-system.ts";
import * as helpers from "./helpers.ts";
import * as rama from "./index.ts";
import * as client from "./client.ts";
import { tcpTransport } from "./net/transport-tcp.ts";
import { EngineThread } from "./roles/worker/engine-thread.ts";
import type { FromEngine, ToEngine } from "./roles/worker/thread-messages.ts";
import { bunDisk } from "./storage/disk-bun.ts";
import { levelKv } from "./storage/kv-level.ts";
import * as test from "./test.ts";

declare const self: {
  onmessage: ((event: { data: ToEngine }) => void) | null;
  postMessage(message: FromEngine): void;
  close?(): void;
};

const env = systemEnv({ sink: (line) => process.stdout.write(`${line}\n`) });

const thread = new EngineThread({
  platform: { env, disk: bunDisk(), kv: levelKv(), transport: tcpTransport(env) },
  doors: { rama, "rama/test": test, "rama/helpers": helpers, "rama/client": client },
  send: (message) => self.postMessage(message),
  exit: () => self.close?.(),
});

self.onmessage = (event) => thread.onMessage(event.data);
