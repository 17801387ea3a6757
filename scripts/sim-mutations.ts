// Bugs that are planted into our own protocol code, one at a time, to see that the simulator finds them (`npm run sim -- --mutations`). Each is a piece of source text and
// what stands in its place when the file is loaded: the product carries no switch for it. A test sees to it that every text still stands where it is looked for.

export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly put: string;
  /** Kinds of faults to look with; all when left out. */
  readonly kinds?: string;
}

export const mutations: readonly Mutation[] = [
  {
    name: "inline fsync is skipped",
    file: "src/storage/log.ts",
    find: "    const startMs = this.#env.monotonicMs();\n    try {\n      this.#file!.datasyncSync();\n",
    put: "    const startMs = this.#env.monotonicMs();\n    try {\n",
  },
  {
    name: "asynchronous fsync is skipped",
    file: "src/storage/log.ts",
    find: "      await this.#file!.datasync();\n",
    put: "",
  },
  {
    name: "replies leave before their entries are durable",
    file: "src/task/commit-loop.ts",
    find: "next !== undefined && next.upTo <= this.#durable;",
    put: "next !== undefined;",
  },
  {
    name: "entries are applied before they are durable",
    kinds: "power cut in a sync,slow syncs,kill worker",
    file: "src/replication/replog.ts",
    find: "while (at < numbers.length && numbers[at]! <= logNumber) at++;",
    put: "while (at < numbers.length) at++;",
  },
  {
    name: "a segment's name is not synced",
    file: "src/storage/log.ts",
    find: "    this.#disk.syncDir(this.#dir);\n    const header",
    put: "    const header",
  },
  {
    name: "a torn tail is left in the log",
    kinds: "power cut in a sync,power cut",
    file: "src/storage/log-open.ts",
    find: "    if (!restIsZero) file.truncate(validEnd);\n",
    put: "",
  },
  {
    name: "the last batch is trusted after a restart, synced or not",
    file: "src/storage/log-open.ts",
    find: "    if (validEnd > lastBatch) file.write(bytes.subarray(lastBatch, validEnd), lastBatch);\n",
    put: "",
  },
  {
    name: "the log is not synced again after a restart",
    kinds: "kill worker and power cut",
    file: "src/storage/log-open.ts",
    find: "    file.datasyncSync();\n    disk.syncDir(dir);\n    newest.bytes",
    put: "    newest.bytes",
  },
  {
    name: "a damaged record ends the log silently",
    kinds: "bit flip,kill worker",
    file: "src/storage/log-open.ts",
    find: "if (damaged >= 0) throw this.#corrupt(path, scan.validEnd);",
    put: "void damaged;",
  },
  {
    name: "recovery applies what the store has already",
    file: "src/task/engine-store.ts",
    find: "    if (part.applied) return;\n",
    put: "",
  },
  {
    name: "half a turn counts after a crash",
    kinds: "power cut in a sync,power cut",
    file: "src/task/turn-entry.ts",
    find: "    if ((flags & LAST) === 0) {",
    put: "    if (false as boolean) {",
  },
  {
    name: "flushes are not synced",
    file: "src/replication/flush.ts",
    find: "await kv.batch(ops, { sync: true });",
    put: "await kv.batch(ops, { sync: false });",
  },
  {
    name: "the log lets go before the flush",
    file: "src/replication/flush.ts",
    find: "    try {\n      await kv.batch(ops",
    put: "    for (const group of changed) log.release(group.group, group.nextApplied);\n    try {\n      await kv.batch(ops",
  },
  {
    name: "depot files count as synced when they are not",
    file: "src/replication/flush.ts",
    find: "if ((await group.sources.depots?.sync()) === false) continue;",
    put: "",
  },
  {
    name: "a flush says that it has more than it has",
    file: "src/replication/flush.ts",
    find: "    group.nextApplied = applied;\n    ops.push(positionsOp(group.group, { applied,",
    put: "    group.nextApplied = applied;\n    ops.push(positionsOp(group.group, { applied: applied + 1,",
  },
  {
    name: "an append that is sent again is stored again",
    file: "src/depot/partition.ts",
    find: "      if (known !== undefined) {\n        this.#whenApplied",
    put: "      if (known !== undefined && false) {\n        this.#whenApplied",
  },
  {
    name: "tokens are not recovered from the log",
    file: "src/depot/partition.ts",
    find: "    this.changed = true;\n    if (token !== null) this.dedupe.record(",
    put: "    this.changed = true;\n    if (token !== null && false) this.dedupe.record(",
  },
  {
    name: "tokens are not flushed",
    file: "src/depot/dedupe.ts",
    find: "if (applied > 0) puts.push(",
    put: "if (applied > 0 && false) puts.push(",
  },
  {
    name: "an old append that arrives late is taken for a new one",
    file: "src/depot/dedupe.ts",
    find: "    throw unknown(`the last append of the client has number ${known.seqs[last]}`, seq);",
    put: "    return undefined;",
  },
  {
    name: "a client sends again under a new number",
    file: "src/client/partition-queue.ts",
    find: "if (batch.sequence < 0) {",
    put: "if (batch.sequence < 0 || true) {",
  },
  {
    name: "a client sends again behind what came later",
    file: "src/client/partition-queue.ts",
    find: "this.#waiting.unshift(...this.#inFlight.splice(0));",
    put: "this.#waiting.push(...this.#inFlight.splice(0));",
  },
  {
    name: "a client takes an unknown outcome for a refusal",
    file: "src/client/partition-queue.ts",
    find: 'batch.fail(batch.sequence < 0 ? this.#notSent() : this.#unknown("no answer in time"));',
    put: "batch.fail(this.#notSent());",
  },
  {
    name: "what an open tree has written is written again",
    file: "src/topology/stream/batch.ts",
    find: "this.#applied = tree.again && this.marks.has(tree.origin, event.path);",
    put: "this.#applied = false;",
  },
  {
    name: "marks are not recovered",
    file: "src/task/engine-store.ts",
    find: "marks: (bytes) => this.found.marks.push({ group, bytes }),",
    put: "marks: () => {},",
  },
  {
    name: "stream progress forgets open records at a crash",
    file: "src/topology/stream/progress.ts",
    find: "  readOffsets(reader, (offset) => state.open.add(offset));\n}\n\nexport function encodeState",
    put: "  readOffsets(reader, () => {});\n}\n\nexport function encodeState",
  },
  {
    name: "the flushed state of a stream has no open records",
    file: "src/topology/stream/progress.ts",
    find: "  writeOffsets(writer, [...state.open]);\n  return writer.take();",
    put: "  writeOffsets(writer, []);\n  return writer.take();",
  },
  {
    name: "a microbatch is decided before all have prepared",
    file: "src/topology/microbatch/loop.ts",
    find: '    if (!coordinator.done("prepare", group)) return;\n',
    put: '    coordinator.done("prepare", group);\n    for (const each of this.#others) coordinator.done("prepare", each);\n    if (coordinator.phase !== "prepare") return;\n',
  },
  {
    name: "prepared is said before it is durable",
    file: "src/topology/microbatch/participant.ts",
    find: "this.#at.host.loop.after(() => this.#at.tell(0, control.prepared, [run, group]));",
    put: "this.#at.tell(0, control.prepared, [run, group]);",
  },
  {
    name: "the coordinator's own groups count as prepared before that is durable",
    file: "src/topology/microbatch/loop.ts",
    find: "    this.#at.host.loop.after(() =>\n      this.#at.job(() => {\n        if (this.#at.run === run) this.#prepared(ownGroups);\n      }),\n    );",
    put: "    this.#prepared(ownGroups);",
  },
  {
    name: "a restarted coordinator begins its prepared microbatch anew",
    file: "src/topology/microbatch/loop.ts",
    find: "if (prepared?.id === committed + 1 && this.#others.length > 0) {",
    put: "if (false as boolean && prepared) {",
  },
  {
    name: "a restarted coordinator takes its prepared microbatch for decided",
    file: "src/topology/microbatch/coordinator.ts",
    find: "    else if (prepared === this.id && run === this.#recoveredRun) this.#waiting.delete(group);",
    put: "    else if (prepared >= 0 || run === 0) this.#waiting.delete(group);",
  },
  {
    name: "a prepared group that restarts forgets what it has prepared",
    file: "src/topology/microbatch/runner.ts",
    find: "if (this.state.prepared.id < id) this.apply(this.state.prepared.id);",
    put: "if (false as boolean) this.apply(this.state.prepared.id);",
  },
  {
    name: "a prepared group that restarts takes it for decided",
    file: "src/topology/microbatch/runner.ts",
    find: "if (this.state.prepared.id < id) this.apply(this.state.prepared.id);",
    put: "if (this.state.prepared.id <= id) this.apply(this.state.prepared.id);",
  },
  {
    name: "an attempt chooses its records anew",
    file: "src/topology/microbatch/runner.ts",
    find: "const again = this.state.attempted === id;",
    put: "const again = false as boolean;",
  },
  {
    name: "an attempt begins on the writes of the failed one",
    file: "src/topology/microbatch/runner.ts",
    find: "    this.transaction.rollbackTo(0);\n    const { owner, host } = this;",
    put: "    const { owner, host } = this;",
  },
  {
    name: "the applied step of another engine is not repeated",
    file: "src/topology/microbatch/loop.ts",
    find: "    if (position.prepared > 0 && position.prepared <= coordinator.committed)\n      this.#at.tell(group, control.apply, [position.prepared]);\n",
    put: "",
  },
  {
    name: "a proxy does not mind a missing diff",
    file: "src/client/proxy.ts",
    find: "      if (frame.number !== this.#number + 1)\n",
    put: "      if (false as boolean)\n",
  },
  {
    name: "events that were lost between engines are not missed",
    file: "src/roles/worker/router.ts",
    find: "for (const task of peer.tasks) this.#missed.add(task);",
    put: "",
  },
  {
    name: "an engine that breaks goes on as a worker that says nothing",
    file: "src/roles/worker/engine-thread.ts",
    find: 'onBroken: (error) => this.#options.send({ kind: "failed", failure: failureText(error) }),',
    put: "",
  },
  {
    name: "a worker's pid is taken for its identity",
    file: "src/roles/supervisor/worker-pool.ts",
    find: 'return present !== undefined && (present === "" || birth === undefined || birth === "" || present === birth);',
    put: "return present !== undefined && birth !== null;",
  },
  {
    name: "a worker that was replaced goes on",
    file: "src/roles/worker/worker.ts",
    find: "const reason = this.#notWanted();",
    put: "const reason = undefined as string | undefined;",
  },
  {
    name: "a conductor does not resume operations",
    file: "src/roles/conductor/conductor.ts",
    find: 'env.spawn("resume operations", () => operations.resume());',
    put: "",
  },
  {
    name: "an engine serves clients of another instance",
    file: "src/roles/worker/session.ts",
    find: "    this.#requests.checkInstance(hello.moduleInstanceId);\n",
    put: "",
  },
  {
    name: "a follower leaves out an entry now and then",
    file: "src/replication/replica.ts",
    find: "this.#unapplied.applyUpTo(offset, (entry, at) => application.apply(entry, at))",
    put: "this.#unapplied.applyUpTo(offset, (entry, at) => (at % 20 === 19 ? undefined : application.apply(entry, at)))",
  },
  {
    name: "a follower leaves out the PState writes of a turn now and then",
    kinds: "slow network,slow syncs",
    file: "src/task/replicated-engine.ts",
    find: "else if (kind === TURN) {\n      applySections(payload, pstates, {",
    put: "else if (kind === TURN) {\n      applySections(payload, payload.length % 7 === 0 ? ({ applyWrites() {} } as never) : pstates, {",
  },
  {
    name: "the leader commits before the in-sync set has it on disk",
    file: "src/replication/leader.ts",
    find: "      if (durable < committed) committed = durable;\n",
    put: "      void durable;\n",
  },
  {
    name: "a follower listens to a leader of an earlier epoch",
    file: "src/replication/follower.ts",
    find: "    if (epoch < this.#epoch) return false;\n",
    put: "",
  },
  {
    name: "a follower confirms more than is on its disk",
    file: "src/replication/replica.ts",
    find: "this.#upstream?.confirm(this.#follower.durable);",
    put: "this.#upstream?.confirm(this.#follower.end);",
  },
  {
    name: "a replica that was started again leads in its former epoch",
    file: "src/replication/replica.ts",
    find: "if (record.leader === self && record.leaderLife === life) this.#lead(record);",
    put: "if (record.leader === self && life !== null) this.#lead(record);",
  },
  {
    name: "an election does not mind another one",
    file: "src/replication/group-watch.ts",
    find: '{ kind: "set", path, data: toNode(next), expectedVersion },',
    put: '{ kind: "set", path, data: toNode(next) },',
  },
  {
    name: "a leader that was succeeded goes on",
    file: "src/replication/replica.ts",
    find: "if (record.epoch > leader.epoch) {",
    put: "if (false as boolean) {",
  },
  {
    name: "reads are answered without a lease",
    file: "src/replication/read-gate.ts",
    find: "return nowMs < this.#leaseUntilMs;",
    put: "return true;",
  },
  {
    name: "entries that are taken back come again after a restart",
    file: "src/replication/replica.ts",
    find: "    this.#log.append(KIND_CUT, group, session.epoch, common, []);\n",
    put: "",
  },
];

export function mutated(text: string, { name, find, put }: Mutation): string {
  const at = text.indexOf(find);
  if (at < 0 || text.indexOf(find, at + 1) >= 0)
    throw new Error(`mutation "${name}": its text stands not exactly once`);
  return text.slice(0, at) + put + text.slice(at + find.length);
}
