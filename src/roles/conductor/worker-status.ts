// Asks a module's workers what their engines say of themselves, at their hello ports. A worker that does not answer within a second is left out: status is
// for looking, and must not hang on a dead process.
import { decodeControl, encodeControl } from "../../base/codec.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Platform } from "../../net/platform.ts";
import { RpcClient } from "../../net/rpc.ts";
import type { WorkerReport } from "../../protocol/cluster-records.ts";
import { WORKER_STATUS } from "../../protocol/conductor.ts";
import type { DeadLetterRow, DeadLettersAnswer, DeadLettersCall, PauseTopology } from "../../protocol/control.ts";
import { DEAD_LETTERS, PAUSE_TOPOLOGY } from "../../protocol/table.ts";

const timeoutMs = 1_000;
/** With `verify` a worker reads all that it has. */
const verifyTimeoutMs = 60_000;

/** `verify`: with a hash of what each task group holds. */
export async function askWorkers(
  platform: Platform,
  workers: readonly WorkerReport[],
  verify = false,
): Promise<unknown[]> {
  const answers = await Promise.all(
    workers
      .filter((worker) => worker.state === "running" && worker.helloPort !== 0)
      .map((worker) => ask(platform, worker, verify)),
  );
  return answers.filter((answer) => answer !== undefined);
}

/** Tells every worker that runs; the others learn it from their supervisors. Returns how many there were. UNKNOWN_OBJECT: the module has no such topology. */
export async function pauseAtWorkers(
  platform: Platform,
  workers: readonly WorkerReport[],
  pause: PauseTopology,
): Promise<number> {
  let told = 0;
  for (const worker of workers) {
    if (worker.state !== "running") continue;
    const address = { host: worker.host, port: worker.helloPort };
    const client = new RpcClient(platform.env, platform.transport, address, { connectTimeoutMs: timeoutMs });
    try {
      await client.call(PAUSE_TOPOLOGY, encodeControl(pause), timeoutMs);
      told++;
    } catch (error) {
      if (!(error instanceof RamaError) || error.code === "UNKNOWN_OBJECT") throw error;
      platform.env.log.debug("a worker does not hear of a pause now", {
        worker: worker.workerId,
        error: error.message,
      });
    } finally {
      client.close();
    }
  }
  return told;
}

/** Of all workers. MODULE_NOT_RUNNING names one that is down; the call may be repeated. */
export async function deadLettersOfWorkers(
  { env, transport }: Platform,
  workers: readonly WorkerReport[],
  call: DeadLettersCall,
): Promise<DeadLettersAnswer> {
  const letters: DeadLetterRow[] = [];
  let count = 0;
  for (const worker of workers) {
    if (worker.state !== "running") {
      const message = `worker ${worker.workerIndex} is ${worker.state}: its dead letters are not known now; try again`;
      throw new RamaError("MODULE_NOT_RUNNING", message, { worker: worker.workerId });
    }
    const address = { host: worker.host, port: worker.helloPort };
    const client = new RpcClient(env, transport, address, { connectTimeoutMs: timeoutMs });
    try {
      const answer = decodeControl(await client.call(DEAD_LETTERS, encodeControl(call), 5_000)) as DeadLettersAnswer;
      letters.push(...answer.letters);
      count += answer.count;
    } finally {
      client.close();
    }
  }
  return { letters, count };
}

async function ask({ env, transport }: Platform, worker: WorkerReport, verify: boolean): Promise<unknown> {
  const client = new RpcClient(
    env,
    transport,
    { host: worker.host, port: worker.helloPort },
    { connectTimeoutMs: timeoutMs },
  );
  try {
    return decodeControl(
      await client.call(WORKER_STATUS, encodeControl({ verify }), verify ? verifyTimeoutMs : timeoutMs),
    );
  } catch (error) {
    env.log.debug("a worker does not tell its status", { worker: worker.workerId, error: messageOf(error) });
    return undefined;
  } finally {
    client.close();
  }
}
