"use strict";
// Draws the page from its data (see page.py). Sizes: L layers, H heads, T tokens, K runners-up.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const L = data.layers, H = data.heads, T = data.text.length, blind = Math.log(data.vocabulary);
const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";
const at = {layer: 0, head: 0, query: 0, key: 0, depth: L};  // what is chosen
let arrays;  // what is unpacked

const TYPES = {s1: Uint8Array, s2: Uint16Array, u4: Uint32Array, f4: Float32Array};
async function unpack({kind, data}) {
  const text = atob(data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);  // far faster than a map
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new TYPES[kind](await new Response(stream).arrayBuffer());
}

// Numbers and labels
const probability = p => p >= 0.0995 ? p.toFixed(2) : p >= 0.00095 ? p.toFixed(3)
  : p > 0 ? p.toExponential(0).replace("e-", "e\u2212") : "0";
const number = x => !Number.isFinite(x) ? String(x) : x === 0 ? "0"
  : Math.abs(x) >= 0.001 && Math.abs(x) < 1e4 ? String(+x.toPrecision(3))
  : x.toExponential(1).replace("e-", "e\u2212").replace("e+", "e");
const spelled = place => data.labels[place];  // of a place in the list of labels
const shown = place => spelled(place).replaceAll(" ", "␣") || "∅";
const brief = text => [...text].length > 32 ? `${[...text].slice(0, 31).join("")}…` : text;
const token = t => t < T ? brief(shown(data.text[t])) : "…";
const weight = (query, key, layer = at.layer, head = at.head) => key > query ? 0
  : (arrays.attention[layer][head * T * (T + 1) / 2 + query * (query + 1) / 2 + key] / 255) ** 2;
const surprise = (t, l = L) => -arrays.log_p[l * (T - 1) + t - 1];  // of token t behind layer l
const guesses = (l, t) => Array.from({length: K()}, (_, k) => {
  const i = (l * T + t) * K() + k;
  return {place: arrays.lens[i], p: (arrays.lens_p[i] / 65535) ** 2};
});
const K = () => arrays.lens.length / (L + 1) / T;

// Colours
const ramps = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const rgb = name => {
    const hex = style.getPropertyValue(name).trim();
    return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  };
  for (const name of ["heat", "cool", "warm"]) {
    const stops = [0, 1, 2, 3, 4].map(i => rgb(`--${name}-${i}`));
    ramps[name] = Array.from({length: 256}, (_, i) => {
      const x = i / 255 * 4, k = Math.min(3, Math.floor(x));
      return stops[k].map((c, j) => Math.round(c + (stops[k + 1][j] - c) * (x - k)));
    });
  }
  for (const name of ["ink", "paper", "soft", "line", "panel", "accent", "second", "third"])
    ramps[name] = style.getPropertyValue(`--${name}`).trim();
}
const colour = (ramp, x) => {
  const [r, g, b] = ramps[ramp][Math.round(255 * Math.min(1, Math.max(0, x || 0)))];
  return `rgb(${r} ${g} ${b})`;
};

// Elements and canvases
function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
function drawn(tag, attributes, text) {
  const made = document.createElementNS($("empty").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}
function picture(columns, rows, value, ramp, blank = () => false) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  for (let y = 0, i = 0; y < rows; y++) for (let x = 0; x < columns; x++, i += 4) {
    if (blank(y, x)) continue;
    const [r, g, b] = ramps[ramp][Math.round(255 * Math.min(1, Math.max(0, value(y, x) || 0)))];
    image.data.set([r, g, b, 255], i);
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}
const cuts = new Map();
function cut(pen, text, width) {
  const key = `${pen.font}|${width}|${text}`;
  if (!cuts.has(key)) {
    let letters = [...text], kept = text;
    while (letters.length > 1 && pen.measureText(kept).width > width) {
      letters.pop();
      kept = letters.join("") + "…";
    }
    cuts.set(key, kept);
  }
  return cuts.get(key);
}
function bars(list, real) {
  const box = element("div", "", "bars");
  const most = Math.max(...list.map(({p}) => p));
  for (const {place, p, note} of list) {
    const kind = place === real ? "real" : "", bar = element("i", "", kind), cell = element("div");
    bar.style.width = `${100 * p / (most || 1)}%`;
    cell.append(bar);
    box.append(element("code", shown(place), kind), cell,
               element("span", probability(p) + (note || ""), kind));
  }
  return box;
}
function tip(event, ...parts) {
  const box = $("tip");
  box.replaceChildren(...parts);
  box.hidden = false;
  const {width, height} = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(event.clientX + 16, innerWidth - width - 8))}px`;
  box.style.top = `${event.clientY + 18 + height < innerHeight ? event.clientY + 18
    : Math.max(4, event.clientY - height - 14)}px`;
}
const hideTip = () => { $("tip").hidden = true; };
const bold = text => element("b", text);
function moves(canvas, step) {  // arrow keys, with Home and End for a row's ends
  const ways = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
                Home: [0, -1e9], End: [0, 1e9]};
  canvas.addEventListener("keydown", event => {
    if (!ways[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(...ways[event.key]);
  });
}
const within = (x, low, high) => Math.min(high, Math.max(low, x));

// The figures and the text
function drawFigures() {
  const all = Array.from({length: T - 1}, (_, i) => surprise(i + 1));
  const loss = all.reduce((a, b) => a + b, 0) / all.length;
  const first = data.ranks.filter(rank => rank === 0).length;
  const figures = [["tokens", T]];
  if (T > 1) figures.push(["mean loss, nats a token", loss.toFixed(3)],
                          ["perplexity", number(Math.exp(loss))],
                          ["likeliest token was right", `${first} of ${T - 1}`]);
  $("figures").replaceChildren(...figures.map(([name, value]) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", value));
    return box;
  }));
  $("blind").textContent = `${blind.toFixed(2)} or more: a blind guess among ${
    data.vocabulary.toLocaleString("en")}`;
}
function spans(box, count, choice) {
  box.replaceChildren();
  for (let t = 0; t < count; t++) {
    const text = t < T ? spelled(data.text[t]) : "what comes next?";
    const made = element("span", text || "∅", t === T ? "next" : t === 0 && choice ? "first" : "");
    made.dataset.t = t;
    if (choice) {
      made.setAttribute("role", "option");
      made.setAttribute("aria-label", `${t}: ${text}`);
    }
    box.append(made);
    if (text.endsWith("⏎")) box.append(element("br"));
  }
}
function drawText() {
  for (const made of $("text").querySelectorAll("span")) {
    const t = +made.dataset.t, chosen = t === at.query;
    made.setAttribute("aria-selected", chosen);
    made.tabIndex = chosen ? 0 : -1;
    made.style.background = t > 0 && t < T ? colour("warm", surprise(t) / blind) : "";
  }
  bringIn($("text"), $("text").querySelector("[aria-selected=true]"));
  drawCard();
}
function drawCard() {
  const t = at.query, card = $("card");
  card.replaceChildren(element("h3", t < T ? shown(data.text[t]) : "…"));
  if (t === 0) {
    card.append(element("p", `token 0 of ${T}, which nothing was read before`));
    return;
  }
  const list = guesses(L, t - 1);
  if (t < T) {
    const p = Math.exp(-surprise(t)), real = data.text[t], rank = data.ranks[t - 1];
    card.append(element("p", `token ${t} of ${T}: p = ${probability(p)}, ${surprise(t).toFixed(2)} nats; ${
      rank ? `${rank.toLocaleString("en")} tokens were likelier` : "no token was likelier"}`));
    if (rank >= list.length) list.push({place: real, p, note: `  #${rank + 1}`});
    card.append(bars(list, real));
  } else card.append(element("p", "behind the text"), bars(list));
}
const query = () => Math.min(at.query, T - 1);
function strongest(t) {
  let best = 0;
  for (let key = 1; key <= t; key++) if (weight(t, key) > weight(t, best)) best = key;
  return best;
}
function choose(t, {key, focus} = {}) {
  at.query = within(t, 0, T);
  at.key = key ?? strongest(query());
  drawText();
  drawMap();
  drawLooked();
  reveal(query());
  drawLens();
  drawField();
  if (focus) $("text").querySelector("[aria-selected=true]").focus({preventScroll: true});
}
function bringIn(box, made) {  // the box alone, not the page
  const top = made.offsetTop - box.offsetTop, line = 40;
  if (top < box.scrollTop + line) box.scrollTop = top - line;
  else if (top > box.scrollTop + box.clientHeight - 2 * line) box.scrollTop = top - box.clientHeight + 2 * line;
}

// Attention
let grid;
function drawHeads() {
  const canvas = $("heads"), room = canvas.parentElement.parentElement.clientWidth;
  const narrow = getComputedStyle(canvas.parentElement.parentElement).gridTemplateColumns.split(" ").length < 2;
  const most = narrow ? room : Math.min(room * 0.4, 420), gutter = 26;
  const cell = within(Math.floor(Math.min((most - gutter) / H, 720 / L)), 9, L * H === 1 ? 120 : 96);
  const gap = cell > 30 ? 6 : cell > 15 ? 3 : 1, side = cell - gap, ratio = window.devicePixelRatio || 1;
  grid = {cell, gutter};
  const pen = sized(canvas, gutter + H * cell, gutter + L * cell), dots = Math.min(T, Math.round(side * ratio));
  pen.imageSmoothingEnabled = false;
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = ramps.soft;
  pen.textAlign = "center";
  const every = Math.ceil(15 / cell);
  for (let h = 0; h < H; h += every) pen.fillText(h, gutter + h * cell + side / 2, gutter - 8);
  for (let l = 0; l < L; l += every) pen.fillText(l, gutter / 2 - 2, gutter + l * cell + side / 2 + 4);
  for (let l = 0; l < L; l++) for (let h = 0; h < H; h++) {
    const x = gutter + h * cell, y = gutter + l * cell;
    pen.drawImage(thumbnail(l, h, dots), x, y, side, side);
    pen.strokeStyle = ramps.line;
    pen.lineWidth = 1;
    pen.strokeRect(x + .5, y + .5, side - 1, side - 1);
    if (l === at.layer && h === at.head) {
      pen.strokeStyle = ramps.second;
      pen.lineWidth = 2;
      pen.strokeRect(x - 1, y - 1, side + 2, side + 2);
    }
  }
}
const thumbnails = new Map();
function thumbnail(layer, head, dots) {  // the largest weight under each dot, so that none is lost
  const key = `${layer}.${head}.${dots}.${ramps.paper}`;
  if (!thumbnails.has(key)) {
    const largest = new Uint8Array(dots * dots), from = arrays.attention[layer];
    for (let q = 0, i = head * T * (T + 1) / 2; q < T; q++) {
      const row = Math.floor(q * dots / T) * dots;
      for (let k = 0; k <= q; k++, i++) {
        const dot = row + Math.floor(k * dots / T);
        if (from[i] > largest[dot]) largest[dot] = from[i];
      }
    }
    thumbnails.set(key, picture(dots, dots, (y, x) => largest[y * dots + x] / 255, "heat"));
  }
  return thumbnails.get(key);
}
function chooseHead(layer, head) {
  at.layer = within(layer, 0, L - 1);
  at.head = within(head, 0, H - 1);
  at.key = strongest(query());
  drawHeads();
  drawMap();
  drawLooked();
}
let plot, drawnMap = {};
function mapPicture() {
  const key = `${at.layer}.${at.head}.${ramps.paper}`;
  if (drawnMap.key !== key)
    drawnMap = {key, image: picture(T, T, (q, k) => Math.sqrt(weight(q, k)), "heat", (q, k) => k > q)};
  return drawnMap.image;
}
function drawMap(query_ = query(), key = at.key) {
  const canvas = $("map"), room = canvas.parentElement.clientWidth;
  const gutter = Math.min(92, Math.max(44, 18 + 7.2 * Math.max(...data.text.map(p => shown(p).length))));
  const cell = Math.min((Math.min(room, 740) - gutter) / T, T > 1 ? 44 : 120), size = cell * T;
  plot = {gutter, cell};
  const pen = sized(canvas, Math.ceil(gutter + size + 1), Math.ceil(gutter + size + 1));
  $("which").textContent = `Layer ${at.layer}, head ${at.head}`;
  pen.imageSmoothingEnabled = cell < 1;
  pen.drawImage(mapPicture(), gutter, gutter, size, size);
  if (cell >= 9) {
    pen.strokeStyle = ramps.paper;
    pen.beginPath();
    for (let i = 0; i <= T; i++) {
      pen.moveTo(gutter + i * cell, gutter + Math.max(0, i - 1) * cell);
      pen.lineTo(gutter + i * cell, gutter + size);
      pen.moveTo(gutter, gutter + i * cell);
      pen.lineTo(gutter + Math.min(T, i + 1) * cell, gutter + i * cell);
    }
    pen.stroke();
  }
  pen.strokeStyle = ramps.second;
  pen.lineWidth = 1.5;
  pen.strokeRect(gutter, gutter + query_ * cell, (query_ + 1) * cell, cell);
  pen.strokeRect(gutter + key * cell, gutter + key * cell, cell, (T - key) * cell);
  const every = Math.ceil(13 / cell), near = (t, chosen) => t !== chosen && Math.abs(t - chosen) * cell < 13;
  for (let t = 0; t < T; t++) {
    const label = (chosen, turn) => {
      if (t !== chosen && (t % every || near(t, chosen))) return;
      pen.save();
      pen.font = `${t === chosen ? "700 " : ""}12px ${MONO}`;
      pen.fillStyle = t === chosen ? ramps.second : ramps.soft;
      const middle = gutter + (t + .5) * cell;
      if (turn) { pen.translate(middle + 4, gutter - 6); pen.rotate(-Math.PI / 2); }
      else { pen.translate(gutter - 6, middle + 4); pen.textAlign = "right"; }
      pen.fillText(cut(pen, token(t), gutter - 10), 0, 0);
      pen.restore();
    };
    label(query_, false);
    label(key, true);
  }
  $("pair").replaceChildren(bold(token(query_)), ` (${query_}) looks at `, bold(token(key)),
    ` (${key}) with weight `, bold(probability(weight(query_, key))));
}
function drawLooked(t = query()) {
  const to = document.querySelector("[name=way]:checked").value === "to";
  for (const made of document.querySelectorAll(".chosen")) made.textContent = token(t);
  for (const made of $("looked").querySelectorAll("span")) {
    const other = +made.dataset.t, p = to ? weight(other, t) : weight(t, other);
    const strong = Math.sqrt(p);
    made.style.background = p ? colour("heat", strong) : "";
    made.style.color = strong > .62 ? ramps.paper : (to ? other < t : other > t) ? ramps.soft : "";
    made.className = other === t ? "at" : "";
    made.title = `${other}: ${probability(p)}`;
  }
}

// The logit lens
let lattice;
function layOutLens() {
  const room = $("scroller").clientWidth, gutter = 84, width = within((room - gutter) / T, 70, 132);
  lattice = {room, gutter, width, height: 26, head: 30};
  $("spacer").style.width = `${gutter + T * width}px`;
}
function drawLens() {
  const {room, gutter, width, height, head} = lattice;
  const canvas = $("lens"), left = $("scroller").scrollLeft, rows = L + 1;
  const pen = sized(canvas, room, 2 * head + rows * height);
  const from = Math.max(0, Math.floor(left / width)), to = Math.min(T, Math.ceil((left + room - gutter) / width));
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, room, canvas.height);
  pen.clip();
  for (let t = from; t < to; t++) {
    const x = gutter + t * width - left, real = t + 1 < T ? data.text[t + 1] : -1;
    const put = (text, y, fill, font) => {
      pen.font = `${font}12.5px ${MONO}`;
      pen.fillStyle = fill;
      pen.fillText(cut(pen, text, width - 12), x + 6, y);
    };
    put(token(t), head - 10, t === query() ? ramps.second : ramps.ink, "700 ");
    for (let l = 0; l <= L; l++) {
      const [{place, p}] = guesses(l, t), y = head + l * height, hit = place === real;
      pen.fillStyle = colour("cool", p);
      pen.fillRect(x + 1, y + 1, width - 2, height - 2);
      put(shown(place), y + height / 2 + 4.5, ramps.ink, hit ? "700 " : "");
      if (hit) {
        pen.strokeStyle = ramps.accent;
        pen.lineWidth = 1.5;
        pen.strokeRect(x + 2, y + 2, width - 4, height - 4);
      }
      if (l === at.depth && t === query()) {
        pen.strokeStyle = ramps.second;
        pen.lineWidth = 2;
        pen.strokeRect(x + 1, y + 1, width - 2, height - 2);
      }
    }
    put(real < 0 ? "?" : shown(real), head + rows * height + 19, ramps.soft, "700 ");
  }
  pen.restore();
  pen.fillStyle = ramps.soft;
  pen.font = "12px system-ui, sans-serif";
  pen.fillText("reads", 10, head - 10);
  for (let l = 0; l <= L; l++)
    pen.fillText(l === 0 ? "embedding" : l === L ? "the model" : `layer ${l - 1}`, 10, head + (l + .5) * height + 4);
  pen.fillText("follows", 10, head + rows * height + 19);
  const [{place, p}] = guesses(at.depth, query()), parts = [];
  if (query() + 1 < T) parts.push("; what follows, ", bold(token(query() + 1)), ", has ",
    bold(probability(Math.exp(-surprise(query() + 1, at.depth)))));
  $("guess").replaceChildren(at.depth === 0 ? "From the embedding" : `Behind layer ${at.depth - 1}`,
    ", after ", bold(token(query())), ", the likeliest is ", bold(brief(shown(place))), " with p = ",
    bold(probability(p)), ...parts);
}
function reveal(t) {
  const {room, gutter, width} = lattice, box = $("scroller");
  if (t * width < box.scrollLeft) box.scrollLeft = t * width;
  else if ((t + 1) * width > box.scrollLeft + room - gutter) box.scrollLeft = (t + 1) * width - room + gutter;
}
function lensCell(event) {
  const box = $("lens").getBoundingClientRect(), {gutter, width, height, head} = lattice;
  const x = event.clientX - box.left, l = Math.floor((event.clientY - box.top - head) / height);
  const t = Math.floor((x - gutter + $("scroller").scrollLeft) / width);
  return x < gutter || l < 0 || l > L || t < 0 || t >= T ? null : {l, t};
}

// Norms
const QUANTITIES = [["stream", "residual stream", "RMS"], ["attention_out", "what attention adds", "RMS"],
  ["mlp_out", "what feed-forward adds", "RMS"], ["stream_gradients", "gradient of the stream", "norm"]];
const rowsOf = name => name === "stream" || name === "stream_gradients" ? L + 1 : L;
const rowName = (name, l) => rowsOf(name) === L ? `layer ${l}` : l ? `behind layer ${l - 1}` : "embedding";
function byLayer(name) {  // the root mean square over positions
  const rows = rowsOf(name), columns = arrays[name].length / rows;
  return Array.from({length: columns ? rows : 0}, (_, l) => {
    const row = arrays[name].subarray(l * columns, (l + 1) * columns);
    return Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / columns);
  });
}
const NO_LOSS = "A single token has no next one, so there is no loss and no gradient.";
function ticks(low, high, log) {  // round numbers, from low to high
  const round = [1, 2, 5], found = [];
  if (log) {
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++)
      for (const digit of high / low > 1e3 ? [1] : round) found.push(digit * 10 ** k);
  } else {
    const rough = high / 4, ten = 10 ** Math.floor(Math.log10(rough));
    const step = ten * ([...round, 10].find(digit => digit * ten >= rough) || 10);
    for (let k = 0; k * step <= high; k++) found.push(k * step);
  }
  return found.filter(v => v >= (log ? low : 0) * 0.999 && v <= high * 1.001);
}
function chart(box, series) {
  const values = series.flatMap(s => s.values).filter(x => Number.isFinite(x) && x > 0);
  box.replaceChildren();
  if (!values.length) return box.append(element("p", T > 1 ? "All are 0." : NO_LOSS, "note"));
  const W = Math.max(280, box.clientWidth), top = 12, bottom = 190, left = 52, right = W - 12;
  const svg = drawn("svg", {viewBox: `0 0 ${W} 218`, role: "img"});
  const high = Math.max(...values), low = Math.min(...values), log = high / low > 20;
  const scale = v => log ? Math.log(Math.max(v, low)) : v, floor = log ? Math.log(low) : 0;
  const y = v => bottom - (bottom - top) * (scale(v) - floor) / (scale(high) - floor);
  const x = l => left + (right - left) * l / L, every = Math.ceil(L / 12);
  for (const v of ticks(low, high, log))
    svg.append(drawn("line", {class: "grid", x1: left, x2: right, y1: y(v), y2: y(v)}),
      drawn("text", {x: left - 8, y: y(v) + 4, "text-anchor": "end"}, number(+v.toPrecision(2))));
  for (let l = 0; l <= L; l += every)
    svg.append(drawn("text", {x: x(l), y: bottom + 22, "text-anchor": "middle"}, l ? l - 1 : "emb."));
  for (const {name, values, fill, start} of series) {
    const finite = values.map((v, l) => [v, l]).filter(([v]) => Number.isFinite(v));
    svg.append(drawn("polyline", {points: finite.map(([v, l]) => `${x(l + start)},${y(v)}`).join(" "),
      fill: "none", stroke: fill, "stroke-width": 2}));
    finite.forEach(([v, l]) => {
      const dot = drawn("circle", {cx: x(l + start), cy: y(v), r: L > 16 ? 3 : 4.5, fill});
      dot.append(drawn("title", {}, `${name}, ${l + start ? `layer ${l + start - 1}` : "embedding"}: ${number(v)}`));
      svg.append(dot);
    });
  }
  const legend = element("p", "", "legend");
  for (const {name, fill} of series) {
    const chip = element("i", "", "chip");
    chip.style.background = fill;
    legend.append(chip, element("span", name));
  }
  box.previousElementSibling.dataset.scale = log ? ", on a logarithmic scale" : "";
  box.append(svg, ...(series.length > 1 ? [legend] : []));
}
function drawCharts() {
  chart($("lines"), [
    {name: "residual stream", values: byLayer("stream"), fill: ramps.accent, start: 0},
    {name: "attention adds", values: byLayer("attention_out"), fill: ramps.second, start: 1},
    {name: "feed-forward adds", values: byLayer("mlp_out"), fill: ramps.third, start: 1}]);
  chart($("slopes"), [{name: "gradient of the stream", values: byLayer("stream_gradients"), fill: ramps.accent, start: 0}]);
}
let field;
function drawField(row = field ? field.row : 0) {
  const name = document.querySelector("[name=quantity]:checked").value, rows = rowsOf(name);
  const all = arrays[name], columns = all.length / rows, canvas = $("field");
  const room = canvas.parentElement.clientWidth, gutter = 84, height = within(Math.floor(300 / rows), 7, 24);
  const width = Math.min(40, (room - gutter) / Math.max(1, columns));
  const real = all.filter(x => Number.isFinite(x) && x > 0);
  const low = Math.log(real.reduce((a, b) => Math.min(a, b), Infinity)), high = Math.log(real.reduce((a, b) => Math.max(a, b), 0));
  field = {name, rows, columns, gutter, width, height, row: within(row, 0, rows - 1)};
  const pen = sized(canvas, gutter + Math.max(1, columns) * width + 2, rows * height + 2);
  if (!columns) { $("place").textContent = NO_LOSS; return; }
  pen.imageSmoothingEnabled = width < 1;
  pen.drawImage(picture(columns, rows, (l, t) => (Math.log(all[l * columns + t]) - low) / (high - low || 1), "heat"),
    gutter, 0, columns * width, rows * height);
  pen.fillStyle = ramps.soft;
  pen.font = "12px system-ui, sans-serif";
  for (let l = 0; l < rows; l += Math.ceil(14 / height))
    pen.fillText(rowsOf(name) === L ? `layer ${l}` : l ? `layer ${l - 1}` : "embedding", 0, (l + .5) * height + 4);
  const t = Math.min(query(), columns - 1);
  pen.strokeStyle = ramps.second;
  pen.lineWidth = 2;
  pen.strokeRect(gutter + t * width, field.row * height + 1, Math.max(2, width), height);
  $("place").replaceChildren(`${rowName(name, field.row)}, at `, bold(token(t)), ` (${t}): `,
    bold(number(all[field.row * columns + t])),
    real.length ? `. On a logarithmic scale from ${number(Math.exp(low))} to ${number(Math.exp(high))}.` : "");
}
function drawGradients() {
  const box = $("gradients"), sizes = [...arrays.gradients].filter(x => x > 0 && Number.isFinite(x));
  const low = Math.log(Math.min(...sizes)), high = Math.log(Math.max(...sizes));
  const row = cells => { const made = element("tr"); made.append(...cells); return made; };
  const head = (text, scope) => { const made = element("th", text); made.scope = scope; return made; };
  const cell = norm => {
    const made = element("td", norm === undefined ? "" : number(norm));
    if (norm > 0) made.style.background = colour("cool", (Math.log(norm) - low) / (high - low || 1));
    return made;
  };
  const norms = new Map(data.groups.map((group, i) => [group.join(" "), arrays.gradients[i]]));
  const table = (names, layers) => {
    const made = element("table", "", layers.length > 12 ? "dense" : "");
    made.append(row([head("", "col"), ...names.map(name => head(name, "col"))]), ...layers.map(l => row(
      [head(l < 0 ? "elsewhere" : `layer ${l}`, "row"), ...names.map(name => cell(norms.get(`${l} ${name}`)))])));
    return made;
  };
  const names = inside => [...new Set(data.groups.filter(([l]) => l >= 0 === inside).map(([, name]) => name))];
  box.replaceChildren();
  if (!norms.size) return box.append(element("p", T > 1 ? "No parameter has one." : NO_LOSS, "note"));
  if (names(true).length) box.append(table(names(true), Array.from({length: L}, (_, l) => l)));
  if (names(false).length) box.append(table(names(false), [-1]));
}

// What the reader does
function listen() {
  const where = event => { const made = event.target.closest("[data-t]"); return made ? +made.dataset.t : null; };
  $("text").addEventListener("click", event => where(event) !== null && choose(where(event)));
  moves($("text"), (down, right) => choose(right < -1 ? 0 : right > 1 ? T : at.query + down + right, {focus: true}));
  const head = event => {
    const box = $("heads").getBoundingClientRect();
    const [l, h] = [event.clientY - box.top, event.clientX - box.left].map(x => Math.floor((x - grid.gutter) / grid.cell));
    return l >= 0 && l < L && h >= 0 && h < H ? [l, h] : null;
  };
  $("heads").addEventListener("pointermove", event => {
    const found = head(event);
    if (found) tip(event, bold(`layer ${found[0]}, head ${found[1]}`));
    else hideTip();
  });
  $("heads").addEventListener("pointerleave", hideTip);
  $("heads").addEventListener("click", event => head(event) && chooseHead(...head(event)));
  moves($("heads"), (down, right) => chooseHead(at.layer + down, at.head + right));
  const pair = event => {
    const box = $("map").getBoundingClientRect();
    const [q, k] = [event.clientY - box.top, event.clientX - box.left].map(x => Math.floor((x - plot.gutter) / plot.cell));
    return q >= 0 && q < T && k >= 0 && k <= q ? [q, k] : null;
  };
  $("map").addEventListener("pointermove", event => {
    const found = pair(event);
    if (!found) return $("map").dispatchEvent(new Event("pointerleave"));
    const [q, k] = found, line = element("p");
    drawMap(q, k);
    drawLooked(q);
    line.append(bold(token(q)), ` (${q}) → `, bold(token(k)), ` (${k})`);
    tip(event, line, bold(probability(weight(q, k))));
  });
  $("map").addEventListener("pointerleave", () => { hideTip(); drawMap(); drawLooked(); });
  $("map").addEventListener("click", event => {
    const found = pair(event);
    if (found) choose(found[0], {key: found[1]});
  });
  moves($("map"), (down, right) => {
    const t = within(query() + down, 0, T - 1);
    choose(t, {key: within(at.key + right, 0, t)});
  });
  for (const input of document.querySelectorAll("[name=way]")) input.addEventListener("change", () => drawLooked());
  $("scroller").addEventListener("scroll", drawLens);
  $("lens").addEventListener("pointermove", event => {
    const found = lensCell(event);
    if (!found) return hideTip();
    const {l, t} = found, line = element("p"), list = guesses(l, t), real = t + 1 < T ? data.text[t + 1] : undefined;
    line.append(l ? `behind layer ${l - 1}, after ` : "embedding of ", bold(token(t)), ` (${t})`);
    if (real !== undefined && !list.some(({place}) => place === real))
      list.push({place: real, p: Math.exp(-surprise(t + 1, l)), note: " follows"});
    tip(event, line, bars(list, real));
  });
  $("lens").addEventListener("pointerleave", hideTip);
  $("lens").addEventListener("click", event => {
    const found = lensCell(event);
    if (found) { at.depth = found.l; choose(found.t); }
  });
  moves($("lens"), (down, right) => {
    at.depth = within(at.depth + down, 0, L);
    choose(within(query() + right, 0, T - 1));
  });
  $("quantity").append(...QUANTITIES.map(([name, label], i) => {
    const made = element("label"), input = element("input");
    Object.assign(input, {type: "radio", name: "quantity", value: name, checked: i === 0});
    input.addEventListener("change", () => drawField());
    made.append(input, ` ${label}`);
    return made;
  }));
  const place = event => {
    const box = $("field").getBoundingClientRect();
    const l = Math.floor((event.clientY - box.top) / field.height), t = Math.floor((event.clientX - box.left - field.gutter) / field.width);
    return l >= 0 && l < field.rows && t >= 0 && t < field.columns ? [l, t] : null;
  };
  $("field").addEventListener("pointermove", event => {
    const found = place(event);
    if (!found) return hideTip();
    const [l, t] = found, line = element("p", `${rowName(field.name, l)}, at `);
    line.append(bold(token(t)), ` (${t})`);
    tip(event, line, bold(number(arrays[field.name][l * field.columns + t])));
  });
  $("field").addEventListener("pointerleave", hideTip);
  $("field").addEventListener("click", event => {
    const found = place(event);
    if (found) { field.row = found[0]; choose(found[1]); }
  });
  moves($("field"), (down, right) => { field.row += down; choose(within(query() + right, 0, T - 1)); });
}

function drawAll() {
  readColours();
  layOutLens();
  drawText();
  drawHeads();
  drawMap();
  drawLooked();
  drawLens();
  drawCharts();
  drawField();
  drawGradients();
}

async function begin() {
  const packed = {...data.fields};
  for (const name of ["lens", "lens_p", "log_p", "gradients"]) packed[name] = data[name];
  const unpacked = await Promise.all(Object.values(packed).map(unpack));
  arrays = Object.fromEntries(Object.keys(packed).map((name, i) => [name, unpacked[i]]));
  at.query = Math.min(Math.floor(T / 2), 20);
  at.layer = L - 1;
  spans($("text"), T + 1, true);
  spans($("looked"), T, false);
  readColours();
  drawFigures();
  drawText();
  arrays.attention = await Promise.all(data.attention.map(unpack));
  at.key = strongest(query());
  listen();
  drawAll();
  addEventListener("resize", () => requestAnimationFrame(drawAll));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.documentElement.dataset.ready = "yes";
}
begin();
