
"use strict";
// Draws what report/page/data.rs tells of a run. Text from outside goes in as text, never as markup.
(() => {
const run = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);

const ROWS_A_PAGE = 100;
const LABEL_PX = 130;
const AXIS_PX = 20;
const OUTCOMES = ["done", "failed", "timed-out", "not-recorded", "interrupted", "deferred", "cut-off", "running",
  "waiting", "pending", "not-started", "skipped"];
const STATES = ["probation", "cooling", "spent", "suspect", "retired", "disabled"];
const LIMITERS = ["credentials", "provider", "room"];
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

// ---- what there is

const until = Math.max(run.until, 1);
const attempts = run.attempts.map(([item, attempt, slot, start, duration, outcome, exit, key, log]) => {
  const [id, title, state, reason] = run.items[item];
  const end = start + (duration ?? Math.max(until - start, 0));
  const isLive = outcome === "running";
  return { id, title, attempt, slot, start, end, duration: duration ?? (isLive ? end - start : null), outcome,
    why: (isLive ? reason : exit) ?? "", key: key === null ? "" : run.keys[key], log };
});
const tried = new Set(run.attempts.map(([item]) => item));
const untried = run.items.map(([id, title, state, reason], place) => tried.has(place) ? null
  : { id, title, attempt: null, slot: null, start: null, end: null, duration: null, outcome: state,
      why: reason ?? "", key: "", log: null }).filter(row => row);
const rows = attempts.concat(untried);
const inTime = attempts.slice().sort((a, b) => a.start - b.start);

function grouped(list, by) {
  const groups = new Map();
  for (const one of list) {
    const name = by(one);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(one);
  }
  return groups;
}

function elapsed(ms) {
  if (ms === null) return "";
  if (ms < SECOND) return Math.round(ms) + "ms";
  if (ms < 10 * SECOND) return (ms / SECOND).toFixed(1) + "s";
  const two = n => String(n).padStart(2, "0");
  const s = Math.round(ms / SECOND), m = Math.floor(s / 60), h = Math.floor(m / 60);
  if (s < 60) return s + "s";
  if (m < 60) return m + "m" + two(s % 60) + "s";
  return h + "h" + two(m % 60) + "m";
}

const clock = ms => new Date(run.started + ms).toLocaleTimeString();
const words = name => name.replaceAll("-", " ");

// ---- drawing

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const swatch = kind => element("span", { className: "swatch " + kind, ariaHidden: "true" });
const legend = (id, kinds) => byId(id).replaceChildren(
  ...kinds.map(([kind, label]) => element("span", {}, swatch(kind), label)));

let shown = [0, until];
const xOf = (ms, width) => LABEL_PX + (ms - shown[0]) / (shown[1] - shown[0]) * (width - LABEL_PX);
const timeOf = (x, width) => shown[0] + (x - LABEL_PX) / (width - LABEL_PX) * (shown[1] - shown[0]);

/** One path for all bars of a kind, however many: bars that fall into a pixel that is drawn already are left out. */
class Bars {
  constructor(width) { this.width = width; this.paths = new Map(); this.drawn = new Map(); }
  add(kind, start, end, y, height) {
    if (end < shown[0] || start > shown[1]) return;
    const left = Math.max(xOf(start, this.width), LABEL_PX);
    let right = Math.min(Math.max(xOf(end, this.width), left + 1), this.width);
    const lane = kind + y;
    if (right <= (this.drawn.get(lane) ?? -1)) return;
    this.drawn.set(lane, right);
    if (right - left > 4) right -= 1;
    const bar = `M${left.toFixed(1)} ${y}h${(right - left).toFixed(1)}v${height}h${(left - right).toFixed(1)}z`;
    this.paths.set(kind, (this.paths.get(kind) ?? "") + bar);
  }
  /** What is done lies below, so that a failure shows however short it was. */
  elements() {
    const kinds = [...this.paths].sort(([a], [b]) => (b === "done") - (a === "done"));
    return kinds.map(([kind, d]) => svg("path", { class: kind, d }));
  }
}

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30].map(n => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map(n => n * MINUTE), [1, 2, 3, 6, 12].map(n => n * HOUR), [1, 2, 7, 30].map(n => n * DAY));

function axis(width, height) {
  const room = Math.max((width - LABEL_PX) / 90, 1);
  const step = STEPS.find(step => (shown[1] - shown[0]) / step <= room) ?? 365 * DAY;
  const lines = [], labels = [];
  for (let ms = Math.ceil(shown[0] / step) * step; ms <= shown[1]; ms += step) {
    const x = xOf(ms, width).toFixed(1);
    lines.push(`M${x} 0V${height - AXIS_PX}`);
    const anchor = x > width - 40 ? "end" : "middle";
    labels.push(svg("text", { class: "tick", x, y: height - 5, "text-anchor": anchor }, ms ? elapsed(ms) : "0"));
  }
  return [svg("path", { class: "grid", d: lines.join("") }), ...labels];
}

function chart(id, heightInside, description, draw) {
  const place = byId(id);
  const width = Math.max(place.clientWidth, 300);
  const height = heightInside + AXIS_PX;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": description },
    ...axis(width, height), ...draw(width));
  place.replaceChildren(picture);
}

const label = (text, y) => {
  const short = text.length > 18 ? text.slice(0, 17) + "…" : text;
  return svg("text", { x: 6, y }, svg("title", {}, text), short);
};

// ---- the three pictures

const lanes = [...grouped(inTime, it => it.slot)].sort(([a], [b]) => (a ?? Infinity) - (b ?? Infinity));
const laneHeight = Math.min(Math.max(Math.floor(640 / Math.max(lanes.length, 1)), 3), 24);
const counts = grouped(attempts, it => it.outcome);
const presentOutcomes = OUTCOMES.filter(name => counts.has(name));
const summary = presentOutcomes.map(name => counts.get(name).length + " " + words(name)).join(", ");

function drawSlots(width) {
  const bars = new Bars(width), labels = [];
  lanes.forEach(([slot, own], lane) => {
    const y = lane * laneHeight;
    if (laneHeight >= 13 || lane % Math.ceil(13 / laneHeight) === 0) {
      labels.push(label(slot === null ? "slot unknown" : "slot " + slot, y + Math.min(laneHeight, 16)));
    }
    for (const it of own) bars.add(it.outcome, it.start, it.end, y + 1, Math.max(laneHeight - 2, 2));
  });
  return [...bars.elements(), ...labels];
}

const steps = inTime.flatMap(it => [[it.start, 1], [it.end, -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
let running = 0, peak = 0;
for (const step of steps) { running += step[1]; step.push(running); peak = Math.max(peak, running); }
const WIDTH_PX = 110;

/** How many ran in each pixel, on average. */
function averages(width) {
  const pixels = new Array(Math.max(Math.floor(width - LABEL_PX), 1)).fill(0);
  const perPixel = (shown[1] - shown[0]) / pixels.length;
  for (let n = 0; n < steps.length; n++) {
    const count = steps[n][2];
    const from = Math.max(steps[n][0], shown[0]), to = Math.min(steps[n + 1]?.[0] ?? from, shown[1]);
    if (to <= from || count === 0) continue;
    const first = (from - shown[0]) / perPixel, last = (to - shown[0]) / perPixel;
    for (let px = Math.floor(first); px < last && px < pixels.length; px++) {
      pixels[px] += count * (Math.min(last, px + 1) - Math.max(first, px));
    }
  }
  return pixels;
}

function drawWidth(width) {
  const most = Math.max(peak, run.parallel ?? 1, 1);
  const yOf = count => 6 + (WIDTH_PX - 6) * (1 - count / most);
  const points = averages(width).map((count, px) => `L${LABEL_PX + px} ${yOf(count).toFixed(1)}h1`);
  const parts = [svg("path", { class: "area", d: `M${LABEL_PX} ${yOf(0)}${points.join("")}V${yOf(0)}z` })];
  if (run.parallel) {
    parts.push(svg("path", { class: "asked", d: `M${LABEL_PX} ${yOf(run.parallel)}H${width}` }));
  }
  parts.push(label(String(most), yOf(most) + 8), label("0", yOf(0) - 1));
  const bars = new Bars(width);
  run.limits.forEach(([at, limiter], n) => {
    const kind = LIMITERS.includes(limiter) ? limiter : "other";
    if (limiter !== null) bars.add(kind, at, run.limits[n + 1]?.[0] ?? until, WIDTH_PX + 7, 10);
  });
  if (run.limits.length) parts.push(label("limited by", WIDTH_PX + 16));
  return [...parts, ...bars.elements()];
}

const leases = grouped(inTime, it => it.key);
const changes = grouped(run.states, change => change[1]);
const KEY_PX = 30;

function drawKeys(width) {
  const bars = new Bars(width), labels = [];
  run.keys.forEach((key, lane) => {
    const y = lane * KEY_PX;
    labels.push(label(key, y + 18));
    for (const it of leases.get(key) ?? []) bars.add("lease", it.start, it.end, y + 3, 14);
    (changes.get(lane) ?? []).forEach(([at, , state, ends], n, own) => {
      const end = own[n + 1]?.[0] ?? Math.min(ends ?? until, until);
      if (STATES.includes(state)) bars.add(state, at, end, y + 19, 7);
    });
  });
  return [...bars.elements(), ...labels];
}

function drawAll() {
  chart("slots", Math.max(lanes.length, 1) * laneHeight, `${attempts.length} attempts on ${lanes.length} worker slots: `
    + `${summary}. The table below has each of them.`, drawSlots);
  const asked = run.parallel ? `${run.parallel} were asked for` : "one after the other was asked for";
  chart("width", WIDTH_PX + (run.limits.length ? 21 : 4), `At most ${peak} ran at once; ${asked}.`, drawWidth);
  if (run.keys.length) {
    chart("keys", run.keys.length * KEY_PX, `Leases of ${run.keys.length} keys, and when each could not be used.`, drawKeys);
  }
  const whole = shown[0] === 0 && shown[1] === until;
  byId("span").textContent = `${elapsed(shown[0])} – ${elapsed(shown[1])} of ${elapsed(until)}`
    + ` (${clock(shown[0])} – ${clock(shown[1])})`;
  byId("whole").disabled = byId("out").disabled = byId("earlier").disabled = byId("later").disabled = whole;
}

// ---- which part is shown

function show(start, end) {
  const length = Math.min(Math.max(end - start, Math.min(20, until)), until);
  const from = Math.min(Math.max(start, 0), until - length);
  shown = [from, from + length];
  drawAll();
}
const zoom = factor => {
  const middle = (shown[0] + shown[1]) / 2, half = (shown[1] - shown[0]) / 2 * factor;
  show(middle - half, middle + half);
};
const move = part => show(shown[0] + part * (shown[1] - shown[0]), shown[1] + part * (shown[1] - shown[0]));
byId("in").onclick = () => zoom(0.5);
byId("out").onclick = () => zoom(2);
byId("earlier").onclick = () => move(-0.5);
byId("later").onclick = () => move(0.5);
byId("whole").onclick = () => show(0, until);

// ---- the pointer: what lies under it, a click finds it in the table, a drag zooms

function laneAt(id, y) {
  if (id === "slots") return lanes[Math.floor(y / laneHeight)]?.[1];
  if (id === "keys") return leases.get(run.keys[Math.floor(y / KEY_PX)]);
  return undefined;
}

function attemptAt(id, event) {
  const box = byId(id).getBoundingClientRect();
  const x = event.clientX - box.left, own = laneAt(id, event.clientY - box.top);
  if (!own || x < LABEL_PX) return undefined;
  const from = timeOf(x - 2, box.width), to = timeOf(x + 2, box.width), at = timeOf(x, box.width);
  const near = own.filter(it => it.start <= to && it.end >= from);
  return near.find(it => it.start <= at && it.end >= at) ?? near[0];
}

function tell(event, it) {
  const tip = byId("tip");
  tip.hidden = !it;
  if (!it) return;
  const lines = [`${it.id} attempt ${it.attempt}: ${words(it.outcome)}`, it.title, it.why,
    `${elapsed(it.duration ?? it.end - it.start)} from ${clock(it.start)}`, it.key && "key " + it.key];
  tip.textContent = lines.filter(line => line).join("\n");
  tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8) + "px";
}

for (const id of ["slots", "width", "keys"]) {
  const place = byId(id);
  let from = null, selection = null;
  const inside = event => Math.max(event.clientX - place.getBoundingClientRect().left, LABEL_PX);
  place.onpointerdown = event => {
    if (event.button !== 0) return;
    from = inside(event);
    place.setPointerCapture(event.pointerId);
  };
  place.onpointermove = event => {
    if (from === null) return tell(event, attemptAt(id, event));
    const x = Math.min(from, inside(event)), width = Math.abs(inside(event) - from);
    selection?.remove();
    selection = svg("rect", { class: "selection", x, y: 0, width, height: "100%" });
    place.firstChild.append(selection);
  };
  place.onpointerup = event => {
    if (from === null) return;
    const [a, b] = [from, inside(event)].sort((a, b) => a - b), width = place.clientWidth;
    selection?.remove();
    from = selection = null;
    const it = attemptAt(id, event);
    if (b - a > 5) show(timeOf(a, width), timeOf(b, width));
    else if (it) find(it.id);
  };
  place.onpointercancel = () => { selection?.remove(); from = selection = null; };
  place.onpointerleave = () => tell(null, null);
}

// ---- the table

const COLUMNS = [
  ["id", "Item"], ["title", "Title"], ["attempt", "Attempt"], ["slot", "Slot"], ["outcome", "Outcome"],
  ["why", "Why"], ["start", "Began"], ["duration", "Took"], ["key", "Key"], ["log", "Log"],
];
const NUMBERS = ["attempt", "slot", "start", "duration"];
const LONG = ["id", "title", "why"];
const collator = new Intl.Collator("en", { numeric: true });
let sortedBy = null, direction = 1, page = 0, found = rows;

function cell(row, name) {
  const value = row[name];
  const made = element("td", { className: NUMBERS.includes(name) ? "number" : LONG.includes(name) ? "text" : "" });
  if (value === null || value === "") return made;
  switch (name) {
    case "start": made.append(element("time", { dateTime: new Date(run.started + value).toISOString(),
      title: elapsed(value) + " after the run began" }, clock(value))); break;
    case "duration": made.append(elapsed(value)); break;
    case "outcome": made.append(swatch(value), words(value)); break;
    case "log": made.append(element("a", { href: run.logs + "/" + value }, "log")); break;
    default: made.append(String(value));
  }
  return made;
}

function compare(a, b) {
  const [x, y] = [a[sortedBy], b[sortedBy]];
  if (x === y) return 0;
  // What is not there stands last, whichever way.
  if (x === null || x === "") return 1;
  if (y === null || y === "") return -1;
  return direction * (typeof x === "number" ? x - y : collator.compare(x, y));
}

function choose() {
  const text = byId("words").value.trim().toLowerCase(), outcome = byId("outcome").value, key = byId("key").value;
  found = rows.filter(row => (!outcome || row.outcome === outcome) && (!key || row.key === key)
    && (!text || [row.id, row.title, row.why].some(it => it.toLowerCase().includes(text))));
  if (sortedBy) found.sort(compare);
  page = 0;
  fillTable();
}

function fillTable() {
  const first = page * ROWS_A_PAGE, some = found.slice(first, first + ROWS_A_PAGE);
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...some.map(row => element("tr", {}, ...COLUMNS.map(([name]) => cell(row, name)))));
  byId("found").textContent = found.length === 0 ? `none of ${rows.length} rows`
    : `rows ${first + 1}–${first + some.length} of ${found.length}`
      + (found.length < rows.length ? ` (${rows.length} in all)` : "");
  byId("previous").disabled = page === 0;
  byId("next").disabled = first + ROWS_A_PAGE >= found.length;
}

function find(id) {
  byId("filter").reset();
  byId("words").value = id;
  choose();
  byId("table").scrollIntoView({ block: "nearest" });
}

function sortBy(name) {
  direction = sortedBy === name ? -direction : 1;
  sortedBy = name;
  for (const head of document.querySelectorAll("#table th")) {
    head.ariaSort = head.dataset.name === name ? (direction > 0 ? "ascending" : "descending") : "none";
  }
  choose();
}

for (const [name, title] of COLUMNS) {
  const button = element("button", { type: "button", onclick: () => sortBy(name) }, title);
  const head = element("th", { scope: "col", ariaSort: "none" }, button);
  head.dataset.name = name;
  document.querySelector("#table thead tr").append(head);
}
const present = new Set(rows.map(row => row.outcome));
for (const name of OUTCOMES.filter(name => present.has(name))) {
  byId("outcome").append(new Option(words(name), name));
}
for (const key of run.keys) byId("key").append(new Option(key, key));
byId("filter").onsubmit = event => event.preventDefault();
byId("filter").oninput = choose;
// The fields are empty only after this event.
byId("filter").onreset = () => setTimeout(choose);
byId("previous").onclick = () => { page--; fillTable(); };
byId("next").onclick = () => { page++; fillTable(); };

// ---- all of it

if (run.live) byId("moment").textContent = `Seen ${elapsed(until)} after it began; it was still running.`;
legend("slots-legend", presentOutcomes.map(name => [name, `${counts.get(name).length} ${words(name)}`]));
const limiters = LIMITERS.filter(name => run.limits.some(limit => limit[1] === name));
legend("width-legend", [["running", "at once, on average"],
  ...(run.parallel ? [["asked", "asked for"]] : []), ...limiters.map(name => [name, "limited by " + name])]);
const states = STATES.filter(name => run.states.some(change => change[2] === name));
legend("keys-legend", [["lease", "leased"], ...states.map(name => [name, name])]);
byId("keys-section").hidden = run.keys.length === 0;
byId("pictures").hidden = attempts.length === 0;
choose();
if (attempts.length) {
  let drawnWidth = 0;
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width !== drawnWidth) {
      drawnWidth = entry.contentRect.width;
      drawAll();
    }
  }).observe(byId("slots"));
}
})();
