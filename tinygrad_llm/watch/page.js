"use strict";
// Draws the runs' records as they come from the server (see server.py, runs.py; metrics.py has
// their fields). What stands before "The page" needs no browser, and is tested without one.

// Numbers as they are shown
const number = x => x === null || x === undefined || !Number.isFinite(x) ? "–" : x === 0 ? "0"
  : Math.abs(x) >= 0.0001 && Math.abs(x) < 1e5 ? String(+x.toPrecision(4))
  : x.toExponential(2).replace(/\.?0+e/, "e").replace("e-", "e−").replace("e+", "e");
function scaled(x, base, units) {
  let k = 0;
  for (; Math.abs(x) >= base * 0.9995 && k < units.length - 1; k++) x /= base;
  return `${+x.toPrecision(3)}${units[k]}`;
}
const count = x => scaled(x, 1000, ["", "k", "M", "G", "T"]);
const bytes = x => scaled(x, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = x => String(x).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)} h`
    : `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// Scales and curves
function ticks(low, high, log, most) {  // round numbers from low to high, about `most` of them
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) return [low];
  const found = [];
  if (log && low > 0 && high / low > 3) {
    const decades = Math.log10(high / low), steps = decades < most / 3 ? [1, 2, 5] : [1];
    const every = Math.max(1, Math.ceil(decades / most));
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++)
      if (k % every === 0) for (const m of steps) found.push(+(m * 10 ** k).toPrecision(3));
  } else {
    const rough = (high - low) / most, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * size).find(s => s >= rough * 0.999);
    const first = Math.ceil(low / step), last = Math.floor(high / step);
    for (let i = 0; i <= last - first; i++) found.push(+((first + i) * step).toPrecision(12));
  }
  return found.filter(x => x >= low && x <= high);
}
function smoothed(values, weight) {  // an exponential average, corrected for its start as Adam's is
  let average = 0, share = 1;
  return values.map(value => {
    average = weight * average + (1 - weight) * value;
    share *= weight;
    return average / (1 - share);
  });
}
function thinned(points) {  // of each column of pixels the first, lowest, highest and last point
  const kept = [];
  for (let i = 0; i < points.length;) {
    let low = i, high = i, j = i;
    for (; j < points.length && Math.floor(points[j][0]) === Math.floor(points[i][0]); j++) {
      if (points[j][1] < points[low][1]) low = j;
      if (points[j][1] > points[high][1]) high = j;
    }
    for (const k of [...new Set([i, Math.min(low, high), Math.max(low, high), j - 1])]) kept.push(points[k]);
    i = j;
  }
  return kept;
}
function extremes(values, most) {  // the places of about `most` values: of each stretch the lowest and highest
  if (values.length <= most) return [...values.keys()];
  const kept = [], size = Math.ceil(2 * values.length / most);
  for (let from = 0; from < values.length; from += size) {
    let low = from, high = from;
    for (let i = from; i < Math.min(from + size, values.length); i++) {
      if (values[i] < values[low]) low = i;
      if (values[i] >= values[high]) high = i;
    }
    kept.push(Math.min(low, high), ...(low === high ? [] : [Math.max(low, high)]));
  }
  if (kept[kept.length - 1] !== values.length - 1) kept.push(values.length - 1);
  return kept;
}
function bounds(curves, log) {  // the range to draw; of a curve of many values, single ones far off are cut
  let low = Infinity, high = -Infinity;
  for (const values of curves) {
    const known = values.filter(y => Number.isFinite(y) && (!log || y > 0)).sort((a, b) => a - b);
    if (!known.length) continue;
    const cut = known.length > 200 ? Math.floor(known.length / 200) : 0;
    [low, high] = [Math.min(low, known[cut]), Math.max(high, known[known.length - 1 - cut])];
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  const flat = high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));  // but for rounding
  if (log) return flat ? [low / 2, high * 2] : [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
  const room = flat ? Math.abs(high) * 0.1 || 1 : (high - low) * 0.05;
  return [low < 0 ? low - room : Math.max(0, low - room), high + room];
}
function nearest(xs, x) {  // the place of the value nearest to x in ascending ones
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return high >= 0 && Math.abs(xs[high] - x) < Math.abs(xs[low] - x) ? high : low;
}

function labelled(names) {  // what to call the runs of these folders: without what all begin with
  const parts = names.map(name => name.split(/[\\/]/));
  let same = 0;
  while (parts.length && parts.every(p => p.length > same + 1 && p[same] === parts[0][same])) same++;
  return Object.fromEntries(names.map((name, i) => [name, parts[i].slice(same).join("/")]));
}

// The records of a run
const FIELDS = ["loss", "val_loss", "val_loss_ema", "lr", "grad_norm", "tokens_per_s", "memory"];
const measures = field => field.startsWith("val_loss");
const real = x => typeof x === "number" && Number.isFinite(x);
const emptied = run => Object.assign(run, {looks: [], samples: [], events: [], step: 0, smooth: {},
  series: Object.fromEntries(FIELDS.map(f => [f, {step: [], tokens: [], seconds: [], y: [], batches: 0}]))});
function take(run, record) {
  run.step = record.step;
  for (const field of FIELDS) {
    if (!real(record[field])) continue;
    const to = run.series[field], last = to.step.length - 1;
    if (measures(field) && to.step[last] === record.step) {  // the one over more batches
      if (record.batches >= to.batches) [to.y[last], to.batches] = [record[field], record.batches];
      continue;
    }
    to.batches = record.batches;
    to.step.push(record.step);
    to.tokens.push(record.tokens ?? record.step * (run.tokens || 0));
    to.seconds.push(record.seconds ?? NaN);
    to.y.push(record[field]);
  }
  if (record.update_ratio) run.looks.push(record);
  if (typeof record.sample === "string") run.samples.push(record);
  const what = record.fault ? `${record.fault} (${record.action})` : record.skipped
    ?? (record.end === "done" ? null : record.end);
  if (what) run.events.push({step: record.step, what: String(what)});
}
function secondsLeft(run) {  // by what the last steps took, with all that lay between them
  const {step, seconds} = run.series.loss, n = step.length, from = Math.max(0, n - 40);
  return n < 2 ? NaN : (run.steps - step[n - 1]) * (seconds[n - 1] - seconds[from]) / (step[n - 1] - step[from]);
}
function rowsOf(looks, quantity, part) {  // [name, values]: of every part, of whole layers, of a kind
  const names = Object.keys(looks[looks.length - 1][quantity]), layer = name => name.match(/^h\.(\d+)\.(.+)$/);
  const label = name => layer(name) ? `${layer(name)[1]} ${layer(name)[2]}` : name;
  if (part === "every part") return names.map(name => [label(name), looks.map(look => look[quantity][name])]);
  const wanted = new Map();
  for (const name of names) {
    const found = layer(name);
    const row = part === "whole layers" ? (found ? `layer ${found[1]}` : name)
      : found && found[2] === part ? `layer ${found[1]}` : null;
    if (row) wanted.set(row, [...(wanted.get(row) ?? []), name]);
  }
  return [...wanted].map(([row, parts]) => [row, looks.map(look => {
    const weight = name => look.weight_norm[name], value = name => look[quantity][name];
    if (quantity !== "update_ratio") return Math.hypot(...parts.map(value));
    return Math.hypot(...parts.map(name => value(name) * weight(name))) / Math.hypot(...parts.map(weight));
  })]);
}

// The page
const $ = id => document.getElementById(id), runs = new Map();
const view = {axis: "step", "log-y": false, "log-x": false, smooth: 60, theme: ""};
const CHARTS = [["Loss", "nats a token; thin: single batches, thick: smoothed, dots: validation (dotted: averaged weights)", ["loss", "val_loss", "val_loss_ema"], number],
  ["Learning rate", "", ["lr"], number], ["Gradient norm", "before clipping", ["grad_norm"], number],
  ["Speed", "tokens a second", ["tokens_per_s"], count], ["Memory", "resident", ["memory"], bytes]];
const NOISY = ["loss", "grad_norm", "tokens_per_s"];  // which are smoothed
const NAMES = {loss: "training", val_loss: "validation", val_loss_ema: "averaged weights"};  // of curves in one chart
const AXES = {step: x => Number.isInteger(x) ? x.toLocaleString("en") : number(x), tokens: count, seconds: duration};
const shown = () => [...runs.values()].filter(run => run.shown);
let hover = null, asked = false, colours = {};

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
function colour(name) {  // of a property of the style, as the theme has it
  if (!colours[name]) {
    const probe = document.body.appendChild(element("i"));
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
    probe.remove();
  }
  return colours[name];
}
function ramp(name, x) {
  const at = 4 * Math.min(1, Math.max(0, x)), k = Math.min(3, Math.floor(at));
  const [from, to] = [k, k + 1].map(i => colour(`${name}-${i}`).match(/\d+/g).map(Number));
  return `rgb(${from.map((c, i) => Math.round(c + (to[i] - c) * (at - k))).join(" ")})`;
}
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
  Object.assign(canvas.style, {width: `${width}px`, height: `${height}px`});
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "12px system-ui, sans-serif";
  return pen;
}
function tip(event, ...parts) {
  const box = $("tip");
  box.replaceChildren(...parts);
  box.hidden = false;
  const {width, height} = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, event.clientX + 18 + width < innerWidth ? event.clientX + 18 : event.clientX - width - 14)}px`;
  box.style.top = `${event.clientY + 18 + height < innerHeight ? event.clientY + 18 : Math.max(4, event.clientY - height - 14)}px`;
}
function line(run, text, value) {
  const made = element("p"), dot = element("i", "", "dot");
  dot.style.setProperty("--colour", `var(--run-${run.colour})`);
  made.append(dot, `${text} `, element("b", value));
  return made;
}

// Charts
function curves(fields) {  // what is to be drawn: xs, ys, and the smooth ys
  return shown().flatMap(run => fields.map(field => {
    const from = run.series[field], xs = from[view.axis], weight = NOISY.includes(field) ? view.smooth / 100 : 0;
    const key = `${view.axis} ${weight} ${from.y.length} ${from.y[from.y.length - 1]}`;
    if (run.smooth[field]?.key !== key) {
      const kept = extremes(from.y, 4000).filter(i => real(xs[i])), smooth = smoothed(from.y, weight), of = all => kept.map(i => all[i]);
      run.smooth[field] = {key, xs: of(xs), ys: of(from.y), smooth: of(smooth)};
    }
    return {run, field, weight, ...run.smooth[field]};
  })).filter(({xs}) => xs.length);
}
function drawChart(chart) {
  const {canvas, fields, format} = chart, lines = chart.lines = curves(fields), log = view["log-y"], across = view["log-x"];
  const width = canvas.parentElement.clientWidth, height = chart.wide ? Math.min(380, Math.max(240, width * 0.36)) : 200;
  const pen = sized(canvas, width, height), left = 62, right = width - 12, top = 8, bottom = height - 24;
  const xs = lines.flatMap(({xs}) => [xs.find(x => x > 0 || !across) ?? 1, xs[xs.length - 1]]);
  const [x0, x1] = xs.length ? [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1e-9)] : [0, 1];
  const [y0, y1] = bounds(lines.flatMap(({ys, smooth, weight}) => weight ? [ys, smooth] : [ys]), log);
  const scale = (from, to, low, high, log) => log ? v => from + (to - from) * Math.log(v / low) / Math.log(high / low)
    : v => from + (to - from) * (v - low) / (high - low);
  const X = scale(left, right, x0, x1, across && x0 > 0), Y = scale(bottom, top, y0, y1, log);
  Object.assign(chart, {X, left, right, x0, x1});
  canvas.setAttribute("aria-label", [`${chart.title}; arrow keys read it off`, ...lines.map(({run, field, ys}) =>
    `${run.label} ${NAMES[field] ?? ""} ${format(ys[ys.length - 1])}`)].join(", "));
  pen.fillStyle = colour("soft");
  pen.strokeStyle = colour("line");
  pen.textAlign = "right";
  const unit = format === bytes ? 2 ** 20 : 1;
  for (const y of ticks(y0 / unit, y1 / unit, log, height / 45).map(y => y * unit)) {
    pen.fillText(format(y), left - 8, Y(y) + 4);
    pen.beginPath(); pen.moveTo(left, Y(y)); pen.lineTo(right, Y(y)); pen.stroke();
  }
  pen.textAlign = "center";
  for (const x of ticks(x0, x1, across && x0 > 0, Math.max(2, width / 110)))
    pen.fillText(AXES[view.axis](x), Math.min(Math.max(X(x), left + 8), right - 14), height - 6);
  if (!lines.length) pen.fillText("nothing yet", (left + right) / 2, (top + bottom) / 2);
  pen.save();
  pen.beginPath(); pen.rect(left, 0, right - left + 8, bottom + 1); pen.clip();
  pen.lineJoin = "round";
  for (const {run, field, xs, ys, smooth, weight} of lines) {
    pen.strokeStyle = pen.fillStyle = colour(`run-${run.colour}`);
    const path = (values, alpha, thick) => {
      const points = values.map((y, i) => [X(xs[i]), Y(y)]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
      pen.globalAlpha = alpha;
      pen.lineWidth = thick;
      pen.beginPath();
      for (const [x, y] of thinned(points)) pen.lineTo(x, y);
      pen.stroke();
      return points;
    };
    pen.setLineDash({val_loss: [5, 4], val_loss_ema: [1.5, 3]}[field] ?? []);
    if (weight) path(ys, 0.3, 1);
    const points = path(smooth, 1, measures(field) ? 1.2 : 1.8);
    pen.setLineDash([]);
    for (const [x, y] of measures(field) || points.length === 1 ? points : []) {
      pen.beginPath(); pen.arc(x, y, points.length > 60 ? 2 : 3.5, 0, 7); pen.fill();
      pen.lineWidth = 1.5; pen.strokeStyle = colour("paper"); pen.stroke();
      pen.strokeStyle = colour(`run-${run.colour}`);
    }
  }
  pen.globalAlpha = 1;
  if (hover !== null && hover >= x0 && hover <= x1) {
    pen.strokeStyle = colour("soft");
    pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(X(hover), top); pen.lineTo(X(hover), bottom); pen.stroke();
  }
  pen.restore();
}
function point(chart, event) {  // what a chart has under the pointer
  const part = (event.offsetX - chart.left) / (chart.right - chart.left), {x0, x1} = chart;
  if (!chart.lines.length || part < -0.02 || part > 1.02) return leave();
  hover = view["log-x"] && x0 > 0 ? x0 * (x1 / x0) ** part : x0 + (x1 - x0) * part;
  hover = Math.min(x1, Math.max(x0, hover));
  ask();
  const many = shown().length > 1;
  tip(event, element("p", `${{step: "step ", tokens: "tokens ", seconds: "after "}[view.axis]}${AXES[view.axis](view.axis === "step" ? Math.round(hover) : hover)}`),
    ...chart.lines.map(({run, field, xs, ys, smooth, weight}) => {
      const i = nearest(xs, hover), {format} = chart;
      return line(run, [many || !NAMES[field] ? run.label : "", NAMES[field] ?? ""].join(" ").trim(),
        weight ? `${format(smooth[i])} (single ${format(ys[i])})` : format(ys[i]));
    }));
}
function arrow(chart, event) {  // the same by keys: a little to the side, with Shift far
  const way = {ArrowLeft: -1, ArrowRight: 1}[event.key], {canvas, X, left, right} = chart;
  if (!way) return event.key === "Escape" ? leave() : undefined;
  event.preventDefault();
  const x = Math.min(right, Math.max(left, (hover === null ? right : X(hover)) + way * (event.shiftKey ? 50 : 5)));
  const {left: from, top} = canvas.getBoundingClientRect();
  point(chart, {offsetX: x, clientX: from + x, clientY: top + 20});
}
function leave() {
  hover = null;
  $("tip").hidden = true;
  ask();
}

// Maps of layers
const QUANTITIES = {update_ratio: "update / weight", gradient_norm: "gradient norm", weight_norm: "weight norm"};
const ACTIVATIONS = {stream: "residual stream", attention: "what attention adds", mlp: "what feed-forward adds"};
function drawMap(canvas, legend, rows, looks, twin) {
  const width = canvas.parentElement.clientWidth, columns = Math.min(looks.length, Math.floor(width / 3));
  const height = Math.max(14, Math.min(26, 420 / rows.length)), gutter = Math.min(112, 22 + 7 * Math.max(...rows.map(([name]) => name.length)));
  const cell = Math.min(56, (width - gutter) / columns), pen = sized(canvas, width, rows.length * height + 22);
  const known = rows.flatMap(([, values]) => values).filter(v => v > 0);
  const low = twin ? 1e-5 : known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = twin ? 1e-1 : known.reduce((a, b) => Math.max(a, b), low * 1.0001);
  const place = c => Math.round(c * (looks.length - 1) / Math.max(1, columns - 1));
  rows.forEach(([name, values], r) => {
    pen.fillStyle = colour("soft");
    pen.textAlign = "right";
    pen.fillText(name, gutter - 7, (r + .5) * height + 4, gutter - 9);
    for (let c = 0; c < columns; c++) {
      const value = values[place(c)];
      if (!(value > 0)) continue;
      pen.fillStyle = ramp(twin ? "twin" : "heat", Math.log(value / low) / Math.log(high / low));
      pen.fillRect(gutter + c * cell, r * height, Math.ceil(cell) - (cell > 6 ? 1 : 0), height - 1);
    }
  });
  pen.fillStyle = colour("soft");
  pen.textAlign = "left";
  pen.fillText(`step ${looks[0].step}`, gutter, rows.length * height + 15);
  pen.textAlign = "right";
  if (cell * columns > 130) pen.fillText(String(looks[looks.length - 1].step), gutter + cell * columns, rows.length * height + 15);
  legend.replaceChildren(element("span", number(low)), element("i", "", `ramp ${twin ? "twin" : "heat"}`),
    element("span", number(high)), element("span", twin ? "about 0.001 in the middle" : "on a logarithmic scale"));
  canvas.onpointermove = event => {
    const c = Math.floor((event.offsetX - gutter) / cell), row = rows[Math.floor(event.offsetY / height)];
    if (!row || c < 0 || c >= columns) return leave();
    const text = element("p", `${row[0]}, step ${looks[place(c)].step}: `);
    text.append(element("b", number(row[1][place(c)])));
    tip(event, text);
  };
  canvas.onpointerleave = leave;
  canvas.setAttribute("aria-label", `Newest values: ${rows.map(([name, values]) => `${name} ${number(values[values.length - 1])}`).join(", ")}`);
}
function choices(select, options) {  // put the options in, where they have changed; keep the choice
  if ([...select.options].map(o => o.value).join("\n") !== options.map(([value]) => value).join("\n")) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => Object.assign(element("option", text ?? value), {value})));
    if (options.some(([value]) => value === before)) select.value = before;
  }
  return select.value;
}
function drawLayers() {
  const having = shown().filter(run => run.looks.length);
  $("layers").hidden = !having.length;
  if (!having.length) return;
  const chosen = choices($("inside"), having.map(run => [run.name, run.label]));
  $("inside").hidden = having.length < 2;
  const {looks} = runs.get(chosen), quantity = choices($("quantity"), Object.entries(QUANTITIES));
  const names = Object.keys(looks[looks.length - 1].update_ratio);
  const kinds = [...new Set(names.map(name => name.match(/^h\.\d+\.(.+)$/)?.[1]).filter(Boolean))];
  const whole = [["every part"], ["whole layers"]];
  const part = choices($("part"), [...(names.length > 60 ? whole.reverse() : whole), ...kinds.map(kind => [kind])]);
  drawMap($("norms"), $("norms-legend"), rowsOf(looks, quantity, part), looks, quantity === "update_ratio");
  const active = looks.filter(look => look.stream);
  $("activations").parentElement.hidden = !active.length;
  if (!active.length) return;
  const activation = choices($("activation"), Object.entries(ACTIVATIONS));
  drawMap($("activations"), $("activations-legend"), active[active.length - 1][activation].map((_, i) => [
    activation !== "stream" ? `layer ${i}` : i ? `behind ${i - 1}` : "embedding",
    active.map(look => look[activation][i])]), active, false);
}

// Texts
function drawCard(run) {
  if (!run.card) {
    const card = run.card = element("article", "", "run"), head = element("h3"), label = element("label");
    const box = Object.assign(element("input"), {type: "checkbox"});
    box.addEventListener("change", () => { run.shown = box.checked; ask(); });
    card.style.setProperty("--colour", `var(--run-${run.colour})`);
    label.append(box, element("span"));
    label.title = run.name;
    head.append(label, element("span", "", "badge"));
    const bar = element("div", "", "bar"), figures = element("dl");
    bar.append(element("i"));
    for (const name of ["loss", "validation", "gradient norm", "tokens / s", "memory", "left"]) {
      const pair = element("div");
      pair.append(element("dt", name), element("dd"));
      figures.append(pair);
    }
    card.append(head, bar, element("p"), figures, element("p", "", "why"));
    $("runs").append(card);
  }
  const {card, series, state, step, steps} = run, last = field => series[field].y[series[field].y.length - 1];
  card.className = run.shown ? "run" : "run off";
  card.querySelector("input").checked = run.shown;
  card.querySelector("label span").textContent = ` ${run.label}`;
  Object.assign(card.querySelector(".badge"), {className: `badge ${state}`, textContent: state});
  card.querySelector(".bar i").style.width = `${100 * Math.min(1, step / steps) || 0}%`;
  const tokens = series.loss.tokens[series.loss.tokens.length - 1], seconds = series.loss.seconds[series.loss.seconds.length - 1];
  card.querySelector("p").textContent = `step ${step.toLocaleString("en")} of ${(steps ?? 0).toLocaleString("en")}`
    + (tokens ? `, ${count(tokens)} tokens` : "") + (real(seconds) ? `, ${duration(seconds)}` : "");
  const left = secondsLeft(run), show = (value, format) => value === undefined ? "–" : format(value);
  const smooth = smoothed(series.loss.y.slice(-1000), view.smooth / 100);
  [show(smooth[smooth.length - 1], x => x.toFixed(3)), show(last("val_loss"), x => x.toFixed(3)), show(last("grad_norm"), x => number(+x.toPrecision(3))),
   show(last("tokens_per_s"), count), show(last("memory"), bytes), state === "running" && real(left) ? duration(left) : "–",
  ].forEach((text, i) => { card.querySelectorAll("dd")[i].textContent = text; });
  const why = card.querySelector(".why");
  why.hidden = state === "running" || state === "done";
  why.replaceChildren(`${(run.why || "No process is at work on it").replace(/\.$/, "")}.`);
  if (state === "stopped") why.append(" Go on with", element("code", run.go_on));
}
function drawSamples() {
  const having = shown().filter(run => run.samples.length);
  $("writing").hidden = !having.length;
  $("samples").replaceChildren(...having.map(run => {
    if (!run.sampleCard) {
      const box = run.sampleCard = element("article", "", "sample"), head = element("header");
      const slider = Object.assign(element("input"), {type: "range", min: 0});
      slider.setAttribute("aria-label", `Samples of ${run.name}`);
      slider.addEventListener("input", () => { run.sample = +slider.value === run.samples.length - 1 ? null : +slider.value; ask(); });
      box.style.setProperty("--colour", `var(--run-${run.colour})`);
      head.append(element("b"), element("span"), slider);
      box.append(head, element("pre"));
    }
    const box = run.sampleCard, newest = run.samples.length - 1, at = Math.min(run.sample ?? newest, newest);
    Object.assign(box.querySelector("input"), {max: newest, value: at, hidden: newest < 1});
    box.querySelector("b").textContent = run.label;
    box.querySelector("span").textContent = `after ${run.samples[at].step.toLocaleString("en")} steps`;
    if (box.querySelector("pre").textContent !== run.samples[at].sample) box.querySelector("pre").textContent = run.samples[at].sample;
    return box;
  }));
}
function drawLists() {
  const events = shown().flatMap(run => run.events.slice(-20).map(({step, what}) => [run, `${run.label}, step ${step.toLocaleString("en")}:`, what]));
  $("happened").hidden = !events.length;
  $("events").replaceChildren(...events.map(event => line(...event)));
  const some = shown().slice(0, 8), names = some.length < 2 ? [] : [...new Set(some.flatMap(run => Object.keys(run.settings)))].filter(
    name => some.every(run => name in run.settings) && new Set(some.map(run => String(run.settings[name]))).size > 1);
  $("differing").hidden = !names.length;
  const row = (tag, cells) => { const made = element("tr"); made.append(...cells.map((text, i) => element(i ? tag : "th", text))); return made; };
  $("settings").replaceChildren(row("th", ["", ...some.map(run => run.label)]),
    ...names.map(name => row("td", [name, ...some.map(run => String(run.settings[name]))])));
}

// All together
function draw() {
  asked = false;
  const labels = labelled([...runs.keys()]);
  for (const [name, run] of runs) run.label = labels[name];
  for (const run of runs.values()) drawCard(run);
  const all = [...runs.values()], first = all.find(run => run.state === "running") ?? all[0];
  $("title").textContent = all.length === 1 ? all[0].label : all.length ? `${all.length} runs` : "Waiting for the first run";
  $("charts").hidden = !all.length;
  if (first) document.title = `${number(+(first.series.loss.y.at(-1) ?? NaN).toPrecision(3))} – ${first.label}`;
  $("controls").querySelector("output").textContent = (view.smooth / 100).toFixed(2);
  CHARTS.forEach(drawChart);
  drawLayers();
  drawSamples();
  drawLists();
  document.documentElement.dataset.ready = all.some(run => run.step) ? "yes" : "";
}
function ask() {  // draw before the next frame, once
  if (!asked) requestAnimationFrame(draw);
  asked = true;
}
function heard(message) {
  if (message.runs) {
    const there = new Set(message.runs.map(({name}) => name));
    for (const [name, run] of runs) if (!there.has(name)) {
      run.card?.remove();
      runs.delete(name);
    }
    for (const facts of message.runs) {
      if (!runs.has(facts.name)) {
        const used = [...runs.values()].map(run => run.colour), free = [...Array(8).keys()].find(k => !used.includes(k));
        runs.set(facts.name, emptied({colour: free ?? runs.size % 8, shown: shown().length < 8}));
      }
      Object.assign(runs.get(facts.name), {why: "", go_on: ""}, facts);
    }
  } else {
    const run = runs.get(message.run);
    if (message.anew) emptied(run);
    for (const record of message.records) take(run, record);
  }
  ask();
}
function listen() {
  const source = new EventSource("events"), link = (kind, text) => Object.assign($("link"), {className: `badge ${kind}`, textContent: text});
  source.onopen = () => { link("live", "live"); for (const run of runs.values()) emptied(run); };  // all comes again
  source.onerror = () => link("lost", "the watcher has ended");
  source.onmessage = event => heard(JSON.parse(event.data));
}
function begin() {
  try { Object.assign(view, JSON.parse(localStorage.getItem("view") ?? "{}")); } catch { /* it is kept nowhere */ }
  for (const input of $("controls").elements) if (input.name in view) {
    if (input.type === "radio") input.checked = input.value === view[input.name];
    else if (input.type === "checkbox") input.checked = view[input.name];
    else input.value = view[input.name];
  }
  const turn = () => { document.documentElement.dataset.theme = view.theme; colours = {}; ask(); };
  $("controls").addEventListener("input", ({target}) => {
    view[target.name] = target.type === "checkbox" ? target.checked : target.type === "range" ? +target.value : target.value;
    try { localStorage.setItem("view", JSON.stringify(view)); } catch { /* nor here */ }
    turn();
  });
  CHARTS.forEach(([title, note, fields, format], i) => {
    const figure = element("figure"), caption = element("figcaption", title), canvas = element("canvas");
    if (note) caption.append(element("small", note));
    figure.append(caption, canvas);
    $("charts").append(figure);
    canvas.setAttribute("role", "img");
    canvas.tabIndex = 0;
    const chart = CHARTS[i] = {title, canvas, fields, format, wide: i === 0, lines: []};
    for (const kind of ["pointermove", "pointerdown"]) canvas.addEventListener(kind, event => point(chart, event));
    canvas.addEventListener("keydown", event => arrow(chart, event));
    for (const kind of ["pointerleave", "blur"]) canvas.addEventListener(kind, leave);
  });
  for (const id of ["inside", "quantity", "part", "activation"]) $(id).addEventListener("change", ask);
  addEventListener("resize", ask);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", turn);
  turn();
  listen();
}
if (typeof document === "undefined")
  module.exports = {number, count, bytes, duration, ticks, smoothed, thinned, extremes, bounds, nearest, emptied, take, secondsLeft, rowsOf, labelled};
else begin();
