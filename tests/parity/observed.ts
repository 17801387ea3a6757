// What the parity programs observe: rows that leave a detached block, codes of refusals, and small modules written in one line.
import { type Block, RamaError, RamaModule, type Setup, type Topologies, type ValueVar } from "rama";

/** Runs a detached block and gives what the vars held at its end, once per arrival; one var gives plain values. */
export async function rows(block: Block, ...vars: ValueVar[]): Promise<unknown[]> {
  const seen: unknown[] = [];
  await block
    .each(
      (...values: unknown[]) => {
        seen.push(vars.length === 1 ? values[0] : values);
      },
      ...vars,
    )
    .execute();
  return seen;
}

/** The code that the call is refused with, or what happened instead. */
export async function codeOf(call: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    const result = await (typeof call === "function" ? call() : call);
    return `resolved to ${String(result)}`;
  } catch (error) {
    return error instanceof RamaError ? error.code : `not a RamaError: ${String(error)}`;
  }
}

/** The error that the call is refused with. */
export async function errorOf(call: Promise<unknown> | (() => unknown)): Promise<RamaError> {
  try {
    await (typeof call === "function" ? call() : call);
  } catch (error) {
    if (error instanceof RamaError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

/** A module of that name that `define` describes. */
export function moduleOf(name: string, define: (setup: Setup, topologies: Topologies) => void): RamaModule {
  class Described extends RamaModule {
    override getModuleName(): string {
      return name;
    }
    define(setup: Setup, topologies: Topologies): void {
      define(setup, topologies);
    }
  }
  return new Described();
}
