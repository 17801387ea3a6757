// Fan-out at full speed for a while, with reads of timelines at a steady rate beside: the same for every stack.
import { now, once, pct, report, rng, sleep } from './common.mjs';

/**
 * `post(authors)` delivers a post of each and resolves to the timeline writes that are visible with it; two of them overlap.
 * `read(user)` reads the newest 20 of a timeline.
 */
export async function held({ name, seconds, reads, users, batch, durability, post, read, overlap = 2 }) {
  const rand = rng(17), some = () => (rand() * users) | 0;
  const windows = 10, perWindow = new Float64Array(windows), lat = [];
  await Promise.all(Array.from({ length: 10 }, () => post(Array.from({ length: batch }, some)))); // warm-up
  let total = 0;
  const took = await once(async () => {
    const t0 = now(), end = t0 + seconds * 1000;
    const lane = async () => {
      while (now() < end) {
        const n = await post(Array.from({ length: batch }, some));
        total += n;
        perWindow[Math.min(windows - 1, Math.floor(((now() - t0) / (seconds * 1000)) * windows))] += n;
      }
    };
    const pending = new Set();
    const reader = async () => {
      for (let sent = 0; now() < end; await sleep(2)) {
        for (const due = Math.floor(((now() - t0) / 1000) * reads); sent < due; sent++) {
          const t = now(), one = read(some()).then(() => { lat.push(now() - t); pending.delete(one); });
          pending.add(one);
        }
      }
    };
    await Promise.all([...Array.from({ length: overlap }, lane), reader()]);
    await Promise.all(pending);
    return now() - t0;
  });
  const window = (took / 1000) / windows, n = total;
  report({ name, metric: 'timeline writes held', value: total / (took / 1000), unit: 'writes/s', n, durability, all: [...perWindow].map((x) => x / window), seconds: Math.round(took / 1000) });
  for (const p of [50, 99]) report({ name, metric: `read of 20 beside, p${p}`, value: pct(lat, p), unit: 'ms', n: lat.length, durability });
}
