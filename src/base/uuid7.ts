// UUIDs of version 7 (RFC 9562): 48 bits of epoch milliseconds, 12 bits of counter, 62 random bits. Strictly ascending within a process: several in
// one millisecond count up, and a clock that steps back does not show.

let lastMs = 0;
let counter = 0;

/** `random` is uniform in [0, 1). */
export function uuid7(nowMs: number, random: () => number): string {
  const ms = Math.floor(nowMs);
  if (ms > lastMs) {
    lastMs = ms;
    counter = Math.floor(random() * 0x400);
  } else if (++counter > 0xfff) {
    lastMs++;
    counter = 0;
  }
  const time = lastMs.toString(16).padStart(12, "0");
  const tail = hex(random, 0x1000, 3) + hex(random, 0x1000000, 6) + hex(random, 0x1000000, 6);
  const variant = (8 + Math.floor(random() * 4)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, "0")}-${variant}${tail.slice(0, 3)}-${tail.slice(3)}`;
}

function hex(random: () => number, below: number, width: number): string {
  return Math.floor(random() * below)
    .toString(16)
    .padStart(width, "0");
}
