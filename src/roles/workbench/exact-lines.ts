// The engine of JavaScript reuses the frame of a function whose last act is a call (`return Block.each(…)`), so the line of that call is in no stack, and an error of a
// builder would name the line that called the function. `BUN_JSC_useTailCalls=0` keeps the frames, but is read only when a process begins: a command that builds a module
// begins anew with it, in the same process (execv). Costs about 10 ms. Where that cannot be done the command goes on, with lines that may be one call too far out.
// Not for what runs modules: loops of compiled code are calls in this place (dataflow/code.ts), and would fill the stack.
import { dlopen, ptr } from "bun:ffi";

const setting = "BUN_JSC_useTailCalls";

/** Of the executable alone, not of what runs from source. Does not return where it begins anew. */
export function beginWithExactLines(): void {
  const isCompiled = process.argv[1]?.startsWith("/$bunfs/") === true;
  if (!isCompiled || process.env[setting] !== undefined) return;
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  const args = [process.execPath, ...process.argv.slice(2)].map(text);
  const table = new BigUint64Array([...args.map((arg) => BigInt(ptr(arg))), 0n]);
  try {
    const { symbols } = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
      setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
      execv: { args: ["ptr", "ptr"], returns: "i32" },
    });
    symbols.setenv(ptr(text(setting)), ptr(text("0")), 1);
    symbols.execv(ptr(args[0]!), ptr(table));
  } catch {
    // No such library (another libc): nothing but the lines is lost.
  }
}
