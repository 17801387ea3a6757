// Who tells a client the routes: the conductor first, any supervisor when it is gone.
import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { ControlClient } from "../../../src/client/control-client.ts";
import { MemoryNetwork, MemoryTransport } from "../../../src/net/transport-memory.ts";
import { GET_MODULE_NAMES, GET_PEERS, GET_ROUTES, GET_VERSION } from "../../../src/protocol/table.ts";
import { type ControlHandler, listenForCalls } from "../../../src/roles/control-calls.ts";
import { codeOf } from "../../fake-engine.ts";

const env = systemEnv({ sink: () => {} });

async function cluster(release = "0.1.7") {
  const network = new MemoryNetwork(env);
  const handlers = (name: string): Map<number, ControlHandler> =>
    new Map<number, ControlHandler>([
      [GET_VERSION, () => ({ release, protocol: 1, role: name === "conductor" ? "conductor" : "supervisor" })],
      [GET_PEERS, () => ({ conductor: "conductor:1", supervisors: ["supervisor:2"] })],
      [GET_MODULE_NAMES, () => ["A", "B"]],
      [
        GET_ROUTES,
        ({ moduleName }) => {
          if (moduleName !== "A") throw new RamaError("MODULE_NOT_FOUND", `no module ${moduleName}`);
          return { moduleName, told: name };
        },
      ],
    ]);
  const roles = {
    conductor: new MemoryTransport(network, "conductor"),
    supervisor: new MemoryTransport(network, "supervisor"),
  };
  await listenForCalls(env, roles.conductor, { host: "conductor", port: 1 }, handlers("conductor"));
  await listenForCalls(env, roles.supervisor, { host: "supervisor", port: 2 }, handlers("supervisor"));
  const client = (...servers: string[]) =>
    new ControlClient({ env, transport: new MemoryTransport(network, "client"), servers, side: "external" });
  return { roles, client };
}

test("routes and names come from the conductor; after it has gone, from a supervisor it told of", async () => {
  const { roles, client } = await cluster();
  const control = client("conductor:1");
  await control.check("0.1.0");
  expect(await control.fetchRoutes("A")).toMatchObject({ told: "conductor" });
  expect(await control.moduleNames()).toEqual(["A", "B"]);
  roles.conductor.shutDown();
  expect(await control.fetchRoutes("A")).toMatchObject({ told: "supervisor" });
  expect(await codeOf(control.fetchRoutes("X"))).toBe("MODULE_NOT_FOUND");
  roles.supervisor.shutDown();
  expect(await codeOf(control.fetchRoutes("A"))).toBe("CONDUCTOR_UNREACHABLE");
  control.close();
});

test("a client may know supervisors only, and passes over those that are down", async () => {
  const { client } = await cluster();
  const control = client("nobody:9", "supervisor:2");
  await control.check("0.1.0");
  expect(await control.fetchRoutes("A")).toMatchObject({ told: "supervisor" });
  control.close();
});

test("another release and a malformed address are refused", async () => {
  const { client } = await cluster("0.2.0");
  expect(await codeOf(client("conductor:1").check("0.1.0"))).toBe("WRONG_VERSION");
  expect(await codeOf(client("conductor").check("0.1.0"))).toBe("BAD_CONFIG");
});

test("one that takes calls and does not answer them is not waited for: the next is asked beside it, and first from then on", async () => {
  const network = new MemoryNetwork(env);
  let asked = 0;
  const stopped = new MemoryTransport(network, "stopped");
  const silent = new Map<number, ControlHandler>([[GET_ROUTES, () => new Promise<never>(() => void asked++)]]);
  const answers = new Map<number, ControlHandler>([
    [GET_PEERS, () => ({ conductor: null, supervisors: [] })],
    [GET_ROUTES, ({ moduleName }) => ({ moduleName, told: "the other" })],
  ]);
  await listenForCalls(env, stopped, { host: "stopped", port: 1 }, silent);
  await listenForCalls(env, new MemoryTransport(network, "other"), { host: "other", port: 2 }, answers);
  const transport = new MemoryTransport(network, "client");
  const control = new ControlClient({ env, transport, servers: ["stopped:1", "other:2"], side: "external" });
  expect(await control.fetchRoutes("A")).toMatchObject({ told: "the other" });
  expect(await control.fetchRoutes("A")).toMatchObject({ told: "the other" });
  expect(asked).toBe(1);
  control.close();
  stopped.shutDown();
});
