// The dashboard: one stream of snapshots and log lines in, three kinds of POST out. Everything that came from a topic or a
// log is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const LOG_LINES_KEPT = 1000;

const logs = new Map();
let selected = null;
let services = [];
let lastSnapshot = 0;
let seenOrders = new Set();

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 60) return `${seconds} s`;
  if (seconds >= 600 && seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function rate(perSecond) {
  if (!perSecond) return "idle";
  return perSecond < 10 ? `${perSecond.toFixed(1)}/s` : `${number.format(Math.round(perSecond))}/s`;
}

// ---- flow -----------------------------------------------------------------------------------------------------------

const FLOW = [
  { service: "order-producer" },
  { pipe: "orders_rate" },
  { topic: "grocery.orders.v1", count: "orders", lag: "orders_lag" },
  { pipe: "picklists_rate" },
  { service: "fulfillment-service" },
  { pipe: "picklists_rate" },
  { topic: "grocery.picklist.v1", count: "picklists", lag: "picklists_lag" },
  { pipe: "shown_rate" },
  { service: "picklist-consumer" },
];

function buildFlow() {
  for (const step of FLOW) {
    const item = element("li", step.pipe ? "pipe" : `node ${step.topic ? "topic" : "service"}`);
    if (step.pipe) {
      item.append(element("i"));
      item.setAttribute("aria-hidden", "true");
    } else if (step.topic) {
      item.append(element("div", "name", step.topic), element("div", "count", "0"), element("div", "extra"));
    } else {
      const badge = element("span", "badge");
      badge.append(element("span", "dot"), document.createTextNode(step.service));
      item.append(badge, element("div", "extra"));
    }
    step.node = item;
    $("flow").append(item);
  }
}

function showFlow(flow) {
  for (const step of FLOW) {
    const extra = step.node.querySelector(".extra");
    if (step.pipe) {
      step.node.classList.toggle("moving", flow[step.pipe] > 0);
    } else if (step.topic) {
      setText(step.node.querySelector(".count"), number.format(flow[step.count]));
      const lag = flow[step.lag];
      setText(extra, lag > 0 ? `${number.format(lag)} waiting` : "all read");
      extra.classList.toggle("warn", lag > 1000);
    } else {
      // Several instances have names with a number.
      const instances = services.filter(({ name }) => name === step.service || name.startsWith(`${step.service}-`));
      if (instances.length === 0) continue;
      const running = instances.filter((instance) => instance.state === "running");
      step.node.querySelector(".badge").dataset.state = (running[0] ?? instances[0]).state;
      const sum = running.reduce((all, instance) => all + instance.rate, 0);
      const share = instances.length > 1 ? ` · ${running.length} of ${instances.length}` : "";
      setText(extra, running.length > 0 ? rate(sum) + share : instances[0].state);
    }
  }
  const aside = flow.set_aside;
  $("flow-title").textContent = aside > 0 ? `Flow of events · ${number.format(aside)} set aside, see the logs` : "Flow of events";
}

// ---- services -------------------------------------------------------------------------------------------------------

const cards = new Map();

function card(name) {
  const node = element("article", "card service-card");
  const head = element("div", "head");
  const title = element("h3", "", name);
  const state = element("span", "state");
  head.append(title, state);
  const detail = element("p", "detail quiet");
  const figures = element("dl", "figures");
  const values = {};
  for (const [key, label] of [["count", "records"], ["rate", "rate"], ["lag", "lag"], ["token", "token life"]]) {
    const cell = element("div");
    values[key] = element("dd", "", "–");
    cell.append(element("dt", "", label), values[key]);
    figures.append(cell);
  }
  const buttons = element("div", "buttons");
  const start = element("button", "button start", "Start");
  const stop = element("button", "button stop", "Stop");
  for (const [button, action] of [[start, "start"], [stop, "stop"]]) {
    button.type = "button";
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
    button.addEventListener("click", () => act(name, action, button));
    buttons.append(button);
  }
  node.append(head, detail, figures, buttons);
  $("service-cards").append(node);
  const parts = { node, state, detail, values, start, stop };
  cards.set(name, parts);
  return parts;
}

function serviceDetail(service, now) {
  const since = service.since ? duration((now - service.since) / 1000) : "";
  switch (service.state) {
    case "running": return `process ${service.pid}, up ${since}${service.ready ? "" : ", waiting to be ready"}${service.restarts ? `, started ${service.restarts + 1} times` : ""}`;
    case "crashed": return `${service.detail || "ended unexpectedly"}, ${since} ago`;
    case "stopped": case "finished": return service.detail ? `${service.detail}, ${since} ago` : since && `${since} ago`;
    default: return service.detail || "";
  }
}

function showServices(list, now) {
  for (const service of list) {
    const parts = cards.get(service.name) || card(service.name);
    if (parts.node.dataset.state && parts.node.dataset.state !== service.state) {
      setText($("announcer"), `${service.name} is ${service.state}`);
    }
    parts.node.dataset.state = service.state;
    setText(parts.state, service.state);
    setText(parts.detail, serviceDetail(service, now));
    setText(parts.values.count, number.format(service.count ?? 0));
    setText(parts.values.rate, service.state === "running" ? rate(service.rate) : "–");
    setText(parts.values.lag, service.lag === null || service.lag === undefined ? "–" : number.format(service.lag));
    setText(parts.values.token, service.token_seconds === null || service.token_seconds === undefined ? "–" : duration(service.token_seconds));
    const alive = ["running", "starting", "stopping"].includes(service.state);
    parts.start.disabled = alive;
    parts.stop.disabled = !alive || service.state === "stopping";
    if (!logs.has(service.name)) addLog(service.name);
  }
}

async function act(name, action, button) {
  button.disabled = true;
  try {
    const answer = await fetch(`/api/services/${encodeURIComponent(name)}/${action}`, { method: "POST" });
    if (!answer.ok) throw new Error((await answer.text()) || `the answer was ${answer.status}`);
  } catch (error) {
    setText($("announcer"), `Could not ${action} ${name}: ${error.message}`);
    const parts = cards.get(name);
    if (parts) setText(parts.detail, `Could not ${action}: ${error.message}`);
    button.disabled = false;
  }
}

// ---- sandbox --------------------------------------------------------------------------------------------------------

function showSandbox(sandbox) {
  const list = $("sandbox");
  const labels = { broker: "Kafka broker", registry: "Schema Registry", issuer: "OpenID issuer" };
  for (const [part, label] of Object.entries(labels)) {
    const status = sandbox[part];
    if (!status) continue;
    let item = list.querySelector(`[data-part="${part}"]`);
    if (!item) {
      item = element("li");
      item.dataset.part = part;
      item.append(element("span", "dot"), element("span", "", label), element("code"), element("span", "visually-hidden"));
      list.append(item);
    }
    item.dataset.state = status.state;
    item.title = status.detail || "";
    setText(item.querySelector("code"), status.address);
    setText(item.lastChild, status.state);
  }
}

// ---- latest events --------------------------------------------------------------------------------------------------

function showOrders(orders) {
  if (!orders.length) return;
  const fresh = new Set(orders.map((order) => order.order_id));
  const rows = orders.map((order) => {
    const row = element("tr", seenOrders.has(order.order_id) ? "" : "new");
    const id = element("td", "id", order.order_id.slice(0, 8));
    id.title = `${order.order_id}, partition ${order.partition}, offset ${order.offset}`;
    const items = order.items.length > 4 ? `${order.items.slice(0, 4).join(", ")} and ${order.items.length - 4} more` : order.items.join(", ");
    const itemCell = element("td", "items", items);
    itemCell.title = order.items.join(", ");
    row.append(id, element("td", "customer", order.customer_id), itemCell, element("td", "number", money.format(order.total)), element("td", "time", order.time.slice(-8)));
    return row;
  });
  if ([...fresh].some((id) => !seenOrders.has(id))) $("orders").replaceChildren(...rows);
  seenOrders = fresh;
}

let newestPicklist = null;

function showPicklists(picklists) {
  if (!picklists.length || picklists[0].picklist_id === newestPicklist) return;
  newestPicklist = picklists[0].picklist_id;
  $("picklists").replaceChildren(...picklists.map((picklist) => {
    const node = element("article", "picklist");
    const title = element("div", "title");
    const id = element("span", "id", picklist.order_id.slice(0, 8));
    id.title = picklist.order_id;
    title.append(id, element("span", "quiet", picklist.time.slice(-8)), element("span", "picker", picklist.picker));
    const aisles = element("ul", "aisles");
    for (const aisle of picklist.aisles) {
      const item = element("li");
      item.append(element("b", "", aisle.aisle), document.createTextNode(aisle.items.join(", ")));
      aisles.append(item);
    }
    node.append(title, aisles);
    return node;
  }));
}

// ---- logs -----------------------------------------------------------------------------------------------------------

function addLog(name) {
  logs.set(name, []);
  const tab = element("button", "", name);
  tab.type = "button";
  tab.setAttribute("role", "tab");
  tab.dataset.log = name;
  tab.addEventListener("click", () => selectLog(name));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = [...logs.keys()];
    selectLog(names[(names.indexOf(name) + step + names.length) % names.length], true);
  });
  $("log-tabs").append(tab);
  if (!selected) selectLog(name);
}

function selectLog(name, focus) {
  selected = name;
  for (const tab of $("log-tabs").children) {
    const chosen = tab.dataset.log === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
  }
  $("log").replaceChildren();
  appendLines(logs.get(name));
}

function lineNode(line) {
  return element("div", line.level, `${line.time} ${line.level.padEnd(5)} ${line.text}`);
}

function appendLines(lines) {
  const log = $("log");
  log.querySelector(".none")?.remove();
  log.append(...lines.map(lineNode));
  while (log.childElementCount > LOG_LINES_KEPT) log.firstElementChild.remove();
  if (!log.childElementCount) log.append(element("div", "none", "No lines yet."));
  if ($("follow").checked) log.scrollTop = log.scrollHeight;
}

function receiveLog({ service, lines, cleared }) {
  if (!logs.has(service)) addLog(service);
  const kept = cleared ? [] : logs.get(service);
  kept.push(...lines);
  kept.splice(0, Math.max(0, kept.length - LOG_LINES_KEPT));
  logs.set(service, kept);
  if (service !== selected) return;
  if (cleared) $("log").replaceChildren();
  appendLines(lines);
}

$("clear").addEventListener("click", () => selected && act(selected, "logs/clear", $("clear")).then(() => { $("clear").disabled = false; }));

// ---- the stream -----------------------------------------------------------------------------------------------------

function connection(state, text) {
  $("connection").dataset.state = state;
  setText($("connection"), text);
}

function connect() {
  const stream = new EventSource("/api/events");
  stream.addEventListener("open", () => {
    connection("live", "Live");
    // The server sends what it has kept of the logs again at the start of every stream.
    for (const name of logs.keys()) logs.set(name, []);
    $("log").replaceChildren();
  });
  stream.addEventListener("snapshot", (event) => {
    const snapshot = JSON.parse(event.data);
    lastSnapshot = Date.now();
    connection("live", "Live");
    services = snapshot.services;
    setText($("uptime"), `running for ${duration((snapshot.now - snapshot.started) / 1000)}`);
    showSandbox(snapshot.sandbox);
    showServices(snapshot.services, snapshot.now);
    showFlow(snapshot.flow);
    showOrders(snapshot.orders);
    showPicklists(snapshot.picklists);
  });
  stream.addEventListener("log", (event) => receiveLog(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    connection("lost", "Connection lost, trying again");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

setInterval(() => {
  if (lastSnapshot && Date.now() - lastSnapshot > 5000) connection("lost", "No news for 5 s");
}, 1000);

buildFlow();
connect();
