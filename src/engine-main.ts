// Entry of an engine thread (a Bun worker): hands in the real platform and the doors, and passes messages. What the thread does is `roles/worker/engine-thread.ts`.
import { doors } from "./doors.ts";
import { systemPlatform } from "./roles/platform-system.ts";
import { EngineThread } from "./roles/worker/engine-thread.ts";
import { rehearse } from "./roles/worker/rehearsal.ts";
import type { ToEngine } from "./roles/worker/thread-messages.ts";

declare const self: Worker & { postMessage(message: unknown): void };

const platform = systemPlatform({ logLevel: "info", sink: (line) => void process.stderr.write(`${line}\n`) });
const thread = new EngineThread({
  platform,
  doors,
  rehearse,
  send: (message) => self.postMessage(message),
  exit: () => process.exit(0),
});
self.onmessage = (event: MessageEvent<ToEngine>) => thread.onMessage(event.data);
