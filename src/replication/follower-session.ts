// A follower's end of its leader's connection: frames in, answers out. What they mean is the replica's.
import { messageOf, RamaError } from "../base/errors.ts";
import type { Connection, ConnectionHandlers } from "../net/transport.ts";
import {
  decodeReplicaRound,
  encodeConfirmed,
  decodeEntries,
  decodeReplicaAgreed,
  encodeReplicaDurable,
  encodeReplicaState,
  type ReplicaState,
} from "../protocol/replication.ts";
import { type CopyAnswer, type CopyMessage, decodeCopy, encodeCopied } from "../protocol/store-copy.ts";
import { REPLICA_AGREED, REPLICA_CONFIRM, REPLICA_COPY, REPLICA_ENTRIES } from "../protocol/table.ts";

export interface FollowerSessionOptions {
  readonly connection: Connection;
  readonly epoch: number;
  readonly onAgreed: (common: number) => void;
  /** `bytes` is valid during the call. */
  readonly onEntries: (from: number, count: number, committed: number, bytes: Uint8Array) => void;
  /** The leader asks whether it is followed still. */
  readonly onConfirm: (round: number) => void;
  /** Of a copy of the leader's store; its bytes may be kept. */
  readonly onCopy: (message: CopyMessage) => void;
  readonly onLost: () => void;
  /** Kind 3: the replica must stop. */
  readonly onBroken: (error: unknown) => void;
}

export class FollowerSession {
  readonly epoch: number;
  readonly handlers: ConnectionHandlers;
  readonly #options: FollowerSessionOptions;

  constructor(options: FollowerSessionOptions) {
    this.#options = options;
    this.epoch = options.epoch;
    this.handlers = {
      onFrame: (frame, connection) => {
        try {
          this.#onFrame(frame);
        } catch (error) {
          connection.close(messageOf(error));
          if (!(error instanceof RamaError)) options.onBroken(error);
        }
      },
      onClose: () => options.onLost(),
    };
  }

  answer(state: ReplicaState): void {
    this.#options.connection.send(encodeReplicaState(state));
  }

  /** Entries below are on our disk. */
  confirm(durable: number): void {
    const { connection, epoch } = this.#options;
    connection.send(encodeReplicaDurable(epoch, durable));
    connection.flush();
  }

  /** The leader is followed. */
  follows(round: number): void {
    const { connection, epoch } = this.#options;
    connection.send(encodeConfirmed({ epoch, round }));
    connection.flush();
  }

  copied(number: number, answer: CopyAnswer): void {
    const { connection, epoch } = this.#options;
    connection.send(encodeCopied(epoch, number, answer));
  }

  close(reason: string): void {
    this.#options.connection.close(reason);
  }

  #onFrame(frame: Uint8Array): void {
    const { epoch, onAgreed, onEntries } = this.#options;
    if (frame[0] === REPLICA_ENTRIES) {
      const { epoch: of, from, count, committed, entries } = decodeEntries(frame);
      if (of === epoch) onEntries(from, count, committed, entries);
    } else if (frame[0] === REPLICA_AGREED) {
      const agreed = decodeReplicaAgreed(frame);
      if (agreed.epoch === epoch) onAgreed(agreed.common);
    } else if (frame[0] === REPLICA_CONFIRM) {
      const asked = decodeReplicaRound(frame);
      if (asked.epoch === epoch) this.#options.onConfirm(asked.round);
    } else if (frame[0] === REPLICA_COPY) {
      const copy = decodeCopy(frame.slice());
      if (copy.epoch === epoch) this.#options.onCopy(copy.message);
    } else this.#options.connection.close(`kind ${frame[0]} is not one that a leader sends`);
  }
}
