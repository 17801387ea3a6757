// Calls on a port that only speaks `net/rpc.ts`: a table method → handler, CBOR in and out, one connection handler for conductor and supervisors.
import { decodeControl, encodeControl } from "../base/codec.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { type RpcCall, RpcPeer } from "../net/rpc.ts";
import type { Address, Listener, Transport } from "../net/transport.ts";

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
