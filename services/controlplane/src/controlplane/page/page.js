// Shows what the control plane serves and how much of it is used. Every word of a manifest is set as text.
"use strict";

const STATUS_SECONDS = 3;
const TRAFFIC_SECONDS = 2;
const WINDOW = 10;      // samples of traffic behind a rate: 20 seconds
const samples = [];
let routes = { routes: [], more: 0, pickers: [] };
let status = null;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

function numberCell(text, attributes = {}) {
  return element("td", { class: "number", ...attributes }, text);
}

// Requests a second within the window, of what a sample says; null before there are two samples.
function rate(read) {
  if (samples.length < 2) return null;
  const [first, last] = [samples[0], samples[samples.length - 1]];
  return Math.max(0, (read(last.found) ?? 0) - (read(first.found) ?? 0)) / ((last.at - first.at) / 1000);
}

function clusterRate(cluster, figure) {
  return cluster === null ? null : rate((found) => found.clusters[cluster]?.[figure]);
}

function shown(value, digits = 1) {
  return value === null ? "–" : value.toFixed(digits);
}

function backendRow(route, backend, at) {
  const rates = route.backends.map((each) => clusterRate(each.cluster, "total"));
  const sum = rates.reduce((total, each) => total + (each ?? 0), 0);
  const share = sum > 0 && rates[at] !== null ? `${Math.round((rates[at] / sum) * 100)} %` : "–";
  const name = element("td", {}, backend.name);
  if (backend.fault) name.append(" ", element("span", { class: "badge bad", title: backend.fault }, "leads nowhere"));
  return [name,
    numberCell(route.backends.length > 1 ? `${backend.weight} (${Math.round(backend.share * 100)} %)` : backend.weight),
    numberCell(share, { title: "of the requests to the backends of this rule, from all routes, in 20 seconds" }),
    numberCell(shown(rates[at])), numberCell(shown(clusterRate(backend.cluster, "5xx")))];
}

function showRoutes() {
  const rows = routes.routes.flatMap((route) => {
    const span = { rowspan: Math.max(1, route.backends.length) };
    const head = [element("td", span, `${route.host}:${route.port}`), element("td", span, route.path),
      element("td", span, route.model || "any"), element("td", span, route.conditions.join(", ") || "–"),
      element("td", span, route.route)];
    if (route.refused) head[4].append(" ", element("span", { class: "badge bad" }, "refused"));
    if (!route.backends.length) return [element("tr", {}, ...head, element("td", { colspan: 5 }, "no backend"))];
    return route.backends.map((backend, at) => element("tr", {}, ...(at ? [] : head), ...backendRow(route, backend, at)));
  });
  document.querySelector("#routes tbody").replaceChildren(...rows);
  const more = routes.more ? `; ${routes.more} more are not shown` : "";
  document.getElementById("routes-note").textContent = `in the order in which they are tried${more}`;
  document.getElementById("pickers").replaceChildren(...routes.pickers.flatMap((url, at) =>
    [element("a", { href: url }, routes.pickers.length > 1 ? `picker ${at + 1}` : "picker"), " "]));
}

function conditionsOf(kind, item) {
  const name = `${kind} ${item.namespace}/${item.name}`;
  const found = (item.conditions ?? []).map((condition) => [name, "–", condition]);
  for (const parent of item.parents ?? []) {
    const at = `${parent.parentRef.namespace}/${parent.parentRef.name}`;
    found.push(...parent.conditions.map((condition) => [name, at, condition]));
  }
  for (const listener of item.listeners ?? []) {
    found.push(...listener.conditions.map((condition) => [name, `listener ${listener.name}`, condition]));
  }
  return found;
}

function isGood(condition) {
  return (condition.status === "True") !== (condition.type === "PartiallyInvalid");
}

function allConditions() {
  const kinds = [["Gateway", status.gateways], ["HTTPRoute", status.routes], ["InferencePool", status.pools],
    ["AIGatewayRoute", status.aiRoutes]];
  const found = kinds.flatMap(([kind, items]) => items.flatMap((item) => conditionsOf(kind, item)));
  return [...found, ...status.policies.flatMap((item) => conditionsOf(item.kind, item))];
}

function showConditions(found) {
  const ordered = [...found].sort((one, other) => isGood(one[2]) - isGood(other[2])).slice(0, 1000);
  const rows = ordered.map(([name, at, condition]) => element("tr", {},
    element("td", {}, name), element("td", {}, at), element("td", {}, condition.type),
    element("td", {}, element("span", { class: `badge ${isGood(condition) ? "good" : "bad"}` }, condition.status)),
    element("td", {}, condition.reason), element("td", {}, condition.message)));
  document.querySelector("#conditions tbody").replaceChildren(...rows);
}

function place(problem) {
  const line = problem.line ? `${problem.file}:${problem.line}` : problem.file;
  return `${line}: ${problem.field ? `${problem.field}: ` : ""}${problem.message}`;
}

function showNotes() {
  const lists = [["Wrong in the manifests", status.problems.map(place)], ["Faults", status.faults],
    ["Warnings", status.warnings], ["Accepted without effect", status.notes.map(place)]];
  document.getElementById("notes").replaceChildren(...lists.filter(([, lines]) => lines.length).flatMap(([head, lines]) =>
    [element("h2", {}, head), element("article", {}, ...lines.slice(0, 200).map((line) => element("div", {}, line)))]));
}

function showFailing() {
  const found = samples.length ? samples[samples.length - 1].found.endpoints : [];
  const rows = found.map((each) => element("tr", {}, element("td", {}, each.endpoint), element("td", {}, each.cluster),
    numberCell(each.errors), numberCell(each.requests)));
  const head = element("tr", {}, element("th", {}, "endpoint"), element("th", {}, "cluster"),
    element("th", { class: "number" }, "failed"), element("th", { class: "number" }, "requests"));
  document.getElementById("failing").replaceChildren(...(rows.length ? [
    element("h2", {}, "Endpoints that failed ", element("small", {}, "5xx, or no answer, since Envoy knows them")),
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)))] : []));
}

function counted(items, holds) {
  return `${items.filter(holds).length} / ${items.length}`;
}

function summarize(found) {
  const last = samples.length ? samples[samples.length - 1].found : { known: false, clients: {} };
  const sumOf = (figure) => rate((each) => Object.values(each.clusters).reduce((sum, one) => sum + (one[figure] ?? 0), 0));
  const good = (name) => found.filter(([object]) => object === name).every(([, , condition]) => isGood(condition));
  const simulated = status.pools.reduce((sum, pool) => sum + (pool.simulated ?? 0), 0);
  const cards = [
    [counted(status.gateways, (each) => good(`Gateway ${each.namespace}/${each.name}`)), "Gateways without complaint"],
    [counted(status.routes, (each) => good(`HTTPRoute ${each.namespace}/${each.name}`)), "routes without complaint"],
    [counted(status.pools, (each) => each.endpoints > 0), "pools with endpoints"],
    [status.pools.reduce((sum, pool) => sum + pool.endpoints, 0), simulated ? `endpoints, ${simulated} simulated` : "endpoints"],
    [counted(status.envoys, (each) => each.state === "taken"), "Envoys have the latest"],
    [status.problems.length + status.faults.length, "problems in manifests"],
    [last.known ? shown(rate((each) => each.clients.total)) : "–", "requests a second"],
    [last.known ? last.clients.active ?? 0 : "–", "in flight"],
    [last.known ? shown(rate((each) => each.clients["4xx"])) : "–", "refused a second (4xx)"],
    [last.known ? shown(rate((each) => each.clients["5xx"])) : "–", "failed a second (5xx)"],
    [last.known ? shown(sumOf("retry")) : "–", "retries a second"],
  ];
  document.getElementById("summary").replaceChildren(...cards.map(([value, name]) =>
    element("div", { class: "card" }, element("b", {}, value), element("span", {}, name))));
}

function show() {
  if (status === null) return;
  const found = allConditions();
  summarize(found);
  showRoutes();
  showFailing();
  showConditions(found);
  showNotes();
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function connection(name, words) {
  const badge = document.getElementById("connection");
  badge.className = `badge ${name}`;
  badge.textContent = words;
}

async function followStatus() {
  try {
    [status, routes] = await Promise.all([ask("/status"), ask("/page/routes")]);
    connection("good", "live");
    show();
  } catch {
    connection("bad", "the control plane does not answer");
  }
  setTimeout(followStatus, STATUS_SECONDS * 1000);
}

async function followTraffic() {
  try {
    samples.push({ at: performance.now(), found: await ask("/page/traffic") });
    if (samples.length > WINDOW) samples.shift();
    show();
  } catch { /* followStatus says so */ }
  setTimeout(followTraffic, TRAFFIC_SECONDS * 1000);
}

followStatus();
followTraffic();
