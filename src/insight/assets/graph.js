// The zoomable graph. Ranks and orders come from C++ (insight/layout.cpp); places are found here, since they depend on which
// groups are open. Kinds of items as in insight/graph.cpp.
const NODE = 0, GROUP = 1, DUMMY = 2, ENTRY = 3, EXIT = 4;
const gap = 26, rankGap = 44, groupPad = 16, groupHead = 28, boxHeight = 42, maxBox = 210, minBox = 92;
const placeSweeps = 6, dummyWeight = 50;
const openBudget = 90;  // boxes that are shown at first

// The centres along a rank, as `place` in insight/layout.cpp finds them.
function placeItems(group, widths) {
  const above = group.above, below = group.below, x = new Float64Array(widths.length);
  for (const rank of group.ranks) {
    let left = 0;
    for (const item of rank) {
      x[item] = left + widths[item] / 2;
      left += widths[item] + gap;
    }
    for (const item of rank) x[item] -= (left - gap) / 2;
  }
  const settle = (rank, towards) => {
    const runs = [], offsets = new Float64Array(rank.length);
    for (let i = 0; i < rank.length; ++i) {
      const item = rank[i];
      if (i > 0) offsets[i] = offsets[i - 1] + (widths[rank[i - 1]] + widths[item]) / 2 + gap;
      let sum = 0, weights = 0;
      for (const other of towards[item]) {
        const weight = group.items[other][0] === DUMMY ? dummyWeight : 1;
        sum += weight * x[other];
        weights += weight;
      }
      const wanted = weights > 0 ? sum / weights : x[item];
      const weight = group.items[item][0] === DUMMY ? dummyWeight : 1;
      let run = { weight, sum: weight * (wanted - offsets[i]), first: i };
      while (runs.length && run.sum * runs[runs.length - 1].weight < runs[runs.length - 1].sum * run.weight) {
        const last = runs.pop();
        run = { weight: last.weight + run.weight, sum: last.sum + run.sum, first: last.first };
      }
      runs.push(run);
    }
    runs.forEach((run, r) => {
      const end = r + 1 < runs.length ? runs[r + 1].first : rank.length;
      for (let i = run.first; i < end; ++i) x[rank[i]] = run.sum / run.weight + offsets[i];
    });
  };
  for (let sweep = 0; sweep < placeSweeps; ++sweep) {
    for (let step = 0; step < group.ranks.length; ++step) {
      const down = sweep % 2 === 0;
      settle(group.ranks[down ? step : group.ranks.length - 1 - step], down ? above : below);
    }
  }
  return x;
}

// "fp16 [1, 64, 56, 56]" as what stands beside an edge: "1x64x56x56".
function edgeText(label) {
  const shape = label.match(/\[(.*)\]/);
  return shape === null ? label : shape[1].replace(/, /g, "\u00d7");
}

class GraphView {
  constructor(graphs, full) {
    this.graphs = graphs;
    this.full = full;
    this.canvas = el("canvas", { tabIndex: 0 });
    this.pen = this.canvas.getContext("2d");
    this.textWidths = new Map();
    this.scale = 1;
    this.left = this.top = 0;
    this.found = new Set();
    this.selected = null;
    this.dimmed = new Set();
    this.panel = el("aside", { class: "panel", hidden: true });
    this.search = el("input", { type: "search", placeholder: "Find an op ( / )", oninput: () => this.showHits(), onkeydown: (event) => this.searchKey(event) });
    this.hits = el("div", { class: "hits" });
    this.legend = el("div", { class: "legend" });
    this.colourings = el("select", { title: "Colours", onchange: () => this.chooseColouring(Number(this.colourings.value)) });
    this.names = el("select", { title: "Function", onchange: () => { this.choose(Number(this.names.value)); this.fit(); } }, ...graphs.map((graph, i) => el("option", { value: i }, graph.name)));
    this.names.hidden = graphs.length < 2;
    this.info = el("span", { class: "count" });
    const button = (text, title, action) => el("button", { type: "button", title, onclick: action }, text);
    this.root = el("div", { class: "graph" },
      el("div", { class: "tools" }, el("div", { class: "find" }, this.search, this.hits), this.names, this.colourings,
        button("Open all", "Open every group", () => this.openAll(true)), button("Fold all", "Close every group", () => this.openAll(false)), this.info),
      this.legend,
      el("div", { class: "stage" }, this.canvas, this.panel, el("div", { class: "zoom" },
        button("+", "Closer", () => this.zoom(1.3)), button("\u2212", "Further", () => this.zoom(1 / 1.3)), button("Fit", "The whole graph", () => this.fitAll()))));
    this.listen();
    this.prepare();
  }

  prepare() {
    for (const graph of this.graphs) {
      graph.home = new Array(graph.nodes.length);
      graph.gives = graph.nodes.map(() => []);
      graph.reads = graph.nodes.map(() => []);
      graph.values.forEach((value, v) => {
        graph.gives[value.from].push(v);
        for (const to of value.to) graph.reads[to].push(v);
      });
      graph.groups.forEach((group, g) => {
        group.open = g === 0;
        group.above = group.items.map(() => []);
        group.below = group.items.map(() => []);
        for (const [from, to] of group.segments) {
          group.below[from].push(to);
          group.above[to].push(from);
        }
        group.index = new Map(group.items.map(([kind, ref], i) => [kind * 1e9 + ref, i]));
        for (const [kind, ref] of group.items) if (kind === NODE) graph.home[ref] = g;
        group.boxes = group.items.filter(([kind]) => kind === NODE || kind === GROUP).length;
      });
      // Groups open from the outside in while few boxes are to be seen.
      let boxes = graph.groups[0].boxes;
      for (const group of graph.groups) {
        if (group.parent === null || !graph.groups[group.parent].open) continue;
        if (boxes + group.boxes > openBudget && group.nodes < graph.nodes.length / 2) continue;
        group.open = true;
        boxes += group.boxes;
      }
    }
  }

  start() {
    const resize = () => {
      const area = this.canvas.parentElement.getBoundingClientRect(), ratio = devicePixelRatio || 1;
      if (area.width < 1) return;
      this.canvas.width = Math.round(area.width * ratio);
      this.canvas.height = Math.round(area.height * ratio);
      this.draw();
    };
    themeListeners.push(() => { this.takeColours(); this.later(); });
    this.takeColours();
    this.choose(0);
    resize();
    this.fit();
    new ResizeObserver(resize).observe(this.canvas.parentElement);
    if (location.hash.includes("open=all")) this.openAll(true);
    const asked = location.hash.match(/node=(\d+)/);
    if (asked && Number(asked[1]) < this.graph.nodes.length) this.reveal(Number(asked[1]));
  }

  takeColours() {
    this.colours = themeColours(["ground", "paper", "raised", "line", "ink", "soft", "faint", "accent", "edge", "group", "cold", "warm", "hot", ...colourNames]);
  }

  choose(index) {
    this.graph = this.graphs[index];
    this.selected = null;
    this.panel.hidden = true;
    this.colourings.replaceChildren(...this.graph.colourings.map((colouring, i) => el("option", { value: i }, `Colour: ${colouring.title}`)));
    this.colourings.hidden = this.graph.colourings.length < 2;
    const groups = this.graph.groups.length - 1;
    this.info.textContent = `${this.graph.nodes.length} nodes${groups ? `, ${groups} groups` : ""}`;
    this.layout();
    this.chooseColouring(0);
  }

  chooseColouring(index) {
    this.colouring = this.graph.colourings[index] || { title: "", classes: [], of: [] };
    this.dimmed.clear();
    const { classes, of, heat, low, high } = this.colouring;
    if (heat) {
      this.legend.replaceChildren(el("span", {}, low), el("span", { class: "ramp" }), el("span", {}, high));
    } else {
      const counts = classes.map(() => 0);
      for (const one of of) if (one >= 0) ++counts[one];
      this.legend.replaceChildren(...classes.map((one, i) => counts[i] === 0 ? null : el("button", { type: "button", title: "Show or dim", onclick: (event) => {
        if (!this.dimmed.delete(i)) this.dimmed.add(i);
        event.currentTarget.classList.toggle("off", this.dimmed.has(i));
        this.later();
      } }, el("i", { style: `--tone: ${palette(one.colour)}` }), `${one.name} ${counts[i]}`)).filter(Boolean));
    }
    this.legend.hidden = !this.legend.childElementCount;
    this.later();
  }

  nodeColour(node) {
    const { classes, of, heat } = this.colouring;
    if (heat) return heat[node] === null ? this.colours.cold : this.ramp(heat[node]);
    const one = of[node];
    return one >= 0 && one !== undefined ? this.colours[classes[one].colour] || this.colours.gray : this.colours.gray;
  }

  ramp(share) {
    const numbers = (text) => text.match(/[\d.]+/g).map(Number);
    const [from, to, part] = share < 0.5 ? [this.colours.cold, this.colours.warm, share * 2] : [this.colours.warm, this.colours.hot, share * 2 - 1];
    const a = numbers(from), b = numbers(to);
    return `rgb(${[0, 1, 2].map((i) => Math.round(a[i] + (b[i] - a[i]) * Math.min(1, part))).join(" ")})`;
  }

  isDim(node) {
    return this.dimmed.size > 0 && !this.colouring.heat && this.dimmed.has(this.colouring.of[node]);
  }

  textWidth(text, font) {
    const key = font + text;
    let width = this.textWidths.get(key);
    if (width === undefined) {
      this.pen.font = font;
      width = this.pen.measureText(text).width;
      this.textWidths.set(key, width);
    }
    return width;
  }

  fonts() {
    const family = getComputedStyle(document.body).fontFamily;
    this.titleFont = `600 12.5px ${family}`;
    this.nameFont = `11px ${family}`;
    this.smallFont = `10.5px ${family}`;
  }

  boxWidth(title, name) {
    return Math.max(minBox, Math.min(maxBox, Math.max(this.textWidth(title, this.titleFont), this.textWidth(name, this.nameFont)) + 26));
  }

  // The size of a group's inside and the places of its items in it.
  measure(index) {
    const group = this.graph.groups[index];
    const sizes = group.items.map(([kind, ref]) => {
      if (kind === NODE) return [this.boxWidth(this.graph.nodes[ref].type, this.graph.nodes[ref].name), boxHeight];
      if (kind === GROUP) {
        const child = this.graph.groups[ref];
        if (!child.open) return [this.boxWidth(child.name, `${child.nodes} nodes`) + 22, boxHeight];
        this.measure(ref);
        return [child.width, child.height];
      }
      return [kind === DUMMY ? 4 : 10, 0];
    });
    const widths = sizes.map((size) => size[0]);
    const x = placeItems(group, widths);
    let left = Infinity, right = -Infinity;
    for (let i = 0; i < x.length; ++i) {
      left = Math.min(left, x[i] - widths[i] / 2);
      right = Math.max(right, x[i] + widths[i] / 2);
    }
    if (left > right) left = right = 0;
    const root = group.parent === null;
    const pad = root ? 0 : groupPad, head = root ? 0 : groupHead;
    const title = root ? 0 : this.textWidth(group.name, this.titleFont) + 60;
    const slack = Math.max(0, title - (right - left) - 2 * pad) / 2;
    group.width = right - left + 2 * (pad + slack);
    group.places = [];
    let y = head;
    group.ranks.forEach((rank, r) => {
      const ports = rank.every((item) => group.items[item][0] === ENTRY || group.items[item][0] === EXIT);
      if (r > 0) y += ports || (r === 1 && group.items[group.ranks[0][0]][0] === ENTRY) ? rankGap * 0.6 : rankGap;
      const height = rank.reduce((most, item) => Math.max(most, sizes[item][1]), 0);
      for (const item of rank) {
        const port = group.items[item][0] >= ENTRY;
        const tall = group.items[item][0] === DUMMY ? height : sizes[item][1];
        group.places[item] = { x: x[item] - left + pad + slack, y: port && r === 0 ? 0 : y + (height - tall) / 2, w: widths[item], h: tall, low: y, high: y + height };
      }
      y += height;
    });
    const exits = group.items.some(([kind]) => kind === EXIT);
    group.height = y + (root ? 0 : exits ? 0 : pad);
    if (exits) group.items.forEach(([kind], i) => { if (kind === EXIT) group.places[i].y = group.places[i].low = group.places[i].high = group.height; });
  }

  layout() {
    this.fonts();
    this.measure(0);
    this.boxes = [];
    this.frames = [];
    this.lines = [];
    this.nodeBoxes = new Map();
    this.collect(0, 0, 0);
    const root = this.graph.groups[0];
    this.width = root.width;
    this.height = root.height;
  }

  collect(index, left, top) {
    const group = this.graph.groups[index];
    const labelled = new Set();
    group.items.forEach(([kind, ref], i) => {
      const place = group.places[i];
      const box = { kind, ref, x: left + place.x - place.w / 2, y: top + place.y, w: place.w, h: place.h };
      if (kind === NODE) {
        this.boxes.push(box);
        this.nodeBoxes.set(ref, box);
      } else if (kind === GROUP) {
        (this.graph.groups[ref].open ? this.frames : this.boxes).push(box);
        if (this.graph.groups[ref].open) this.collect(ref, box.x, box.y);
      }
    });
    // Where a line leaves or meets an item, and how far it has to run straight on inside the rank.
    const end = (item, value, out) => {
      const [kind, ref] = group.items[item], place = group.places[item];
      let x = left + place.x;
      if (kind === GROUP && this.graph.groups[ref].open) {
        const inner = this.graph.groups[ref], port = inner.index.get((out ? EXIT : ENTRY) * 1e9 + value);
        if (port !== undefined) x = left + place.x - place.w / 2 + inner.places[port].x;
      }
      const y = top + (out && kind !== DUMMY ? place.y + place.h : place.y);
      return { x, y, turn: top + (out ? Math.max(place.high, place.y + place.h) : Math.min(place.low, place.y)) };
    };
    const several = new Map();
    for (const [from, , value] of group.segments) {
      if (group.items[from][0] === GROUP) several.set(from, (several.get(from) || new Set()).add(value));
    }
    const add = (list, far) => {
      for (const [from, to, value] of list) {
        const kind = group.items[from][0];
        const label = !far && (kind === NODE || (kind === GROUP && (several.get(from).size === 1 || this.graph.groups[group.items[from][1]].open))) && !labelled.has(value);
        if (label) labelled.add(value);
        const arrow = group.items[to][0] === NODE || (group.items[to][0] === GROUP && !this.graph.groups[group.items[to][1]].open);
        this.lines.push({ a: end(from, value, true), b: end(to, value, false), value, far, arrow, label: label ? edgeText(this.graph.values[value].label) : "" });
      }
    };
    add(group.segments, false);
    add(group.distant, true);
  }

  // View: a point (x, y) of the graph is drawn at (x * scale + left, y * scale + top).
  area() {
    return { width: this.canvas.clientWidth || this.canvas.parentElement.clientWidth, height: this.canvas.clientHeight || this.canvas.parentElement.clientHeight };
  }

  fitAll() {
    const area = this.area();
    this.scale = Math.max(0.01, Math.min(1.25, (area.width - 60) / this.width, (area.height - 60) / this.height));
    this.left = (area.width - this.width * this.scale) / 2;
    this.top = (area.height - this.height * this.scale) / 2;
    this.later();
  }

  // The whole graph where it can be read so, else its beginning.
  fit() {
    const area = this.area();
    this.fitAll();
    if (this.scale >= 0.55) return;
    this.scale = Math.max(0.55, Math.min(0.9, (area.width - 60) / this.width));
    const first = this.boxes.concat(this.frames).reduce((best, box) => (best === null || box.y < best.y ? box : best), null);
    const middle = this.width * this.scale <= area.width - 40 || first === null ? this.width / 2 : first.x + first.w / 2;
    this.left = area.width / 2 - middle * this.scale;
    this.top = 30;
    this.later();
  }

  zoom(factor, x = this.area().width / 2, y = this.area().height / 2) {
    const next = Math.max(0.01, Math.min(4, this.scale * factor));
    this.left = x - ((x - this.left) * next) / this.scale;
    this.top = y - ((y - this.top) * next) / this.scale;
    this.scale = next;
    this.later();
  }

  toggle(index, open, anchor) {
    const group = this.graph.groups[index];
    const before = anchor && { x: anchor.x + anchor.w / 2, y: anchor.y };
    group.open = open;
    this.layout();
    const after = this.boxes.concat(this.frames).find((box) => box.kind === GROUP && box.ref === index);
    if (before && after) {
      this.left += (before.x - after.x - after.w / 2) * this.scale;
      this.top += (before.y - after.y) * this.scale;
    }
    this.later();
  }

  openAll(open) {
    this.graph.groups.forEach((group, g) => { if (g > 0) group.open = open; });
    this.layout();
    this.fit();
  }

  reveal(node) {
    let changed = false;
    for (let g = this.graph.home[node]; g !== null && g !== undefined; g = this.graph.groups[g].parent) {
      if (!this.graph.groups[g].open) changed = this.graph.groups[g].open = true;
    }
    if (changed) this.layout();
    const box = this.nodeBoxes.get(node), area = this.area();
    if (!box) return;
    this.scale = Math.max(this.scale, 0.85);
    this.left = (area.width - (area.width > 760 ? 380 : 0)) / 2 - (box.x + box.w / 2) * this.scale;
    this.top = area.height / 2 - (box.y + box.h / 2) * this.scale;
    this.select(node);
  }

  select(node) {
    this.selected = node;
    this.panel.hidden = node === null;
    if (node !== null) this.fillPanel(node);
    this.later();
  }

  fillPanel(node) {
    const graph = this.graph, entry = graph.nodes[node];
    const link = (other) => el("a", { onclick: () => this.reveal(other) }, `${graph.nodes[other].type} ${graph.nodes[other].name}`);
    const list = (title, items) => (items.length ? [el("h4", {}, title), el("ul", {}, ...items.slice(0, 200).map((item) => el("li", {}, ...item)))] : []);
    const rows = (entry.details || []).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]);
    this.panel.replaceChildren(
      el("button", { class: "close", type: "button", title: "Close", onclick: () => this.select(null) }, "\u00d7"),
      el("h3", {}, entry.type), el("div", { style: "overflow-wrap: anywhere" }, entry.name), el("dl", {}, ...rows),
      ...list("Reads", graph.reads[node].map((v) => [link(graph.values[v].from), " ", el("small", {}, graph.values[v].label)])),
      ...list("Read by", graph.gives[node].flatMap((v) => graph.values[v].to.map((to) => [link(to), " ", el("small", {}, graph.values[v].label)]))),
      ...(entry.histograms && entry.histograms.length ? [el("h4", {}, "Weights"), ...entry.histograms.map(renderHistogram)] : []));
    this.panel.scrollTop = 0;
  }

  matches() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const result = [];
    this.graph.nodes.forEach((node, i) => {
      const text = `${node.type} ${node.name}`.toLowerCase();
      if (words.every((word) => text.includes(word))) result.push(i);
    });
    return result;
  }

  showHits() {
    const found = this.matches();
    this.found = new Set(found);
    this.hits.replaceChildren(...found.slice(0, 60).map((node) => el("div", { onclick: () => { this.hits.replaceChildren(); this.reveal(node); } }, this.graph.nodes[node].type, el("small", {}, this.graph.nodes[node].name))));
    this.later();
  }

  searchKey(event) {
    if (event.key === "Escape") {
      this.search.value = "";
      this.showHits();
      this.canvas.focus();
    } else if (event.key === "Enter" && this.found.size) {
      const list = [...this.found], next = list[(list.indexOf(this.selected) + 1) % list.length];
      this.hits.replaceChildren();
      this.reveal(next);
    }
  }

  hit(event) {
    const area = this.canvas.getBoundingClientRect();
    const x = (event.clientX - area.left - this.left) / this.scale, y = (event.clientY - area.top - this.top) / this.scale;
    const inside = (box, height) => x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + height;
    return this.boxes.find((box) => inside(box, box.h)) || this.frames.filter((box) => inside(box, groupHead)).pop() || null;
  }

  listen() {
    let drag = null, pinch = null;
    const pointers = new Map();
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      drag = { x: event.clientX, y: event.clientY, moved: false };
      pinch = null;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) {
        canvas.classList.toggle("over", this.hit(event) !== null);
        return;
      }
      pointers.set(event.pointerId, event);
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()], area = canvas.getBoundingClientRect();
        const distance = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (pinch) this.zoom(distance / pinch, (a.clientX + b.clientX) / 2 - area.left, (a.clientY + b.clientY) / 2 - area.top);
        pinch = distance;
        drag.moved = true;
        return;
      }
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      drag.moved = true;
      canvas.classList.add("drag");
      this.left += dx;
      this.top += dy;
      drag.x = event.clientX;
      drag.y = event.clientY;
      this.later();
    });
    const up = (event) => {
      pointers.delete(event.pointerId);
      canvas.classList.remove("drag");
      if (drag && !drag.moved && event.type === "pointerup") this.click(event);
      if (!pointers.size) drag = null;
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("wheel", (event) => {
      if (!this.full && !event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const area = canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - area.left, event.clientY - area.top);
    }, { passive: false });
    document.addEventListener("keydown", (event) => {
      if (event.target.tagName === "INPUT" || event.target.tagName === "SELECT") return;
      if (event.key === "/") {
        event.preventDefault();
        this.search.focus();
      } else if (event.key === "Escape") this.select(null);
      else if (event.key === "+") this.zoom(1.3);
      else if (event.key === "-") this.zoom(1 / 1.3);
      else if (event.key === "0") this.fitAll();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!this.hits.contains(event.target) && event.target !== this.search) this.hits.replaceChildren();
    });
  }

  click(event) {
    const box = this.hit(event);
    if (box === null) this.select(null);
    else if (box.kind === NODE) this.select(box.ref);
    else this.toggle(box.ref, !this.graph.groups[box.ref].open, box);
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  clip(text, font, width) {
    if (this.textWidth(text, font) <= width) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.textWidth(`${text.slice(0, middle)}\u2026`, font) <= width) low = middle;
      else high = middle - 1;
    }
    return `${text.slice(0, low)}\u2026`;
  }

  draw() {
    const pen = this.pen, ratio = devicePixelRatio || 1, scale = this.scale, c = this.colours;
    if (!this.boxes) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = c.paper;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * this.left, ratio * this.top);
    const view = { left: -this.left / scale, top: -this.top / scale };
    view.right = view.left + this.canvas.width / ratio / scale;
    view.bottom = view.top + this.canvas.height / ratio / scale;
    const seen = (x, y, w, h) => x + w >= view.left && x <= view.right && y + h >= view.top && y <= view.bottom;
    for (const frame of this.frames) if (seen(frame.x, frame.y, frame.w, frame.h)) this.drawFrame(frame);
    this.drawLines(seen);
    for (const box of this.boxes) if (seen(box.x, box.y, box.w, box.h)) this.drawBox(box);
  }

  drawFrame(frame) {
    const pen = this.pen, c = this.colours, group = this.graph.groups[frame.ref];
    pen.beginPath();
    pen.roundRect(frame.x, frame.y, frame.w, frame.h, 10);
    pen.fillStyle = c.group;
    pen.fill();
    pen.strokeStyle = c.line;
    pen.lineWidth = 1;
    pen.stroke();
    if (this.scale < 0.25) return;
    pen.font = this.titleFont;
    pen.fillStyle = c.soft;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(this.clip(`\u2212  ${group.name}`, this.titleFont, frame.w - 24), frame.x + 12, frame.y + groupHead / 2);
  }

  drawLines(seen) {
    const pen = this.pen, c = this.colours, strong = new Set();
    if (this.selected !== null) {
      for (const v of this.graph.gives[this.selected]) strong.add(v);
      for (const v of this.graph.reads[this.selected]) strong.add(v);
    }
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    const labels = [];
    for (const bold of [false, true]) {
      pen.strokeStyle = pen.fillStyle = bold ? c.accent : c.edge;
      pen.lineWidth = bold ? 2 : Math.max(1, 0.6 / this.scale);
      for (const { a, b, value, far, arrow, label } of this.lines) {
        if (strong.has(value) !== bold || (far && !bold)) continue;
        const left = Math.min(a.x, b.x) - 4, top = Math.min(a.y, b.y) - 4;
        if (!seen(left, top, Math.max(a.x, b.x) - left + 120, Math.max(a.y, b.y) - top + 8)) continue;
        const reach = Math.max(14, Math.abs(b.turn - a.turn) / 2);
        pen.setLineDash(far ? [5, 4] : []);
        pen.beginPath();
        pen.moveTo(a.x, a.y);
        pen.lineTo(a.x, a.turn);
        pen.bezierCurveTo(a.x, a.turn + reach, b.x, b.turn - reach, b.x, b.turn);
        pen.lineTo(b.x, b.y - (arrow ? 3 : 0));
        pen.stroke();
        if (arrow && this.scale > 0.2) {
          pen.beginPath();
          pen.moveTo(b.x, b.y);
          pen.lineTo(b.x - 3.5, b.y - 6);
          pen.lineTo(b.x + 3.5, b.y - 6);
          pen.fill();
        }
        if (label) labels.push([label, a.x, a.turn + 10, bold, b.x > a.x + 6]);
      }
    }
    pen.setLineDash([]);
    if (this.scale < 0.5) return;
    pen.font = this.smallFont;
    for (const [label, x, y, bold, left] of labels) {
      pen.fillStyle = bold ? c.accent : c.faint;
      pen.textAlign = left ? "right" : "left";
      pen.fillText(label, left ? x - 6 : x + 6, y);
    }
  }

  drawBox(box) {
    const pen = this.pen, c = this.colours, group = box.kind === GROUP ? this.graph.groups[box.ref] : null;
    const node = group ? null : this.graph.nodes[box.ref];
    const tone = group ? c.faint : this.nodeColour(box.ref);
    const terminal = node !== null && (node.type === "input" || node.type === "output");
    pen.globalAlpha = node !== null && this.isDim(box.ref) ? 0.25 : 1;
    if (group && this.scale > 0.15) {
      pen.fillStyle = c.raised;
      pen.strokeStyle = c.line;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.roundRect(box.x + 4, box.y + 4, box.w, box.h, 8);
      pen.fill();
      pen.stroke();
    }
    pen.beginPath();
    pen.roundRect(box.x, box.y, box.w, box.h, terminal ? box.h / 2 : 8);
    pen.fillStyle = group ? c.raised : c.paper;
    pen.fill();
    if (!group) {
      pen.save();
      pen.globalAlpha *= this.colouring.heat ? 0.8 : 0.13;
      pen.fillStyle = tone;
      pen.fill();
      pen.restore();
    }
    const chosen = node !== null && (this.selected === box.ref || this.found.has(box.ref));
    pen.strokeStyle = chosen ? c.accent : group ? c.line : tone;
    pen.lineWidth = chosen ? 2.5 : 1;
    pen.stroke();
    if (this.scale >= 0.3) {
      const middle = box.x + box.w / 2;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillStyle = c.ink;
      pen.font = this.titleFont;
      pen.fillText(this.clip(group ? `+  ${group.name}` : node.type, this.titleFont, box.w - 14), middle, box.y + 14.5);
      pen.fillStyle = this.colouring.heat && !group ? c.ink : c.soft;
      pen.font = this.nameFont;
      pen.fillText(this.clip(group ? `${group.nodes} nodes` : node.name, this.nameFont, box.w - 14), middle, box.y + 29.5);
    }
    pen.globalAlpha = 1;
  }
}
