// Calls on a port that only speaks `net/rpc.ts`: a table method → handler, CBOR in and out, one connection handler for conductor and supervisors.
import { decodeControl, encodeControl } from "../base/codec.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { type RpcCall, RpcPeer } from "../net/rpc.ts";
import type { Address, Listener, Transport } from "../net/transport.ts";
import type { OptionSetting } from "../protocol/cluster-records.ts";
import type { DeadLettersCall } from "../protocol/control.ts";

/** Gets the decoded body; what it returns is the answer. The body is from outside: the handler checks what it uses. */
export type ControlHandler = (body: Record<string, unknown>, call: RpcCall) => unknown | Promise<unknown>;

export function listenForCalls(
  env: Env,
  transport: Transport,
  address: Address,
  handlers: ReadonlyMap<number, ControlHandler>,
): Promise<Listener> {
  return transport.listen(
    address,
    (connection) =>
      new RpcPeer(env, connection, {
        async onCall(method, bytes, call) {
          const handler = handlers.get(method);
          if (!handler) throw new RamaError("BAD_FRAME", `method ${method} is not known on this port`, { method });
          const body = bytes.length === 0 ? {} : decodeControl(bytes);
          if (typeof body !== "object" || body === null || Array.isArray(body)) {
            throw new RamaError("BAD_FRAME", `the body of method ${method} must be a map`, { method });
          }
          return encodeControl((await handler(body as Record<string, unknown>, call)) ?? {});
        },
      }),
  );
}

/** BAD_FRAME unless the field is there with that type. */
export function field<T extends "string" | "number" | "boolean" | "object">(
  body: Record<string, unknown>,
  name: string,
  type: T,
): unknown {
  const value = body[name];
  if (typeof value !== type || value === null)
    throw new RamaError("BAD_FRAME", `field ${name} must be a ${type}, got ${typeof value}`, { name });
  return value;
}

/** BAD_FRAME unless it is a call about dead letters, with a choice of fields of the right types. */
export function checkedDeadLetters(body: Record<string, unknown>): DeadLettersCall {
  const action = field(body, "action", "string") as DeadLettersCall["action"];
  if (!["list", "retry", "drop"].includes(action))
    throw new RamaError("BAD_FRAME", `dead letters are listed, retried or dropped, not ${action}`, {});
  const choice = field(body, "choice", "object") as Record<string, unknown>;
  for (const name of ["topology", "depot"]) if (choice[name] !== undefined) field(choice, name, "string");
  for (const name of ["partition", "offset"]) if (choice[name] !== undefined) field(choice, name, "number");
  return { action, choice };
}

/** BAD_FRAME unless it is a list of settings. */
export function checkedSettings(body: Record<string, unknown>): OptionSetting[] {
  const settings = field(body, "options", "object");
  if (!Array.isArray(settings)) throw new RamaError("BAD_FRAME", "options must be a list");
  for (const setting of settings as unknown[]) {
    if (typeof setting !== "object" || setting === null)
      throw new RamaError("BAD_FRAME", "each of the options must be a map");
    for (const name of ["scope", "object", "name"]) field(setting as Record<string, unknown>, name, "string");
  }
  return settings as OptionSetting[];
}
