// What an update needs before it is begun: the checks against the running instance and the modules that use it, and the record of the instance to come.
import { RamaError } from "../../base/errors.ts";
import type { ClusterStore } from "../../cluster/cluster-store.ts";
import { mayUpdate } from "../../cluster/lifecycle/update.ts";
import { checkUpdate, type UsedObject } from "../../module/compatibility.ts";
import { type ModuleContract, migrates } from "../../module/contract.ts";
import { finishedMigrations, type MigrationStatus } from "../../module/migrations.ts";
import {
  dataIdOf,
  type InstanceRecord,
  type ModuleRecord,
  type OptionSetting,
} from "../../protocol/cluster-records.ts";
import type { UpdateRequest } from "../../protocol/conductor.ts";
import type { ModuleManifest } from "../../protocol/routes.ts";

/** Names of what goes. MODULE_NOT_RUNNING, INCOMPATIBLE_UPDATE, DELETION_NOT_NAMED, DEPENDED_ON, BAD_ARGUMENTS: nothing has been changed then. */
export async function checkedUpdate(
  store: ClusterStore,
  record: ModuleRecord,
  request: UpdateRequest,
  migrationsOf: (record: ModuleRecord) => Promise<readonly MigrationStatus[]>,
): Promise<readonly string[]> {
  const { moduleName, objectsToDelete } = request;
  if (!mayUpdate(record)) {
    throw new RamaError(
      "MODULE_NOT_RUNNING",
      `${moduleName} is ${record.state}; an update begins when it is [:running]`,
      {
        module: moduleName,
        state: record.state,
      },
    );
  }
  const manifest = await store.manifest<ModuleManifest>(record.readTarget);
  const from = manifest?.contract;
  const to = request.objects.contract;
  if (to === undefined) {
    throw new RamaError(
      "WRONG_VERSION",
      "the caller does not say what the new version declares: use the cluster's release",
      {
        module: moduleName,
      },
    );
  }
  if (from === undefined) {
    throw new RamaError(
      "INCOMPATIBLE_UPDATE",
      `${moduleName} was launched by a release that did not keep what it declares: destroy and launch it`,
      { module: moduleName },
    );
  }
  const used = await usesOf(store, moduleName);
  const old = record.instances.find(({ id }) => id === record.readTarget)!;
  const migrationsFinished = migrates(from) ? finishedMigrations(await migrationsOf(record), old.tasks) : [];
  return checkUpdate({ moduleName, from, to, objectsToDelete, used, migrationsFinished }).removed;
}

/** What other modules mirror of this one. */
async function usesOf(store: ClusterStore, moduleName: string): Promise<UsedObject[]> {
  const used: UsedObject[] = [];
  for (const other of await store.modules()) {
    if (other.name === moduleName || !other.dependsOn.includes(moduleName)) continue;
    const contracts = await Promise.all(
      other.instances.map(async ({ id }) => (await store.manifest<ModuleManifest>(id))?.contract),
    );
    for (const { mirrors } of contracts.filter((contract): contract is ModuleContract => contract !== undefined)) {
      for (const { module, kind, object } of mirrors)
        if (module === moduleName) used.push({ by: other.name, kind, object });
    }
  }
  return used;
}

export function nextInstance(
  record: ModuleRecord,
  request: UpdateRequest,
  made: { readonly id: string; readonly nowMs: number; readonly deletedObjects: readonly string[] },
): InstanceRecord {
  const old = record.instances.find(({ id }) => id === record.readTarget)!;
  const { metadata: _metadata, deletedObjects: _deleted, ...kept } = old;
  return {
    ...kept,
    id: made.id,
    dataId: dataIdOf(old),
    bundleHash: request.bundleHash,
    moduleExport: request.moduleExport,
    ramaVersion: request.ramaVersion,
    configOverrides: request.resetConfig
      ? request.configOverrides
      : { ...old.configOverrides, ...request.configOverrides },
    ...(request.metadata === undefined ? {} : { metadata: request.metadata }),
    createdMs: made.nowMs,
    deletedObjects: made.deletedObjects,
  };
}

/** What is set persists; what the command sets wins; what the new code sets at launch counts where nothing is set. */
export function nextOptions(record: ModuleRecord, request: UpdateRequest): OptionSetting[] {
  const byKey = new Map<string, OptionSetting>();
  for (const each of [...request.launchOptions, ...record.options, ...request.options])
    byKey.set(`${each.scope}\n${each.object}\n${each.name}`, each);
  return [...byKey.values()];
}
