// What a write does to the tree and to the sessions, with the resulting values, so that replaying needs no decisions: the unit that is journalled.
//   entry  := zxid i64 | time i64 (epoch ms) | durableZxid i64 | change*         (jute; to the end of the payload)
//   change := kind u8-as-i32 | fields as in `writeChange`
// `durableZxid` says how far the journal was synced when the entry was written; recovery tells damage from a torn tail by it.

import { JuteError, type JuteReader, type JuteWriter } from "./jute.ts";
import { type AclList, readAclList, writeAclList } from "./messages.ts";

export type Change =
  | {
      readonly kind: "create";
      readonly path: string;
      readonly data: Uint8Array | null;
      readonly acl: AclList;
      readonly owner: bigint;
    }
  | { readonly kind: "delete"; readonly path: string }
  | { readonly kind: "setData"; readonly path: string; readonly data: Uint8Array | null }
  | { readonly kind: "setAcl"; readonly path: string; readonly acl: AclList }
  | { readonly kind: "openSession"; readonly id: bigint; readonly timeoutMs: number; readonly password: Uint8Array }
  | { readonly kind: "closeSession"; readonly id: bigint };

export interface JournalEntry {
  readonly zxid: number;
  readonly timeMs: number;
  readonly durableZxid: number;
  readonly changes: readonly Change[];
}

const KIND_CREATE = 1;
const KIND_DELETE = 2;
const KIND_SET_DATA = 3;
const KIND_SET_ACL = 4;
const KIND_OPEN_SESSION = 5;
const KIND_CLOSE_SESSION = 6;

export function writeEntry(writer: JuteWriter, entry: JournalEntry): void {
  writer.longNumber(entry.zxid);
  writer.longNumber(entry.timeMs);
  writer.longNumber(entry.durableZxid);
  for (const change of entry.changes) writeChange(writer, change);
}

export function readEntry(reader: JuteReader): JournalEntry {
  const [zxid, timeMs, durableZxid] = [reader.longNumber(), reader.longNumber(), reader.longNumber()];
  const changes: Change[] = [];
  while (reader.remaining > 0) changes.push(readChange(reader));
  return { zxid, timeMs, durableZxid, changes };
}

function writeChange(writer: JuteWriter, change: Change): void {
  switch (change.kind) {
    case "create":
      writer.int(KIND_CREATE);
      writer.string(change.path);
      writer.buffer(change.data);
      writeAclList(writer, change.acl);
      writer.long(change.owner);
      return;
    case "delete":
      writer.int(KIND_DELETE);
      writer.string(change.path);
      return;
    case "setData":
      writer.int(KIND_SET_DATA);
      writer.string(change.path);
      writer.buffer(change.data);
      return;
    case "setAcl":
      writer.int(KIND_SET_ACL);
      writer.string(change.path);
      writeAclList(writer, change.acl);
      return;
    case "openSession":
      writer.int(KIND_OPEN_SESSION);
      writer.long(change.id);
      writer.int(change.timeoutMs);
      writer.buffer(change.password);
      return;
    case "closeSession":
      writer.int(KIND_CLOSE_SESSION);
      writer.long(change.id);
  }
}

function readChange(reader: JuteReader): Change {
  const kind = reader.int();
  switch (kind) {
    case KIND_CREATE:
      return {
        kind: "create",
        path: reader.string(),
        data: reader.buffer(),
        acl: readAclList(reader),
        owner: reader.long(),
      };
    case KIND_DELETE:
      return { kind: "delete", path: reader.string() };
    case KIND_SET_DATA:
      return { kind: "setData", path: reader.string(), data: reader.buffer() };
    case KIND_SET_ACL:
      return { kind: "setAcl", path: reader.string(), acl: readAclList(reader) };
    case KIND_OPEN_SESSION:
      return {
        kind: "openSession",
        id: reader.long(),
        timeoutMs: reader.int(),
        password: reader.buffer() ?? new Uint8Array(16),
      };
    case KIND_CLOSE_SESSION:
      return { kind: "closeSession", id: reader.long() };
    default:
      throw new JuteError(`no change has kind ${kind}`);
  }
}
