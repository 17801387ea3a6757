// CBOR for control bodies: calls between roles, values in the metastore. The only file that knows cbor-x. Not for anything that is hashed or compared by
// bytes, and not for records and PState values (`value-codec.ts`).
//
// Plain data only: null, undefined, booleans, numbers, bigints, strings, Uint8Array, Date, arrays, plain objects.
import { Decoder, Encoder } from "cbor-x";
import { messageOf, RamaError } from "./errors.ts";

const options = { useRecords: false, mapsAsObjects: true, variableMapSize: true, copyBuffers: true };
const encoder = new Encoder(options);
const decoder = new Decoder(options);

/** Into memory of its own: what cbor-x hands out is a view of a buffer that it shares between calls. */
export function encodeControl(value: unknown): Uint8Array {
  try {
    return new Uint8Array(encoder.encode(value));
  } catch (error) {
    throw new RamaError("NOT_SERIALIZABLE", `cannot be encoded: ${messageOf(error)}`, {}, error);
  }
}

/** BAD_VALUE for what is not exactly one CBOR value. The result shares no memory with `bytes`. */
export function decodeControl(bytes: Uint8Array): unknown {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new RamaError("BAD_VALUE", `${bytes.length} bytes are not a control body: ${messageOf(error)}`, {}, error);
  }
}
