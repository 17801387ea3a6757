// Every kind of message there is, in one place. A frame on an engine port starts with its kind (u8); the rest of the layout stands in the file of its
// conversation (`append.ts`, `read.ts`, …). Numbers are never used twice. Integers are little-endian, values are in the value codec (`base/value-codec.ts`).
// Conductor, supervisors and the workers' hello ports speak calls (`net/rpc.ts`) whose method numbers stand here too.
// Both sides may send frames as soon as they like, but the first frame of each direction is HELLO and HELLO_OK.

/** Raised when a frame changes its layout. Peers of different versions refuse each other at hello (WRONG_VERSION). */
export const PROTOCOL_VERSION = 1;

// Frames of engine ports.
export const HELLO = 1;
export const HELLO_OK = 2;
/** Why the sender closes the connection; the last frame. */
export const GOODBYE = 3;

export const APPEND = 16;
/** Offsets of whole batches: everything stored and, with ACK, processed; nothing returned. */
export const APPEND_DONE = 17;
/** One batch with ack returns or records whose processing failed. */
export const APPEND_RESULT = 18;
/** Partitions of records whose scheme only the cluster can evaluate. */
export const CHOOSE_PARTITIONS = 19;

export const PREPARE_PATH = 24;
export const SELECT = 25;
/** Partition of a PState for a leading key whose partitioner only the cluster can evaluate. */
export const CHOOSE_TASK = 26;
/** Begins, ends, keeps alive the subscription of a proxy (`proxy.ts`). */
export const WATCH = 27;
export const UNWATCH = 28;
export const WATCH_BEAT = 29;

export const PARTITION_INFO = 32;
export const READ_DEPOT = 33;
/** As topologies of other modules read (`depot-read.ts`): what there is, or what comes next. */
export const FETCH_DEPOT = 34;
export const OFFSET_AT = 35;
export const INVOKE = 40;

/** Answer to a request that has no kind of answer of its own: request u32 | body. */
export const ANSWER = 48;
/** The request was not carried out, or not wholly: request u32 | failure (`failure.ts`). */
export const FAILURE = 49;
/** Unasked for, to a subscriber: a change of what it watches; the end of its subscription. */
export const DIFF = 50;
export const WATCH_ENDED = 51;

/** Between engines: events for one task. */
export const EVENTS = 64;

/** Between the replicas of a task group (`replication.ts`); the leader's hello is the first frame of its connection. */
export const REPLICA_HELLO = 72;
export const REPLICA_STATE = 73;
export const REPLICA_AGREED = 74;
export const REPLICA_ENTRIES = 75;
export const REPLICA_DURABLE = 76;
/** Parts of a store that a follower gets as a whole, and how much of it the follower has taken. */
export const REPLICA_COPY = 77;
export const REPLICA_COPIED = 78;
/** Does it follow this leader still? And: it does. */
export const REPLICA_CONFIRM = 79;
export const REPLICA_CONFIRMED = 80;

// Methods of calls.
/** Any supervisor or the conductor: routes of a module (`routes.ts`). */
export const GET_ROUTES = 1;
/** The conductor: names of the deployed modules. */
export const GET_MODULE_NAMES = 2;
/** Any: who are you, which release. */
export const GET_VERSION = 3;
/** Any: addresses of conductor and supervisors, to be kept for the day when one of them is gone. */
export const GET_PEERS = 4;
/** A worker's hello port: the dynamic options of its module from now on (`SetWorkerOptions`). */
export const SET_WORKER_OPTIONS = 5;
/** A worker's hello port: pause or resume a topology (`PauseTopology`). The conductor takes it with `moduleName` and tells all workers. */
export const PAUSE_TOPOLOGY = 6;
/** A worker's hello port: list, retry or drop dead letters (`DeadLettersCall`). The conductor takes it with `moduleName` and asks all workers. */
export const DEAD_LETTERS = 7;
/** A worker's hello port: hand a task group that it leads over to another replica (`ResignLeader`). */
export const RESIGN_LEADER = 8;

/** Features that a peer of this release has; a peer ignores names that it does not know. */
export const features: readonly string[] = ["append-tokens", "prepared-paths", "proxies", "depot-fetches"];
