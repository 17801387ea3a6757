// Where a module name is expected a module class or instance is accepted: the name is what `getModuleName()` returns, or the class name.

/** A module as far as its name goes. */
interface NamedModule {
  getModuleName?(): string;
}

export type ModuleName = string | NamedModule | (new () => NamedModule);

export function moduleNameOf(module: ModuleName): string {
  if (typeof module === "string") return module;
  const instance = typeof module === "function" ? new module() : module;
  return instance.getModuleName?.() ?? instance.constructor.name;
}
