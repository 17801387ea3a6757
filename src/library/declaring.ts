// Types that the helpers' constructors and `declarePStates` share.
import type { PState, Topologies } from "../index.ts";

/** A stream or microbatch topology: what owns the PStates of a helper. */
export type OwningTopology = ReturnType<Topologies["stream"]> | ReturnType<Topologies["microbatch"]>;

/** The class of a key. */
export type KeyClass = Parameters<typeof PState.mapSchema>[0];

/** The class of a value, or a schema. */
export type ValueSchema = Parameters<typeof PState.mapSchema>[1];

/** Ids of one kind count from 0, or from here down: every integer between is exact. */
export const greatestId = Number.MAX_SAFE_INTEGER;
