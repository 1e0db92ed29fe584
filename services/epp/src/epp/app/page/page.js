// Shows what the picker tells by one stream of events. Every word of a client's or a server's is set as text.
"use strict";

const HISTORY = 60;  // points of a sparkline: two minutes
const ROWS = 200;    // decisions kept in the list
const history = new Map();
const counted = { decisions: [], refused: [] };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

function number(value, digits = 0) {
  return typeof value === "number" ? value.toFixed(digits) : "–";
}

function sparkline(key, value) {
  const points = history.get(key) ?? [];
  points.push(value ?? 0);
  if (points.length > HISTORY) points.shift();
  history.set(key, points);
  const most = Math.max(...points, 1e-9);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 60 16");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.map((each, at) => `${60 - points.length + at},${15 - (each / most) * 14}`).join(" "));
  svg.append(line);
  return svg;
}

function measured(endpoint, name, digits) {
  const value = endpoint.estimate[name];
  const cell = element("td", { class: endpoint.is_fresh ? "number" : "number stale" }, number(value, digits));
  cell.title = endpoint.is_fresh ? "scraped, brought up to date by what was sent since" : "estimated: the scrape is old";
  cell.append(sparkline(`${endpoint.endpoint} ${name}`, value));
  return cell;
}

function standing(endpoint) {
  const kind = endpoint.standing === "good" ? "good" : endpoint.share > 0 ? "warn" : "bad";
  const words = endpoint.share < 1 ? `${endpoint.standing} ${Math.round(endpoint.share * 100)} %` : endpoint.standing;
  const badge = element("span", { class: `badge ${kind}` }, words);
  badge.title = endpoint.reason || "takes part in every decision";
  return badge;
}

function endpointName(endpoint) {
  const cell = element("td", { title: endpoint.endpoint }, endpoint.name || endpoint.endpoint);
  if (endpoint.simulated) {
    cell.append(" ", element("span", { class: "badge", title: "stands in for a real server" }, "simulated"));
  }
  return cell;
}

function endpointRow(endpoint) {
  const adapters = (endpoint.metrics?.active_adapters ?? []).join(", ");
  const others = endpoint.others_in_flight ? ` + ${endpoint.others_in_flight}` : "";
  const flight = element("td", { class: "number" }, `${endpoint.in_flight ?? 0}${others}`);
  flight.title = "sent by this picker, and by others that share what they know";
  flight.append(sparkline(`${endpoint.endpoint} in_flight`, endpoint.in_flight));
  return element("tr", {},
    endpointName(endpoint),
    element("td", {}, standing(endpoint)),
    measured(endpoint, "waiting"), measured(endpoint, "running"), measured(endpoint, "kv_usage", 2), flight,
    element("td", { class: "number" }, endpoint.index_blocks ?? 0),
    element("td", {}, adapters || "–"),
    element("td", { class: "number" }, endpoint.metrics_age === null ? "never" : `${number(endpoint.metrics_age, 1)} s`));
}

function showPools(pools) {
  const heads = ["endpoint", "standing", "queue", "running", "KV use", "in flight", "prefix blocks", "adapters", "age"];
  const sections = pools.map((pool) => {
    const head = element("tr", {}, ...heads.map((name, at) =>
      element("th", at > 1 && at !== 7 ? { class: "number" } : {}, name)));
    return element("div", {},
      element("h2", {}, pool.pool, " ", element("small", {}, `${pool.endpoints.length} endpoints, ${pool.sessions} sessions`)),
      element("div", { class: "scroll" }, element("table", {},
        element("thead", {}, head), element("tbody", {}, ...pool.endpoints.map(endpointRow)))));
  });
  document.getElementById("pools").replaceChildren(...sections);
  summarize(pools);
}

function perSecond(times) {
  const now = performance.now();
  while (times.length && now - times[0] > 10000) times.shift();
  return times.length / 10;
}

function summarize(pools) {
  const endpoints = pools.flatMap((pool) => pool.endpoints);
  const sum = (read) => endpoints.reduce((total, each) => total + (read(each) || 0), 0);
  const cards = [
    [pools.length, "pools"],
    [`${endpoints.filter((each) => each.standing === "good").length} / ${endpoints.length}`, "endpoints in good standing"],
    [sum((each) => each.in_flight), "in flight"],
    [number(sum((each) => each.estimate.waiting)), "queue at servers"],
    [waiting, "wait at the picker"],
    [number(perSecond(counted.decisions), 1), "decisions shown a second"],
    [number(perSecond(counted.refused), 1), "of them refused"],
  ];
  document.getElementById("summary").replaceChildren(...cards.map(([value, name]) =>
    element("div", { class: "card" }, element("b", {}, value), element("span", {}, name))));
}

// Totals of the metrics that say how the fleet is, by what a card calls them.
const HEALTH = [
  ["refused", /^pointsman_epp_rejections_total\{/],
  ["of them for want of room", /^pointsman_epp_rejections_total\{.*code="pool_saturated"/],
  ["attempts that failed at servers", /^pointsman_epp_failed_attempts_total\{/],
  ["ejections of servers", /^pointsman_epp_ejections_total\{/],
  ["events shared through Redis", /^pointsman_epp_shared_events_total\{/],
  ["events that Redis did not take", /^pointsman_epp_shared_events_dropped_total /],
];
const HEALTH_SECONDS = 10;

async function followHealth() {
  try {
    const lines = (await (await fetch("/metrics")).text()).split("\n");
    const sum = (pattern) => lines.filter((line) => pattern.test(line))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    document.getElementById("health").replaceChildren(...HEALTH.map(([name, pattern]) =>
      element("div", { class: "card" }, element("b", {}, sum(pattern)), element("span", {}, `${name}, since the start`))));
  } catch { /* the badge says that it does not answer */ }
  setTimeout(followHealth, HEALTH_SECONDS * 1000);
}

let waiting = 0;
function showQueues(queues) {
  waiting = queues.reduce((total, queue) => total + (queue.waiting?.requests ?? 0), 0);
}

function showDecisions(decisions) {
  const body = document.querySelector("#decisions tbody");
  for (const decision of [...decisions].reverse()) {
    counted.decisions.push(performance.now());
    if (decision.rejection) counted.refused.push(performance.now());
    const row = element("tr", decision.rejection ? { class: "refused" } : {},
      element("td", {}, decision.at.slice(11, 23)),
      element("td", { title: decision.target_model }, decision.model || "–"),
      element("td", { title: decision.rejection ?? decision.targets.join(", ") }, decision.rejection ?? decision.targets[0]),
      element("td", { class: "number" }, decision.prompt_tokens),
      element("td", { class: "number" }, decision.matched_tokens),
      element("td", { class: "number" }, number(decision.margin, 3)));
    row.addEventListener("click", () => explain(row, decision.pick_id ?? decision.request_id));
    body.prepend(row);
  }
  while (body.rows.length > ROWS) body.lastChild.remove();
}

async function explain(row, id) {
  for (const each of document.querySelectorAll("#decisions tr.chosen")) each.classList.remove("chosen");
  row.classList.add("chosen");
  const place = document.getElementById("explanation");
  const response = await fetch(`/debug/explain/${encodeURIComponent(id)}`);
  if (!response.ok) {
    place.replaceChildren(element("p", { class: "quiet" }, "This decision is no longer kept."));
    return;
  }
  place.replaceChildren(...explanation(await response.json()));
}

function facts(decision) {
  const cache = decision.cache ?? {};
  const ledger = decision.ledger;
  const pairs = [
    ["request", decision.request_id || "–"],
    ["model", decision.model === decision.target_model ? decision.model : `${decision.model} → ${decision.target_model}`],
    ["endpoints", decision.targets.join(", ") || "none"],
    ["refused", decision.rejection],
    ["margin", number(decision.margin, 4)],
    ["session", decision.session && `${decision.session.source}: ${decision.session.id}`],
    ["prompt", `${decision.prompt_tokens} tokens, ${decision.matched_tokens} expected in the cache` +
      (typeof cache.engine_cached_tokens === "number" ? `, ${cache.engine_cached_tokens} found there` : "")],
    ["prompts part at", cache.field],
    ["in flight there", ledger && `${ledger.before.requests} before, ${ledger.after.requests} after`],
    ["avoided", Object.entries(decision.avoided ?? {}).map(([id, why]) => `${id} (${why})`).join("; ")],
    ["failures", Object.entries(decision.failures ?? {}).map(([id, why]) => `${id}: ${why}`).join("; ")],
  ];
  return element("dl", {}, ...pairs.filter(([, value]) => value).flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, value)]));
}

function explanation(decision) {
  const parts = [facts(decision)];
  if (!decision.scores) {
    parts.push(element("p", { class: "quiet" }, "Scores are kept where the picker runs with --explain."));
    return parts;
  }
  for (const [profile, totals] of Object.entries(decision.totals)) parts.push(heatTable(decision, profile, totals));
  return parts;
}

function heatTable(decision, profile, totals) {
  const scores = decision.scores.filter((score) => score.profile === profile);
  const filters = decision.filters.filter((filter) => filter.profile === profile);
  const removed = new Map(filters.flatMap((filter) => filter.removed.map((id) => [id, filter.plugin])));
  const head = element("tr", {}, element("th", {}, profile),
    ...scores.map((score) => element("th", { class: "number", title: `weight ${score.weight}` }, score.plugin)),
    element("th", { class: "number" }, "total"));
  const ranked = Object.entries(totals).sort(([, one], [, other]) => other - one);
  const rows = ranked.map(([id, total]) => element("tr", id === decision.targets[0] ? { class: "winner" } : {},
    element("td", {}, id), ...scores.map((score) => heatCell(score, id)),
    element("td", { class: "number" }, number(total, 3))));
  const out = (decision.candidate_endpoints ?? []).filter((id) => removed.has(id)).map((id) => element("tr", {},
    element("td", { class: "quiet" }, id),
    element("td", { class: "quiet", colspan: scores.length + 1 }, `removed by ${removed.get(id)}`)));
  return element("table", { class: "heat" }, element("thead", {}, head), element("tbody", {}, ...rows, ...out));
}

function heatCell(score, id) {
  const raw = score.raw[id], weighted = score.weighted[id];
  const cell = element("td", { class: "number", title: `${number(raw, 4)} × ${score.weight} = ${number(weighted, 4)}` },
    number(raw, 2));
  cell.style.backgroundColor = `rgba(var(--heat), ${Math.min(1, Math.max(0, raw ?? 0)) * 0.55})`;
  return cell;
}

function connect() {
  const badge = document.getElementById("connection");
  const source = new EventSource("/debug/stream");
  const show = (name, words) => { badge.className = `badge ${name}`; badge.textContent = words; };
  source.addEventListener("open", () => show("good", "live"));
  source.addEventListener("error", () => show("bad", "the picker does not answer"));
  for (const [name, handle] of [["pools", showPools], ["queues", showQueues], ["decisions", showDecisions]]) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
}

connect();
followHealth();
