// The Cluster UI: reads /api and draws tables; read only. No framework, no build step.
const page = document.getElementById("page");
const stateLine = document.getElementById("state");
const refreshMs = 3000;

const text = (value) => document.createTextNode(String(value ?? ""));
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.map((child) => (child instanceof Node ? child : text(child))));
  return node;
}
const number = (value) => (typeof value === "number" ? value.toLocaleString("en-US") : "");
const bytes = (value) => {
  if (typeof value !== "number") return "";
  const [unit, divisor] = value < 1e3 ? ["B", 1] : value < 1e6 ? ["kB", 1e3] : value < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${divisor === 1 ? value : (value / divisor).toFixed(1)} ${unit}`;
};
const ago = (ms) => { const s = Math.max(0, Math.round((Date.now() - ms) / 1000)); return s < 90 ? `${s} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : new Date(ms).toLocaleString(); };
const tone = (state) => (/running|in sync/i.test(state) ? "good" : /fail|gone|no answer|no leader/i.test(state) ? "bad" : "warn");
/** `[:running]` is shown as running; the published name is in the tooltip. */
const badge = (state) => el("span", { class: `badge ${tone(state)}`, title: state }, state.replace(/^\[:|\]$/g, ""));
const facts = (pairs) => el("dl", { class: "facts" }, ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
const notice = (kind, ...content) => el("p", { class: `notice ${kind}` }, ...content);

function table(headings, rows, empty) {
  if (rows.length === 0) return el("div", { class: "card" }, el("div", { class: "empty" }, empty));
  const isNumber = headings.map((heading) => heading.startsWith("#"));
  const head = el("tr", {}, ...headings.map((heading, i) => el("th", isNumber[i] ? { class: "number" } : {}, heading.replace("#", ""))));
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, i) => el("td", isNumber[i] ? { class: "number" } : {}, cell))));
  return el("div", { class: "card" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}

async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json().catch(() => ({ message: response.statusText }))).message);
  return response.json();
}

async function modulesPage() {
  const cluster = await get("/api/cluster");
  document.getElementById("metadata").textContent = cluster.metadata ?? "";
  const workers = cluster.modules.flatMap((m) => m.instances).reduce((sum, i) => sum + i.workers * i.replicationFactor, 0);
  return [
    el("h1", {}, "Modules"),
    facts([
      ["modules", number(cluster.modules.length)],
      ["workers", number(workers)],
      ["supervisors", number(cluster.supervisors.length)],
      ["release", cluster.release],
    ]),
    table(["module", "state", "#tasks", "#threads", "#workers", "#replicas", "since"], cluster.modules.map((m) => {
      const i = m.instances[0] ?? {};
      const link = el("a", { href: `#/modules/${encodeURIComponent(m.name)}` }, m.name);
      return [link, badge(m.state), number(i.tasks), number(i.threads), number(i.workers), number(i.replicationFactor), ago(m.stateSinceMs)];
    }), "No module is deployed yet: rama deploy --action launch …"),
  ];
}

/** Depots, PStates and topologies by name, summed over the engines of all workers that answered. */
function statsOf(status) {
  const depots = new Map();
  const pstates = new Map();
  const topologies = new Map();
  const migrations = new Map();
  const engines = (status.engines ?? []).flatMap((worker) => worker.engines ?? []);
  const add = (map, name, more) => {
    const sums = map.get(name) ?? {};
    for (const [key, value] of Object.entries(more)) sums[key] = (sums[key] ?? 0) + value;
    map.set(name, sums);
    return sums;
  };
  for (const engine of engines) {
    for (const d of engine.depots ?? []) add(depots, d.name, { records: d.endOffset - d.startOffset, bytes: d.bytes ?? 0 });
    for (const p of engine.pstates ?? []) add(pstates, p.name, { entries: p.entries ?? 0, bytes: p.bytes ?? 0 });
    for (const t of engine.topologies ?? []) {
      const sums = add(topologies, t.name, { processed: t.processed, executing: t.executing, failures: t.failures, deadLetters: t.deadLetters ?? 0 });
      sums.kind = t.kind;
      sums.paused ||= t.paused;
      sums.pauseReason ??= t.pauseReason;
      sums.lastError ??= t.lastError;
      sums.blocked ??= t.blocked;
    }
  }
  for (const { object, ids, done, rewritten } of engines.flatMap((engine) => engine.migrations ?? [])) {
    const sums = add(migrations, object, { partitions: 1, done: done ? 1 : 0, rewritten });
    sums.ids = new Set([...(sums.ids ?? []), ...ids]);
  }
  const logBytes = engines.reduce((sum, engine) => sum + engine.logBytes, 0);
  return { depots, pstates, topologies, migrations, logBytes, failed: engines.flatMap((engine) => engine.failed ?? []) };
}

/** LevelDB tells the size of its tables; what was written last stands in its log alone. */
const tableBytes = (sums) =>
  sums?.bytes === 0 && sums.entries > 0 ? el("span", { title: "not in LevelDB's tables yet" }, "-") : bytes(sums?.bytes);
const total = (map, key) => [...map.values()].reduce((sum, each) => sum + each[key], 0);
const code = (content) => el("code", {}, content);

async function modulePage(name) {
  const status = await get(`/api/modules/${encodeURIComponent(name)}`);
  const { module, objects, workers, log } = status;
  const { depots, pstates, topologies, migrations, logBytes, failed } = statsOf(status);
  const answering = new Set((status.engines ?? []).map(({ workerId }) => workerId));
  const silent = workers.length - answering.size;
  return [
    el("h1", {}, module.name, " ", badge(module.state)),
    ...(module.error ? [notice("bad", module.error)] : []),
    ...failed.map((why) => notice("bad", `An engine has stopped: ${why}`)),
    ...[...topologies].filter(([, t]) => t.blocked).map(([topology, { blocked }]) => notice("warn", code(topology), `: ${blocked.depot} partition ${blocked.partition} offset ${blocked.offset} has failed ${blocked.failures} times: ${blocked.error}`)),
    ...[...topologies].filter(([, t]) => t.deadLetters > 0).map(([topology, t]) => notice("warn", code(topology), ` has set aside ${number(t.deadLetters)} records: `, code(`rama deadLetters ${name}`))),
    ...[...topologies].filter(([, t]) => t.paused).map(([topology, t]) => notice("warn", code(topology), ` is paused: ${t.pauseReason ?? "by pauseTopology"}`)),
    ...[...migrations].map(([object, m]) => notice(m.done === m.partitions ? "good" : "warn", code(object), ` migrates (${[...m.ids].join(", ")}): ${number(m.done)} of ${number(m.partitions)} partitions done, ${number(m.rewritten)} rewritten`)),
    ...(silent > 0 ? [notice("warn", `${silent} of ${workers.length} workers do not answer; the counts below are without them.`)] : []),
    facts([
      ["records in depots", number(total(depots, "records"))],
      ["entries in PStates", number(total(pstates, "entries"))],
      ["depots on disk", bytes(total(depots, "bytes"))],
      ["PStates on disk", tableBytes({ bytes: total(pstates, "bytes"), entries: total(pstates, "entries") })],
      ["log on disk", bytes(logBytes)],
    ]),
    el("h2", {}, "Depots"),
    table(["depot", "partitioning", "#records", "#on disk"], (objects?.depots ?? []).map((d) => [
      code(d.name),
      d.tick ? "tick" : d.partitioning.kind + (d.global ? ", global" : ""),
      number(depots.get(d.name)?.records),
      bytes(depots.get(d.name)?.bytes),
    ]), "none"),
    el("h2", {}, "Topologies"),
    table(["topology", "kind", "state", "#processed", "#under way", "#failures", "last error"], [...topologies].map(([topology, t]) => [
      code(topology),
      t.kind,
      badge(t.paused ? "paused" : "running"),
      number(t.processed),
      number(t.executing),
      number(t.failures),
      el("span", { class: "error" }, t.lastError ?? ""),
    ]), "No worker answers."),
    el("h2", {}, "PStates"),
    table(["PState", "kind", "#entries", "#on disk"], (objects?.pstates ?? []).map((p) => [
      code(p.name),
      [p.global ? "global" : "partitioned", p.private ? "private" : ""].filter(Boolean).join(", "),
      number(pstates.get(p.name)?.entries),
      tableBytes(pstates.get(p.name)),
    ]), "none"),
    el("h2", {}, "Workers"),
    table(["worker", "state", "host", "pid", "ports", "#starts", "started"], workers.map((w) => [
      String(w.workerIndex),
      badge(w.state === "running" && !answering.has(w.workerId) ? "no answer" : w.state),
      w.host,
      String(w.pid),
      [...new Set(Object.values(w.groupPorts))].join(", "),
      number(w.starts),
      ago(w.startedMs),
    ]), "No worker has been started."),
    ...replicas(module, status.groups ?? []),
    el("h2", {}, "Instances"),
    table(["instance", "#tasks", "#threads", "#workers", "#replicas", "created"], module.instances.map((i) => [
      code(i.id),
      number(i.tasks),
      number(i.threads),
      number(i.workers),
      number(i.replicationFactor),
      ago(i.createdMs),
    ]), "none"),
    el("h2", {}, "Operations"),
    operationTable(log),
  ];
}

/** Who leads each task group, and which replicas have all that is committed. */
function replicas(module, groups) {
  if (groups.every((group) => group === null)) return [];
  const { placement = [] } = module.instances.find(({ id }) => id === module.readTarget) ?? {};
  const onNode = (worker) => placement.find(({ workerIndex }) => workerIndex === worker)?.supervisorId.slice(0, 8) ?? "";
  const rows = groups.flatMap((group, id) => {
    if (group === null) return [];
    const { leader, epoch, members, inSync } = group;
    const away = members.filter((worker) => !inSync.includes(worker));
    const whole = leader === null ? badge("no leader") : away.length > 0 ? badge("behind") : badge("in sync");
    const at = (worker) => `worker ${worker} (${onNode(worker)})`;
    return [[String(id), whole, leader === null ? "" : at(leader), number(epoch), number(inSync.length), number(members.length), away.map(at).join(", ")]];
  });
  return [el("h2", {}, "Task groups"), table(["group", "state", "leader", "#epoch", "#in sync", "#of", "not in sync"], rows, "none")];
}

const operationTable = (log) => table(["when", "module", "operation", "step"], [...log].reverse().map((o) => [new Date(o.atMs).toISOString().replace("T", " ").slice(0, 19) + " UTC", o.module, o.operation, o.text]), "Nothing yet.");

async function supervisorsPage() {
  const { supervisors, leaderless } = await get("/api/cluster");
  return [el("h1", {}, "Supervisors"), table(["id", "host", "REST port", "labels", "#disk free", "#of", "release", "leaders", "heartbeat"], supervisors.map((s) => [code(s.id), s.host, String(s.httpPort), s.labels.join(", "), bytes(s.diskFreeBytes), bytes(s.diskTotalBytes), s.version, leaderless?.supervisorId === s.id ? "disallowed" : "allowed", ago(s.heartbeatMs)]), "No supervisor is running: rama supervisor")];
}

async function operationsPage() {
  return [el("h1", {}, "Operations"), operationTable(await get("/api/operations"))];
}

let drawn = "";
let turn = 0;

async function draw() {
  const { hash } = location;
  const mine = ++turn;
  const [, first, second] = hash.split("/");
  const section = first === "supervisors" || first === "operations" ? first : "modules";
  for (const link of document.querySelectorAll("nav a")) link.toggleAttribute("aria-current", link.dataset.section === section);
  try {
    const nodes = first === "modules" && second ? await modulePage(decodeURIComponent(second)) : first === "supervisors" ? await supervisorsPage() : first === "operations" ? await operationsPage() : await modulesPage();
    // A later page was asked for meanwhile.
    if (mine !== turn) return;
    page.replaceChildren(...nodes);
    drawn = hash;
    document.title = `${page.querySelector("h1").firstChild.textContent} - Rama`;
    stateLine.textContent = `updated ${new Date().toLocaleTimeString("en-GB")}`;
  } catch (error) {
    if (mine !== turn) return;
    stateLine.textContent = "not updated";
    stateLine.title = error.message;
    // What was drawn of this page stays; another page's must not.
    if (drawn !== hash || page.childElementCount === 0) page.replaceChildren(notice("bad", error.message));
    else if (!page.querySelector(".stale")) page.prepend(notice("warn stale", `Not updated: ${error.message}`));
    drawn = hash;
  }
}

addEventListener("hashchange", draw);
setInterval(() => { if (!document.hidden) draw(); }, refreshMs);
draw();
