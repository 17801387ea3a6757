// Reads entries of one group back from the files of a log that is being written: for a follower that has been away longer than memory goes back. Only what
// is durable may be asked for.
import type { Disk } from "./disk.ts";
import {
  decodeSegmentHeader,
  KIND_CUT,
  SEGMENT_HEADER_BYTES,
  scanSegment,
  segmentName,
  segmentNumber,
} from "./segment.ts";
import type { LogEntry } from "./store-contract.ts";

/**
 * The entries [from, to) of the group that stand in the first segment which has entry `from`; empty: the log has let go of it. A segment is read as a whole (64 MB), so
 * one call gives much; call again from where it ended. Payloads are views of memory that is not used again.
 */
export function readLogEntries(
  disk: Disk,
  dir: string,
  range: { readonly group: number; readonly from: number; readonly to: number },
): LogEntry[] {
  const { group, from, to } = range;
  const numbers = disk.list(dir).flatMap((name) => segmentNumber(name) ?? []);
  // The newest first: an entry that was written again after a cut counts where it stands last, and what stood behind it in older segments is void.
  let limit = to;
  for (const number of numbers.sort((a, b) => b - a)) {
    const { entries, lowest } = entriesOf(disk, dir, number, group);
    const first = entries.findIndex(({ offset }) => offset === from);
    if (first < 0) {
      limit = Math.min(limit, lowest);
      continue;
    }
    const found: LogEntry[] = [];
    for (let at = first; at < entries.length && entries[at]!.offset < limit; at++) found.push(entries[at]!);
    return found;
  }
  return [];
}

function entriesOf(
  disk: Disk,
  dir: string,
  number: number,
  group: number,
): { readonly entries: LogEntry[]; readonly lowest: number } {
  const bytes = disk.readFile(`${dir}/${segmentName(number)}`);
  const header = decodeSegmentHeader(bytes);
  if (header === undefined || header.number !== number) return { entries: [], lowest: Number.POSITIVE_INFINITY };
  let entries: LogEntry[] = [];
  let lowest = Number.POSITIVE_INFINITY;
  scanSegment(bytes, number, SEGMENT_HEADER_BYTES, {
    batch: () => {},
    entry: (entry) => {
      if (entry.group !== group) return;
      lowest = Math.min(lowest, entry.offset);
      if (entry.kind === KIND_CUT) entries = entries.filter(({ offset }) => offset < entry.offset);
      else entries.push(entry);
    },
  });
  return { entries, lowest };
}
