// What commands need of the executable and may not do themselves (layers): start daemons, bundle and load user code, unpack the release, wait for signals.
// `main.ts` hands in the real one.
import type { CompiledModule } from "../dataflow/compiled.ts";

export interface BundleResult {
  readonly bytes: Uint8Array;
  /** rama version that the bundle was made with. */
  readonly ramaVersion: string;
  /** Names exported by the bundle. */
  readonly fileName: string;
}

export interface Workbench {
  /** Runs until it is told to stop; resolves to the exit code. */
  daemon(role: "devZookeeper" | "conductor" | "supervisor" | "worker", args: readonly string[]): Promise<number>;
  /** All roles and a module in this process, redeployed on save. */
  dev(modulePath: string | undefined): Promise<number>;
  /** Bundles a source, or reads a bundle. BAD_BUNDLE with file and line. */
  bundle(path: string): Promise<BundleResult>;
  /** Loads a bundle, finds the module and compiles it: every build-time error is raised here. */
  loadModule(
    bundle: BundleResult,
    moduleExport: string | undefined,
  ): Promise<{ readonly module: CompiledModule; readonly moduleExport: string }>;
  /** Runs a program with the release's doors importable; resolves to its exit code. */
  run(path: string, args: readonly string[]): Promise<number>;
  /** Writes the release's files into `dir`; returns their names. */
  unpack(dir: string): Promise<string[]>;
  /** Files of a new project by name. */
  projectTemplate(name: string): Readonly<Record<string, string>>;
  /** Ctrl-C or SIGTERM calls `fn`, a second one ends the process at once; until the returned function is called. */
  onInterrupt(fn: () => void): () => void;
  readStdin(): AsyncIterable<Uint8Array>;
  /** Lines of a text file as it is read. */
  readLines(path: string): AsyncIterable<string>;
}
