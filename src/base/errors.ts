// Kind 2 of errors: trouble that someone can act on. One class, one table of codes; `docs/errors.md` is generated from the table. A code exists only
// if some caller or operator would act differently on it. Messages say what, with which values, and what to do.

export type Fault = "user" | "operator" | "cluster";

export interface ErrorKind {
  /** May the same call succeed later, unchanged? */
  readonly retryable: boolean;
  readonly fault: Fault;
  /** HTTP status where the error crosses REST. */
  readonly status: 400 | 404 | 409 | 413 | 500 | 503;
  /** What to do, as an imperative sentence. */
  readonly advice: string;
}

const user = (advice: string, status: ErrorKind["status"] = 400): ErrorKind => ({
  retryable: false,
  fault: "user",
  status,
  advice,
});
const operator = (advice: string, status: ErrorKind["status"] = 500): ErrorKind => ({
  retryable: false,
  fault: "operator",
  status,
  advice,
});
const passing = (advice: string, status: ErrorKind["status"] = 503): ErrorKind => ({
  retryable: true,
  fault: "cluster",
  status,
  advice,
});

/** Grouped by where they arise. Keep each group together. */
export const errorTable = {
  // disk and stores
  DISK_FULL: {
    retryable: true,
    fault: "operator",
    status: 503,
    advice: "Free space on that file system; the cluster resumes by itself.",
  },
  DISK_READ_ONLY: operator("Make the directory writable for the user that runs the process."),
  DISK_FAILED: operator("Look at the system log for disk errors; the groups on that disk are stopped."),
  FILE_NOT_FOUND: user("Check the path.", 404),
  STORE_LOCKED: operator("Another process uses this directory: stop it, or give this one its own local.dir.", 409),
  STORE_CORRUPT: operator("Restore this directory from a replica or a backup; nothing more was written to it."),
  // network
  PORT_IN_USE: operator("Stop the process that holds the port, or choose another one in rama.yaml.", 409),
  CONNECT_FAILED: passing("Check that the process runs and that the address is right."),
  CONNECTION_LOST: passing("The request may have been carried out; it is repeated where that is safe."),
  FRAME_TOO_LARGE: user("Send less at once.", 413),
  BAD_FRAME: user("The peer does not speak this protocol or its version."),
  TIMEOUT: passing("Try again, or raise the timeout."),
  WRONG_VERSION: user("Use the client and the CLI of the cluster's release.", 409),
  TOO_LARGE: user("Make it smaller, or raise the setting that is named.", 413),
  // replication
  IN_SYNC_TOO_SMALL: passing("Bring the nodes of the missing replicas back; the group then goes on by itself."),
  LEADER_STAYS: passing("The present leader goes on; the conductor tries again when the leaders are balanced next."),
  // metastore
  METASTORE_CONFLICT: passing("Read again and repeat the change.", 409),
  METASTORE_NODE_EXISTS: user("It is there already.", 409),
  METASTORE_NO_NODE: user("It is not there.", 404),
  METASTORE_UNAVAILABLE: passing("Check that ZooKeeper runs at zookeeper.servers and zookeeper.port."),
  // values and schemas
  NOT_SERIALIZABLE: user(
    "Use plain data, a class that the bundle exports (a client outside is given it: open({ classes: [MyClass] })), or a custom serialization.",
  ),
  NOT_A_KEY: user("Use null, booleans, numbers, strings, bytes, dates or arrays of those as keys."),
  BAD_JSON: user("Send JSON; a marked string such as #__L5 must hold what its mark says."),
  BAD_VALUE: user("The bytes are not a value of this version."),
  SCHEMA_MISMATCH: user("Write what the PState's schema says, or change the schema."),
  BAD_SCHEMA: user("Change the schema as the message says."),
  // paths
  BAD_PATH: user("Change the path as the message says."),
  NOT_EXACTLY_ONE: user(
    "Use select where a path can navigate to none or to many; let a query reach its end exactly once.",
  ),
  INDEX_OUT_OF_RANGE: user("Check the size first, or use a filter."),
  NO_TERMINAL: user("End every route of the transform in termVal, term or termVoid."),
  VOID_AT_ROOT: user("Remove something inside the PState, not its root."),
  FUNCTION_IN_CLIENT_PATH: user("Use an Op or a function that the module exports; other functions cannot be sent."),
  STRUCTURE_NOT_A_VALUE: user("Navigate on inside the subindexed structure: a range, all, or view(Ops.SIZE)."),
  // building a module
  BAD_MODULE: user("Change the module as the message says."),
  DUPLICATE_NAME: user("Give each depot, PState, topology and query its own name."),
  UNKNOWN_OBJECT: user("Declare it first, or correct its spelling.", 404),
  UNKNOWN_VAR: user("Bind the var before it is used, on every branch that leads there."),
  NOT_OWNER: user("Write a PState only from the topology that declares it."),
  WRONG_ARGUMENT_COUNT: user("Give as many arguments as the operation takes."),
  WRONG_OUTPUT_COUNT: user("Bind as many vars as the operation emits fields."),
  NOT_ALLOWED_HERE: user("See where the method may stand in the reference."),
  BAD_CONSTANT: user("Use plain immutable data, a function, or a task global."),
  PREAGG_SHADOWED: user("Give the var another name inside this batch block."),
  PREAGG_NO_JOIN: user("Bind the missing vars in the same branch, or give the sources common vars."),
  UNJOINED_SOURCES: user("Join or unify every source of the batch block into one branch."),
  UNDRAINED_STREAM: user("Unify the named stream with the rest before aggregating."),
  PARTITIONER_IN_POSTAGG: user("Wrap the aggregation in a SubBatch and partition its rows."),
  NO_FINAL_ORIGIN: user("End the query's pre-aggregation with originPartition()."),
  BAD_BUNDLE: user("Make the bundle with `rama bundle` and name an exported module class."),
  // running a module
  USER_CODE_FAILED: user("See the cause.", 500),
  NO_SUB_SOURCE: user("Add a SubSource for that kind of value."),
  FIELD_MISSING: user("Give the record that field, or destructure with an object pattern."),
  BAD_PARTITION: user("Return a partition index inside [0, partitions)."),
  PROCESSING_FAILED: user("The record is stored and is retried by its source's mode; see the cause.", 500),
  OVERLOADED: passing("Do less at once: wait for answers before you ask for more. Nothing was stored."),
  NOT_APPENDABLE: user("Append from module code, or use another depot scheme."),
  OFFSET_OUT_OF_RANGE: user("Read between the start and end offsets of the partition."),
  APPEND_OUTCOME_UNKNOWN: passing("The record may be stored: read before you append it again."),
  KEY_REQUIRED: user("Begin the path with key(…), or give the partitioning key."),
  PRIVATE_PSTATE: user("Read it through a query topology of the module."),
  // cluster
  MODULE_NOT_FOUND: user("Check the name; `rama moduleStatus` without a name lists the modules.", 404),
  MODULE_EXISTS: user("Update it with --action update, or destroy it first.", 409),
  MODULE_NOT_RUNNING: passing("Wait until moduleStatus says RUNNING."),
  MOVED: passing("Ask the new owner; clients do so by themselves."),
  BAD_PARALLELISM: user("tasks must be a power of two, and tasks ≥ threads ≥ workers ≥ 1."),
  NOT_ENOUGH_SUPERVISORS: operator("Start more supervisors, or ask for fewer replicas.", 409),
  MISSING_DEPENDENCY: user("Launch the module that it depends on first.", 409),
  DEPENDED_ON: user("Update or destroy the modules that depend on it first.", 409),
  DELETION_NOT_NAMED: user("Name exactly the removed depots and PStates with --objectsToDelete.", 409),
  INCOMPATIBLE_UPDATE: user(
    "Change it as updates allow, wrap its schema in PState.migrated, or use a new object.",
    409,
  ),
  LEADERS_DISALLOWED: operator(
    "Allow leaders on the node that is named first: one node at a time may be without.",
    409,
  ),
  SUPERVISOR_NOT_FOUND: user(
    "Give the id of a supervisor that runs; the Cluster UI and `rama taskGroupsStatus` show it.",
    404,
  ),
  CONDUCTOR_UNREACHABLE: passing("Start `rama conductor`, or correct conductor.host in rama.yaml."),
  BAD_CONFIG: operator("Correct the setting; `rama options` lists all with types and defaults.", 400),
  BAD_ARGUMENTS: user("See --help."),
  INTERNAL: {
    retryable: false,
    fault: "cluster",
    status: 500,
    advice: "This is a bug in rama: report it with the log.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

/**
 * The one error of the public surface. `code` is from the table above; `facts` are the values that the message names.
 * `cause` keeps the error that lies below.
 */
export class RamaError extends Error {
  override name = "RamaError";
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, facts: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.facts = facts;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  get advice(): string {
    return errorTable[this.code].advice;
  }

  /** Of a failed append: whether the record is stored all the same. */
  get stored(): boolean | undefined {
    return this.facts["stored"] as boolean | undefined;
  }

  /** The topology whose processing failed. */
  get topology(): string | undefined {
    return this.facts["topology"] as string | undefined;
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
