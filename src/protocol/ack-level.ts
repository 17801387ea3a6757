// The acknowledgement levels by their public names.

/** When an append resolves. `ACK`: stored, and colocated stream topologies have processed it. `APPEND_ACK`: stored. `NONE`: at once. */
export const AckLevel = Object.freeze({ ACK: "ack", APPEND_ACK: "appendAck", NONE: "none" } as const);
export type AckLevel = (typeof AckLevel)[keyof typeof AckLevel];
