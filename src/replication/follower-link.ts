// A leader's connection to one follower: made again whenever it is lost, agreed on where the logs part, then entries in batches, as many in flight as the connection
// takes. What memory does not hold any more comes from the log's files.
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { Address, Connection, Transport } from "../net/transport.ts";
import { FrameWriter } from "../protocol/frame-fields.ts";
import {
  encodeConfirm,
  decodeReplicaDurable,
  decodeReplicaRound,
  decodeReplicaState,
  encodeReplicaAgreed,
  encodeReplicaHello,
  entriesHead,
} from "../protocol/replication.ts";
import { type CopyMessage, decodeCopied, encodeCopy } from "../protocol/store-copy.ts";
import { REPLICA_CONFIRMED, REPLICA_COPIED, REPLICA_DURABLE, REPLICA_STATE } from "../protocol/table.ts";
import type { CopyProgress, CopySender } from "./copy-sender.ts";
import { commonEnd, EpochRuns } from "./epoch-runs.ts";
import type { Member } from "./group-record.ts";
import type { GroupLeader } from "./leader.ts";
import type { EntryChunk } from "./replog-tail.ts";

export interface FollowerLinkOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly member: Member;
  readonly dataId: string;
  readonly group: number;
  readonly leader: GroupLeader;
  /** Of the leader's own log. */
  readonly log: EpochRuns;
  /** Where the follower can be reached now. */
  readonly addressOf: (member: Member) => Address | undefined;
  /** Which process has the replica now; undefined: none. */
  readonly lifeOf: (member: Member) => string | undefined;
  /** Sealed entries from `offset` on. "later": there are none yet. "gone": the log has let go of them. */
  readonly entriesFrom: (offset: number) => EntryChunk | "later" | "gone";
  /** A copy of the leader's store: what sends it, and the sending. */
  readonly copySender: (send: (message: CopyMessage) => void) => CopySender;
  readonly copy: (sender: CopySender) => Promise<void>;
  /** A position of the follower, or its connection, has changed. */
  readonly onChange: () => void;
  /** It follows this leader, and did when it was asked. */
  readonly onConfirmed: (round: number) => void;
  /** The follower listens to a later leader. */
  readonly onFenced: (epoch: number) => void;
}

const retryMs = 50;
/** After a copy that broke off. */
const farRetryMs = 1_000;
const connectTimeoutMs = 2_000;
/** A follower that owes an answer for so long is connected to anew: what lies between may have forgotten the connection. */
const silentMs = 4_000;
/** The same during a copy, where a part may have to wait for a disk. */
const copySilentMs = 30_000;
/** Entries that wait in the connection; more come when it has drained. */
const unsentBytesMax = 16 * 1024 * 1024;

export class FollowerLink {
  readonly member: Member;
  readonly #options: FollowerLinkOptions;
  readonly #head = new FrameWriter(64);
  #connection: Connection | undefined;
  #retry: Timer | undefined;
  #closed = false;
  #toldCommitted = 0;
  /** The process that the connection was made to, and when it last said anything. */
  #life: string | undefined;
  #heardMs = 0;
  /** A copy is under way. */
  #copying: CopySender | undefined;
  /** It lacks entries that the log has let go of. */
  far = false;

  constructor(options: FollowerLinkOptions) {
    this.member = options.member;
    this.#options = options;
  }

  /** Of the copy that is under way. */
  get copyProgress(): CopyProgress | undefined {
    return this.#copying?.progress;
  }

  start(): void {
    this.#options.env.spawn(`replica ${this.member} of group ${this.#options.group}`, () => this.#connect());
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#connection?.close("the leader stops");
  }

  async #connect(): Promise<void> {
    const { transport, member, dataId, group, leader, addressOf } = this.#options;
    const address = addressOf(member);
    if (this.#closed) return;
    if (address === undefined) {
      this.#again(retryMs);
      return;
    }
    try {
      const connection = await transport.connect(
        address,
        {
          onFrame: (frame, from) => this.#onFrame(frame, from),
          onClose: (_reason, closed) => this.#lost(closed),
          onDrain: () => this.pump(),
        },
        connectTimeoutMs,
      );
      if (this.#closed) connection.close("the leader stops");
      else {
        this.#connection = connection;
        this.#life = this.#options.lifeOf(member);
        this.#heardMs = this.#options.env.monotonicMs();
        connection.send(encodeReplicaHello({ dataId, group, epoch: leader.epoch, leader: leader.self }));
      }
    } catch (error) {
      this.#options.env.log.debug("a replica is not there", { member, group, error: messageOf(error) });
      this.#again(retryMs);
    }
  }

  #again(ms: number): void {
    if (this.#closed) return;
    this.#retry?.cancel();
    this.#retry = this.#options.env.setTimer(ms, () => this.start());
  }

  #lost(closed: Connection): void {
    if (this.#closed || (this.#connection !== undefined && closed !== this.#connection)) return;
    this.#connection = undefined;
    this.#copying?.fail(new RamaError("CONNECTION_LOST", "the replica has gone during the copy"));
    const { leader, env } = this.#options;
    leader.left(this.member, env.monotonicMs());
    this.#again(this.far ? farRetryMs : retryMs);
    this.#options.onChange();
  }

  #onFrame(frame: Uint8Array, from: Connection): void {
    if (this.#closed || from !== this.#connection) return;
    this.#heardMs = this.#options.env.monotonicMs();
    try {
      if (frame[0] === REPLICA_STATE) this.#answered(frame);
      else if (frame[0] === REPLICA_COPIED) {
        const { epoch, number, answer } = decodeCopied(frame);
        if (epoch === this.#options.leader.epoch) this.#copying?.answered(number, answer);
      } else if (frame[0] === REPLICA_DURABLE) this.#durable(frame);
      else if (frame[0] === REPLICA_CONFIRMED) this.#confirmed(frame);
      else from.close("the replica said something else");
    } catch (error) {
      this.#options.env.log.warn("a replica's answer is not understood", { member: this.member, error });
      from.close(messageOf(error));
    }
  }

  #answered(frame: Uint8Array): void {
    const { leader, log, env, group, entriesFrom, onChange } = this.#options;
    const state = decodeReplicaState(frame);
    const connection = this.#connection!;
    if (!state.listens) {
      connection.close("the replica follows a later leader");
      if (state.epoch > leader.epoch) this.#options.onFenced(state.epoch);
      return;
    }
    const common = commonEnd(log, new EpochRuns(state.end, state.runs), state.applied);
    if (common < log.end && entriesFrom(common) === "gone") {
      const facts = { member: this.member, group, has: common, end: log.end };
      env.log.info("a replica is further behind than the log goes back: it gets a copy of the store", facts);
      this.far = true;
      env.spawn(`copy for replica ${this.member} of group ${group}`, () => this.#copy(connection));
      return;
    }
    this.far = false;
    this.#toldCommitted = 0;
    connection.send(encodeReplicaAgreed(leader.epoch, common));
    leader.joined(this.member, common, env.monotonicMs());
    this.pump();
    onChange();
  }

  /** The follower closes the connection when it has all, and comes back with the new store. */
  async #copy(connection: Connection): Promise<void> {
    const { leader, env, group, copySender, copy } = this.#options;
    const startMs = env.monotonicMs();
    const sender = copySender((message) => void connection.send(encodeCopy(leader.epoch, message)));
    this.#copying = sender;
    try {
      await copy(sender);
      const ms = Math.round(env.monotonicMs() - startMs);
      const { bytes } = sender.progress;
      env.log.info("a copy of the store has been sent", {
        member: this.member,
        group,
        bytes,
        sent: sender.sentBytes,
        ms,
      });
    } catch (error) {
      env.log.warn("a copy of the store broke off", { member: this.member, group, error: messageOf(error) });
      connection.close("the copy broke off");
    } finally {
      this.#copying = undefined;
      this.#heardMs = env.monotonicMs();
    }
  }

  #durable(frame: Uint8Array): void {
    const { leader, env } = this.#options;
    const { epoch, durable } = decodeReplicaDurable(frame);
    if (epoch !== leader.epoch) return;
    leader.confirmed(this.member, durable, env.monotonicMs());
    this.pump();
    this.#options.onChange();
  }

  /** Sends what can be sent, at once. */
  pump(): void {
    const { leader, entriesFrom } = this.#options;
    const connection = this.#connection;
    if (connection === undefined) return;
    let sent = false;
    for (;;) {
      const from = leader.sendFrom(this.member);
      if (from === undefined || from >= leader.end || connection.unsentBytes > unsentBytesMax) break;
      const chunk = entriesFrom(from);
      if (chunk === "later") break;
      if (chunk === "gone") {
        this.far = true;
        connection.close("further behind than the log goes back");
        return;
      }
      this.#send(connection, chunk);
      leader.sent(this.member, chunk.to);
      sent = true;
    }
    if (sent) connection.flush();
  }

  #send(connection: Connection, chunk: EntryChunk): void {
    const { epoch, committed } = this.#options.leader;
    const head = { epoch, committed, from: chunk.from, count: chunk.to - chunk.from };
    this.#toldCommitted = committed;
    connection.sendParts([entriesHead(this.#head, head), chunk.bytes]);
  }

  /** Asks whether it follows this leader still. */
  confirm(round: number): void {
    const { epoch } = this.#options.leader;
    this.#connection?.send(encodeConfirm({ epoch, round }));
    this.#connection?.flush();
  }

  #confirmed(frame: Uint8Array): void {
    const { epoch, round } = decodeReplicaRound(frame);
    if (epoch === this.#options.leader.epoch) this.#options.onConfirmed(round);
  }

  /** Gives up a connection that leads nowhere. */
  check(): void {
    const { leader, env, lifeOf } = this.#options;
    const connection = this.#connection;
    if (connection === undefined) return;
    const life = lifeOf(this.member);
    if (life !== undefined && life !== this.#life) {
      connection.close("the replica's process is another one");
      return;
    }
    if (this.#copying !== undefined) {
      if (this.#copying.silentMs(env.monotonicMs()) > copySilentMs) connection.close("the replica does not answer");
      return;
    }
    const owes = !leader.owesNothing(this.member);
    if (!owes) this.#heardMs = Math.max(this.#heardMs, env.monotonicMs() - silentMs / 2);
    else if (env.monotonicMs() - this.#heardMs > silentMs) connection.close("the replica does not answer");
  }

  /** Tells what is committed, where no entry has. */
  tell(): void {
    const { leader } = this.#options;
    const from = leader.sendFrom(this.member);
    if (from === undefined || this.#connection === undefined || this.#toldCommitted >= leader.committed) return;
    this.#toldCommitted = leader.committed;
    const { epoch, committed } = leader;
    this.#connection.send(entriesHead(this.#head, { epoch, committed, from, count: 0 }));
  }
}
