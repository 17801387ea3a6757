// `npm run test:cluster [-- --full] [-- --seconds N]`: the tests of tests/cluster-real - several nodes with addresses of their own, out of the compiled executable - with each
// phase (calm, fault, recovery) lasting N seconds: 10, or 60 with --full. Needs root, iproute2, nftables and Apache ZooKeeper; says what is missing and fails.
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { full: { type: "boolean", default: false }, seconds: { type: "string" } } });
const seconds = values.seconds ?? (values.full ? "60" : "10");
const child = Bun.spawn([process.execPath, "test", "--timeout", "600000", "./tests/cluster-real"], {
  cwd: resolve(import.meta.dir, ".."),
  stdout: "inherit",
  stderr: "inherit",
  env: { ...process.env, RAMA_PHASE_SECONDS: seconds, RAMA_REQUIRE_ALL: "1" },
});
process.exit(await child.exited);
