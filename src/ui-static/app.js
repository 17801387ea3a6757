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
const bytes = (value) => (typeof value !== "number" ? "" : value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${Math.ceil(value / 1e3)} kB`);
const ago = (ms) => { const s = Math.max(0, Math.round((Date.now() - ms) / 1000)); return s < 90 ? `${s} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : new Date(ms).toLocaleString(); };
const tone = (state) => (/running/i.test(state) ? "good" : /fail|gone/i.test(state) ? "bad" : "warn");
const badge = (state) => el("span", { class: `badge ${tone(state)}` }, state);

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
  return [
    el("h1", {}, "Modules"),
    table(["module", "state", "#tasks", "#threads", "#workers", "#replicas", "since"], cluster.modules.map((m) => {
      const i = m.instances[0] ?? {};
      return [el("a", { href: `#/modules/${encodeURIComponent(m.name)}` }, m.name), badge(m.state), number(i.tasks), number(i.threads), number(i.workers), number(i.replicationFactor), ago(m.stateSinceMs)];
    }), "No module is deployed yet: rama deploy --action launch …"),
    el("p", { class: "facts" }, `release ${cluster.release}`),
  ];
}

function statsOf(status) {
  const depots = new Map(); const pstates = new Map();
  for (const worker of status.engines ?? []) for (const engine of worker.engines ?? []) {
    for (const d of engine.depots ?? []) { const t = depots.get(d.name) ?? { records: 0, bytes: 0 }; t.records += d.endOffset - d.startOffset; t.bytes += d.bytes ?? 0; depots.set(d.name, t); }
    for (const p of engine.pstates ?? []) { const t = pstates.get(p.name) ?? { entries: 0, bytes: 0 }; t.entries += p.entries ?? 0; t.bytes += p.bytes ?? 0; pstates.set(p.name, t); }
  }
  return { depots, pstates };
}

async function modulePage(name) {
  const status = await get(`/api/modules/${encodeURIComponent(name)}`);
  const { module, objects, workers, log } = status;
  const { depots, pstates } = statsOf(status);
  return [
    el("h1", {}, module.name, " ", badge(module.state)),
    ...(module.error ? [el("p", { class: "bad" }, module.error)] : []),
    el("h2", {}, "Instances"),
    table(["instance", "#tasks", "#threads", "#workers", "#replicas", "created"], module.instances.map((i) => [el("code", {}, i.id), number(i.tasks), number(i.threads), number(i.workers), number(i.replicationFactor), ago(i.createdMs)]), "none"),
    el("h2", {}, "Workers"),
    table(["#worker", "state", "host", "pid", "#starts", "ports", "started"], workers.map((w) => [w.workerIndex, badge(w.state), w.host, String(w.pid), number(w.starts), [...new Set(Object.values(w.groupPorts))].join(", "), ago(w.startedMs)]), "No worker has been started."),
    el("h2", {}, "Depots"),
    table(["depot", "partitioning", "#records", "#bytes"], (objects?.depots ?? []).map((d) => [el("code", {}, d.name), d.tick ? "tick" : d.partitioning.kind + (d.global ? ", global" : ""), number(depots.get(d.name)?.records), bytes(depots.get(d.name)?.bytes)]), "none"),
    el("h2", {}, "PStates"),
    table(["PState", "kind", "#entries", "#bytes"], (objects?.pstates ?? []).map((p) => [el("code", {}, p.name), [p.global ? "global" : "partitioned", p.private ? "private" : ""].filter(Boolean).join(", "), number(pstates.get(p.name)?.entries), bytes(pstates.get(p.name)?.bytes)]), "none"),
    ...((objects?.queries ?? []).length > 0 ? [el("h2", {}, "Query topologies"), table(["query", "#inputs"], objects.queries.map((q) => [el("code", {}, q.name), q.inputs]), "none")] : []),
    el("h2", {}, "Operations"),
    operationTable(log),
  ];
}

const operationTable = (log) => table(["when", "module", "operation", ""], [...log].reverse().map((o) => [new Date(o.atMs).toLocaleString(), o.module, o.operation, o.text]), "Nothing yet.");

async function supervisorsPage() {
  const { supervisors } = await get("/api/cluster");
  return [el("h1", {}, "Supervisors"), table(["id", "host", "REST port", "labels", "#disk free", "release", "heartbeat"], supervisors.map((s) => [el("code", {}, s.id), s.host, String(s.httpPort), s.labels.join(", "), bytes(s.diskFreeBytes), s.version, ago(s.heartbeatMs)]), "No supervisor is running: rama supervisor")];
}

async function operationsPage() {
  return [el("h1", {}, "Operations"), operationTable(await get("/api/operations"))];
}

async function draw() {
  const [, first, second] = location.hash.split("/");
  try {
    const nodes = first === "modules" && second ? await modulePage(decodeURIComponent(second)) : first === "supervisors" ? await supervisorsPage() : first === "operations" ? await operationsPage() : await modulesPage();
    page.replaceChildren(...nodes);
    stateLine.textContent = `updated ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    stateLine.textContent = `not updated: ${error.message}`;
    if (page.childElementCount === 0) page.replaceChildren(el("p", { class: "bad" }, error.message));
  }
}

addEventListener("hashchange", draw);
setInterval(() => { if (!document.hidden) draw(); }, refreshMs);
draw();
