// What stands where a module name is expected: the name, a module class or instance.

interface NamedModule {
  getModuleName(): string;
}

export type ModuleName = string | NamedModule | (new () => NamedModule);
