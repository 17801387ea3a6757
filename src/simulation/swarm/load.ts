// The clients of a run: each calls one operation after the other, several at once where the plan says so, checks what it is told, and may be killed in the middle.
import { RamaError } from "../../base/errors.ts";
import type { ProxyState } from "../../client/proxy.ts";
import { Path } from "../../paths/path.ts";
import { Chance } from "../chance.ts";
import type { SimulatedClient } from "../client.ts";
import type { SimulatedCluster } from "../cluster.ts";
import { type Append, type History, Violation } from "./history.ts";
import { groupOf, type SimEvent, type Transfer } from "./modules.ts";
import type { Plan } from "./plan.ts";

const accounts = 9;

export interface ProxyCopy {
  readonly key: string;
  readonly state: ProxyState<number | null>;
  readonly owner: number;
}

export class Load {
  readonly #cluster: SimulatedCluster;
  readonly #plan: Plan;
  readonly #history: History;
  readonly #chance: Chance;
  /** Those that live. */
  readonly #clients = new Map<number, { readonly client: SimulatedClient; under: number }>();
  #lastClient = 0;
  #calls = 0;
  #ended = false;
  readonly proxies: ProxyCopy[] = [];
  readonly violations: unknown[] = [];
  operations = 0;

  constructor(cluster: SimulatedCluster, plan: Plan, history: History) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#history = history;
    this.#chance = new Chance(plan.seed + 7);
  }

  begin(): void {
    for (let i = 0; i < this.#plan.clients; i++) this.#startClient(this.#plan.operations);
    for (let i = 0; i < this.#plan.proxies && this.#plan.ledger !== undefined; i++) this.#startProxy();
  }

  get clientHosts(): string[] {
    return [...this.#clients.values()].map(({ client }) => client.process.host.name);
  }

  killClient(whom: number): boolean {
    const entry = [...this.#clients][Math.floor(whom * this.#clients.size)];
    if (entry === undefined) return false;
    const [number, { client }] = entry;
    this.#clients.delete(number);
    client.process.kill();
    if (!this.#ended) this.#startClient(Math.floor(this.#plan.operations / 2));
    return true;
  }

  /** No new operations; those under way go on. */
  end(): void {
    this.#ended = true;
  }

  /** Nothing is under way in a client that lives. */
  get isIdle(): boolean {
    return [...this.#clients.values()].every(({ under }) => under === 0);
  }

  #startClient(operations: number): void {
    const number = ++this.#lastClient;
    const chance = new Chance(this.#plan.seed * 31 + number);
    void this.#cluster.client().then((client) => {
      this.#clients.set(number, { client, under: 0 });
      client.process.spawn("load", () => this.#work(client, number, operations, chance));
    });
  }

  async #work(client: SimulatedClient, number: number, operations: number, chance: Chance): Promise<void> {
    const { process } = client;
    const state = this.#clients.get(number)!;
    for (let i = 0; i < operations && !this.#ended; i++) {
      while (state.under >= this.#plan.width) await process.sleep(1);
      state.under++;
      this.operations++;
      process.spawn("operation", () =>
        this.#guarded(this.#operation(client, number, chance)).finally(() => {
          state.under--;
        }),
      );
      if (chance.maybe(0.8)) await process.sleep(chance.wait(this.#plan.thinkMs));
    }
  }

  /** Errors of the product are its answer; violations are ours. */
  async #guarded(operation: Promise<void>): Promise<void> {
    try {
      await operation;
    } catch (error) {
      if (error instanceof RamaError) {
        const { codes } = this.#history;
        codes[`read: ${error.code}`] = (codes[`read: ${error.code}`] ?? 0) + 1;
        return;
      }
      if (!(error instanceof Violation)) throw error;
      this.violations.push(error);
    }
  }

  #operation(client: SimulatedClient, number: number, chance: Chance): Promise<void> {
    const { ledger, bank } = this.#plan;
    const onLedger = ledger !== undefined && (bank === undefined || chance.maybe(0.5));
    const what = chance.random();
    if (what < 0.6) {
      return onLedger ? this.#appendEvent(client, number, chance) : this.#appendTransfer(client, number, chance);
    }
    if (what > 0.97 && ledger !== undefined) return this.#askTotal(client);
    if (what < 0.9) return onLedger ? this.#readCount(client, chance) : this.#readGroup(client, chance);
    return this.#readDepot(client, chance, onLedger);
  }

  #appendEvent(client: SimulatedClient, number: number, chance: Chance): Promise<void> {
    const record: SimEvent = { id: this.#history.nextId(), key: this.#key(chance), to: this.#key(chance) };
    return this.#append(client, chance, {
      record,
      depot: "*events",
      client: number,
      call: ++this.#calls,
      outcome: "open",
    });
  }

  #appendTransfer(client: SimulatedClient, number: number, chance: Chance): Promise<void> {
    const account = () => `a${chance.int(1, accounts)}`;
    const record = { id: this.#history.nextId(), from: account(), to: account(), amt: chance.int(1, 100) };
    return this.#append(client, chance, {
      record,
      depot: "*transfers",
      client: number,
      call: ++this.#calls,
      outcome: "open",
    });
  }

  async #append(client: SimulatedClient, chance: Chance, append: Append<SimEvent> | Append<Transfer>): Promise<void> {
    const history = this.#history;
    const level = chance.maybe(0.6) ? "ack" : "appendAck";
    const depot = client.clusterDepot(append.depot === "*events" ? "Ledger" : "Bank", append.depot);
    history.begun(append);
    let failure: unknown;
    try {
      await depot.append(append.record, level);
    } catch (error) {
      failure = error;
    }
    history.ended(append, level, failure);
  }

  async #readCount(client: SimulatedClient, chance: Chance): Promise<void> {
    const key = this.#key(chance);
    const least = this.#history.leastCount(key);
    const count = await client.clusterPState("Ledger", "$$counts").selectOne<number | null>(Path.key(key));
    this.#history.counted(key, count ?? 0, least);
  }

  /** The tasks are read one by one, and none of them goes back. */
  async #askTotal(client: SimulatedClient): Promise<void> {
    const least = this.#history.leastCount("total");
    const total = await client.clusterQuery("Ledger", "total").invoke<number>();
    this.#history.counted("total", total, least);
  }

  /** Whatever has been moved, a group has neither more nor less. */
  async #readGroup(client: SimulatedClient, chance: Chance): Promise<void> {
    const group = groupOf(`a${chance.int(1, accounts)}`);
    const funds = await client.clusterPState("Bank", "$$groups").selectOne<Map<string, number> | null>(Path.key(group));
    const sum = [...(funds?.values() ?? [])].reduce((all, each) => all + each, 0);
    if (sum !== 0) throw new Violation(`accounts of ${group} hold ${sum} together`);
  }

  async #readDepot(client: SimulatedClient, chance: Chance, onLedger: boolean): Promise<void> {
    const depot = onLedger ? "*events" : "*transfers";
    const partition = chance.int(0, (onLedger ? this.#plan.ledger! : this.#plan.bank!).tasks - 1);
    const name = `${depot}/${partition}`;
    const reader = client.clusterDepot(onLedger ? "Ledger" : "Bank", depot);
    const least = this.#history.leastEnd(name);
    const { startOffset, endOffset } = await reader.getPartitionInfo(partition);
    this.#history.told(name, startOffset, endOffset, least);
    const from = chance.int(Math.max(0, endOffset - 20), endOffset);
    const records: { id: number }[] = await reader.read(partition, from, endOffset);
    this.#history.depotRead(
      name,
      from,
      records.map(({ id }) => id),
    );
  }

  #startProxy(): void {
    const key = this.#key(this.#chance);
    const owner = -this.proxies.length - 1;
    void this.#cluster.client().then((client) => {
      client.process.spawn("proxy", async () => {
        for (;;) {
          try {
            const counts = client.clusterPState("Ledger", "$$counts");
            let last = 0;
            const state = await counts.proxy<number | null>(Path.key(key), (now) => {
              if ((now ?? 0) < last)
                this.violations.push(new Violation(`a proxy of ${key} went back from ${last} to ${now}`));
              last = now ?? 0;
            });
            this.proxies.push({ key, state, owner });
            return;
          } catch (error) {
            if (!(error instanceof RamaError)) throw error;
            await client.process.sleep(200);
          }
        }
      });
    });
  }

  #key(chance: Chance): string {
    return `k${chance.int(1, this.#plan.keys)}`;
  }
}
