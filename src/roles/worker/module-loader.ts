// A bundle becomes a compiled module: the `rama` doors are made importable first (the running release's own instances, so that `instanceof` works), then the bundle is
// imported and the module class is looked for. A path is imported once per thread; another version of a module is another process.
import { messageOf, RamaError } from "../../base/errors.ts";
import { type Class, ClassRegistry, type RamaCustomSerialization } from "../../base/values.ts";
import type { CompiledModule } from "../../dataflow/compiled.ts";
import { compileModule } from "../../dataflow/compile.ts";
import { isNavigator } from "../../paths/navigator.ts";
import { defineModule } from "../../module/build.ts";
import { moduleNameOf } from "../../module/module-name.ts";
import { RamaModule } from "../../module/module.ts";

/** Import name → exports: `rama`, `rama/test`, … */
export type Doors = Readonly<Record<string, object>>;

export interface LoadedModule {
  readonly module: CompiledModule;
  readonly classes: ClassRegistry;
  /** The bundle's exported functions and navigators, by name, for paths of clients. */
  readonly functionNamed: (name: string) => unknown;
}

let installed: Doors | undefined;

/** A `.js` file of the release's lib/ that module code imports by name. */
export interface LibFile {
  readonly name: string;
  readonly path: string;
}

/** Makes `import … from "rama"` and its like, and the names of lib/, resolve in this thread. Once. */
export function installDoors(doors: Doors, libFiles: readonly LibFile[] = []): void {
  if (installed !== undefined) return;
  installed = doors;
  Bun.plugin({
    name: "rama",
    setup(build) {
      for (const [name, exports] of Object.entries(doors)) {
        build.module(name, () => ({ exports: exports as Record<string, unknown>, loader: "object" }));
      }
      for (const { name, path } of libFiles) {
        build.module(name, async () => ({
          exports: (await import(path)) as Record<string, unknown>,
          loader: "object",
        }));
      }
    },
  });
}

export interface LoadOptions {
  readonly bundlePath: string;
  /** An export's name, the last segment of a dotted name, or a module name. */
  readonly moduleExport: string;
  /** Export names of custom serializations. */
  readonly serializations?: readonly string[];
  /** Its `.js` files are importable by name. */
  readonly libDir?: string;
}

/** BAD_BUNDLE when the file cannot be loaded or holds no such module; what building the module throws is passed on. */
export async function loadModule(options: LoadOptions): Promise<LoadedModule> {
  const exports = await importBundle(options.bundlePath);
  const moduleClass = findModule(exports, options.moduleExport, options.bundlePath);
  const classes = registerExports(exports, options.serializations ?? []);
  const functionNamed = (name: string): unknown => exportedFunction(exports, name);
  return { module: compileModule(defineModule(moduleClass), { classes }), classes, functionNamed };
}

/** Names of the module classes that a bundle exports. BAD_BUNDLE. */
export async function exportedModules(bundlePath: string): Promise<string[]> {
  const exports = await importBundle(bundlePath);
  return Object.entries(exports).flatMap(([name, value]) => (isModuleClass(value) ? [name] : []));
}

async function importBundle(bundlePath: string): Promise<Record<string, unknown>> {
  try {
    // The specifier is a variable on purpose: a literal would be resolved when the release is built.
    const path = bundlePath;
    return (await import(path)) as Record<string, unknown>;
  } catch (error) {
    const first = error instanceof AggregateError ? error.errors[0] : error;
    throw new RamaError("BAD_BUNDLE", `${bundlePath} cannot be loaded: ${messageOf(first)}`, { bundlePath }, first);
  }
}

function findModule(exports: Record<string, unknown>, wanted: string, bundlePath: string): new () => RamaModule {
  const modules = Object.entries(exports).filter(([, value]) => isModuleClass(value)) as [
    string,
    new () => RamaModule,
  ][];
  const lastSegment = wanted.slice(wanted.lastIndexOf(".") + 1);
  const found =
    modules.find(([name]) => name === wanted) ??
    modules.find(([, type]) => nameOf(type) === wanted) ??
    modules.find(([name]) => name === lastSegment);
  if (found !== undefined) return found[1];
  const names = modules.map(([name]) => name).join(", ");
  const message =
    names === ""
      ? `${bundlePath} exports no class that extends RamaModule`
      : `${bundlePath} exports no module ${wanted}; it exports: ${names}`;
  throw new RamaError("BAD_BUNDLE", message, { bundlePath, wanted });
}

function isModuleClass(value: unknown): boolean {
  return typeof value === "function" && value.prototype instanceof RamaModule;
}

function nameOf(type: new () => RamaModule): string {
  try {
    return moduleNameOf(type);
  } catch {
    return type.name;
  }
}

function registerExports(exports: Record<string, unknown>, serializations: readonly string[]): ClassRegistry {
  const classes = new ClassRegistry();
  for (const [name, value] of Object.entries(exports)) {
    if (isClass(value) && !isModuleClass(value)) classes.register(value, name);
  }
  for (const name of serializations) {
    const serialization = exports[name.slice(name.lastIndexOf(".") + 1)] as RamaCustomSerialization | undefined;
    if (typeof serialization?.targetType !== "function") {
      throw new RamaError("BAD_BUNDLE", `custom.serializations names ${name}, which the bundle does not export`, {
        name,
      });
    }
    classes.registerCustom(name, serialization);
  }
  return classes;
}

function exportedFunction(exports: Record<string, unknown>, name: string): unknown {
  const last = name.slice(name.lastIndexOf(".") + 1);
  const value = Object.hasOwn(exports, last) ? exports[last] : undefined;
  if (isNavigator(value)) return value;
  return typeof value === "function" && !isClass(value) ? value : undefined;
}

function isClass(value: unknown): value is Class {
  return typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
}
