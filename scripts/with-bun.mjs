// Starts Bun for the npm scripts. `npm ci --ignore-scripts` leaves Bun's package without its binary: then its own installer is run first.
// usage: node scripts/with-bun.mjs <bun arguments…>
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const packageDir = join(root, "node_modules", "bun");
if (!existsSync(packageDir)) {
  console.error("Bun is not installed here: run `npm ci` first");
  process.exit(1);
}
const binary = join(packageDir, "bin", "bun.exe");
const works = () => existsSync(binary) && spawnSync(binary, ["--version"]).status === 0;
if (!works()) spawnSync(process.execPath, [join(packageDir, "install.js")], { stdio: "inherit", cwd: packageDir });
if (!works()) {
  console.error("Bun's binary could not be installed; see the messages above");
  process.exit(1);
}
const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`Bun does not start: ${error.message}`);
  process.exit(1);
});
// Ctrl-C reaches the child by itself (the same process group), which stops in order; this process waits for it.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(code ?? (signal === null ? 1 : 130)));
