"use strict";
// The page's own state of before, and the points of its charts.
let before = null;
const points = { starts: [], running: [], refused: [] };
const maxPoints = 240;

const byId = (id) => document.getElementById(id);
const sum = (object) => Object.values(object || {}).reduce((a, b) => a + b, 0);
const good = ["listening", "handed off", "full", "by tcpmux"];

function age(seconds) {
  if (seconds < 60) return Math.max(0, Math.floor(seconds)) + "s";
  if (seconds < 3600) return Math.floor(seconds / 60) + "m";
  if (seconds < 48 * 3600) return Math.floor(seconds / 3600) + "h";
  return Math.floor(seconds / 86400) + "d";
}

function addresses(service) {
  const list = service.listeners.map((l) => l.address.replace("0.0.0.0:", "*:").replace("[::]:", "*:"));
  return [...new Set(list)].join(", ") || "-";
}

// row returns a table row: its first cell is the heading, the others have titles.
function row(cells) {
  const tr = document.createElement("tr");
  cells.forEach(([title, text, state], i) => {
    const cell = document.createElement(i === 0 ? "th" : "td");
    if (i === 0) cell.scope = "row"; else cell.dataset.title = title;
    if (state) {
      const span = document.createElement("span");
      span.className = "state " + (good.includes(text) ? "good" : "bad");
      span.textContent = text;
      cell.append(span);
    } else {
      cell.textContent = text;
    }
    tr.append(cell);
  });
  return tr;
}

function draw(name, value) {
  const list = points[name];
  list.push(value);
  if (list.length > maxPoints) list.shift();
  const most = Math.max(1, ...list);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const step = 300 / (maxPoints - 1);
  line.setAttribute("points", list.map((v, i) => (300 - (list.length - 1 - i) * step).toFixed(1) + "," + (58 - 54 * v / most).toFixed(1)).join(" "));
  byId(name).replaceChildren(line);
  byId("now-" + name).textContent = Number.isInteger(value) ? value : value.toFixed(1);
}

function show(status) {
  const now = Date.now();
  byId("gone").hidden = true;
  byId("summary").textContent = `pid ${status.pid}, ${status.services.length} services, ${status.programs.length} programs running, ${status.refused} clients refused`;
  byId("services").replaceChildren(...status.services.map((s) => row([
    ["", s.name], ["address", addresses(s)], ["state", s.state, true],
    ["running", s.limits && s.limits.instances ? `${s.running}/${s.limits.instances}` : s.running], ["starts", s.starts], ["refused", sum(s.refused)],
    ["last client", s.last ? `${s.last}, ${age((now - Date.parse(s.last_time)) / 1000)} ago` : "-"]])));
  byId("programs").replaceChildren(...status.programs.map((p) => row([
    ["", p.pid], ["service", p.service], ["client", p.client || "-"], ["user", p.user], ["age", age(p.since / 1e9)]])));
  const starts = status.services.reduce((n, s) => n + s.starts, 0);
  const running = status.services.reduce((n, s) => n + s.running, 0);
  if (before) {
    const seconds = Math.max(0.1, (now - before.at) / 1000);
    draw("starts", Math.max(0, starts - before.starts) / seconds);
    draw("refused", Math.max(0, status.refused - before.refused) / seconds);
  }
  draw("running", running);
  before = { at: now, starts, refused: status.refused };
}

const source = new EventSource("/updates");
source.onmessage = (message) => show(JSON.parse(message.data));
source.addEventListener("gone", (message) => {
  byId("gone").textContent = JSON.parse(message.data);
  byId("gone").hidden = false;
});
source.onerror = () => {
  byId("gone").textContent = "inetd does not answer; trying again";
  byId("gone").hidden = false;
};
