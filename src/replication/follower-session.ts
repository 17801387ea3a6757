// A follower's end of its leader's connection: frames in, answers out. What they mean is the replica's.
import { messageOf, RamaError } from "../base/errors.ts";
import type { Connection, ConnectionHandlers } from "../net/transport.ts";
import {
  type CopyPart,
  decodeCopyPart,
  encodeCopied,
  decodeEntries,
  decodeReplicaAgreed,
  encodeReplicaDurable,
  encodeReplicaState,
  type ReplicaState,
} from "../protocol/replication.ts";
import { REPLICA_AGREED, REPLICA_COPY, REPLICA_ENTRIES } from "../protocol/table.ts";

export interface FollowerSessionOptions {
  readonly connection: Connection;
  readonly epoch: number;
  readonly onAgreed: (common: number) => void;
  /** `bytes` is valid during the call. */
  readonly onEntries: (from: number, count: number, committed: number, bytes: Uint8Array) => void;
  /** A part of a copy of the leader's store; its bytes may be kept. */
  readonly onCopy: (part: CopyPart) => void;
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

  copied(parts: number): void {
    const { connection, epoch } = this.#options;
    connection.send(encodeCopied(epoch, parts));
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
    } else if (frame[0] === REPLICA_COPY) {
      const copy = decodeCopyPart(frame.slice());
      if (copy.epoch === epoch) this.#options.onCopy(copy.part);
    } else this.#options.connection.close(`kind ${frame[0]} is not one that a leader sends`);
  }
}
