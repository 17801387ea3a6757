// What a row of the table of settings (`option-table.ts`) says.

export type OptionRole = "all" | "conductor" | "supervisor" | "worker" | "client" | "devZookeeper";
export type OptionScope = "module" | "topology" | "depot" | "pstate";

export type OptionType =
  | { readonly kind: "number"; readonly min: number; readonly max?: number; readonly integer: boolean }
  | { readonly kind: "string" }
  | { readonly kind: "boolean" }
  | { readonly kind: "strings" }
  /** Host name, or a pair of internal and external ones. */
  | { readonly kind: "host" }
  | { readonly kind: "hosts" }
  /** [first, last], or 0 for any free port. */
  | { readonly kind: "portRange" }
  | { readonly kind: "map" };

export interface Option {
  readonly name: string;
  readonly type: OptionType;
  /** undefined: unset. */
  readonly default: unknown;
  readonly role: OptionRole;
  /** Set for dynamic options: the narrowest level at which it may be set (the module level always may). */
  readonly dynamic?: OptionScope;
  readonly help: string;
}
