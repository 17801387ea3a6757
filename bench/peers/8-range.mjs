// Job 8: read 20 neighbours out of 1 M in key order, from a random place, 1 and 64 in flight.
import { args, rng, closedLoop, median, pct, report, repeat } from './lib/common.mjs';
import * as srv from './lib/servers.mjs';
const a = args({ stack: 'pg', seconds: 3, runs: 5, width: 64, n: 1000000, conns: 16 });
const rand = rng(3), from = () => (rand() * (a.n - 20)) | 0;

const stacks = {
  async pg() { // an index range: the primary key in order
    const { default: pg } = await import('pg');
    const s = await srv.postgres(), db = srv.quiet(new pg.Pool({ ...s, max: a.conns }));
    await db.query(`CREATE TABLE series(k int PRIMARY KEY, v int); INSERT INTO series SELECT i, i * 2 FROM generate_series(0, ${a.n - 1}) i; ANALYZE series`);
    await db.query('VACUUM series');
    return { ...s, durability: s.version, stop: async () => { await db.end(); await s.stop(); },
      op: async () => { if ((await db.query({ name: 'r', text: 'SELECT k, v FROM series WHERE k >= $1 ORDER BY k LIMIT 20', values: [from()] })).rows.length !== 20) throw new Error('not 20'); } };
  },
  async redis() { // a sorted set and a hash would be two reads: the value stands in the member
    const { default: Redis } = await import('ioredis');
    const s = await srv.redis({ fsync: 'no' }), r = new Redis({ host: s.host, port: s.port, enableAutoPipelining: true });
    for (let i = 0; i < a.n; i += 10000) { const kv = []; for (let k = i; k < i + 10000; k++) kv.push(k, `${k}:${k * 2}`); await r.zadd('series', ...kv); }
    return { ...s, stop: async () => { r.disconnect(); await s.stop(); },
      op: async () => { if ((await r.zrangebyscore('series', from(), '+inf', 'LIMIT', 0, 20)).length !== 20) throw new Error('not 20'); } };
  },
};
if (!stacks[a.stack]) throw new Error('stacks: ' + Object.keys(stacks).join(' '));
const s = await stacks[a.stack]();
try {
  const name = '8-range/' + a.stack, durability = s.durability;
  for (const w of [1, a.width]) {
    const rs = await repeat(a.runs, () => closedLoop(w, a.seconds * 1000, s.op)), n = rs.reduce((x, r) => x + r.lat.length, 0);
    const all = rs.map((r) => r.rate);
    report({ name, metric: `ranges of 20, ${w} in flight`, value: median(all), unit: 'reads/s', n, durability, all });
    const l = rs.map((r) => pct(r.lat, 50)); report({ name, metric: `range latency p50, ${w} in flight`, value: median(l), unit: 'ms', n, durability, all: l });
  }
} finally { await s.stop(); }
process.exit(0);
