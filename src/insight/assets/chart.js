// A quantity over the steps of a run: a filled staircase, with what holds under the pointer.
function renderChart(part) {
  const width = 1000, height = 180;
  const count = part.values.length;
  const top = Math.max(...part.values, 1e-30);
  const text = (value) => (part.bytes ? bytesText(value) : value.toPrecision(4));
  let path = `M0 ${height}`;
  part.values.forEach((value, i) => {
    const y = (height - (height - 8) * (value / top)).toFixed(2);
    path += `L${((i / count) * width).toFixed(2)} ${y}L${(((i + 1) / count) * width).toFixed(2)} ${y}`;
  });
  path += `L${width} ${height}Z`;
  const cursor = svg("line", { y1: 0, y2: height, stroke: "var(--ink)", "stroke-width": 1, "vector-effect": "non-scaling-stroke", visibility: "hidden" });
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" },
    svg("path", { d: path, fill: "var(--accent)", "fill-opacity": 0.22, stroke: "var(--accent)", "stroke-width": 1.2, "vector-effect": "non-scaling-stroke" }), cursor);
  const peak = part.values.indexOf(Math.max(...part.values));
  const summary = `${part.quantity}: at most ${text(top)}, at step ${peak + 1} of ${count} (${part.labels[peak] || ""})`;
  const hint = el("div", { class: "hint" }, summary);
  const box = el("div", { class: "chart" }, hint, drawing);
  drawing.addEventListener("pointermove", (event) => {
    const area = drawing.getBoundingClientRect();
    const i = Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - area.left) / area.width) * count)));
    cursor.setAttribute("x1", ((i + 0.5) / count) * width);
    cursor.setAttribute("x2", ((i + 0.5) / count) * width);
    cursor.setAttribute("visibility", "visible");
    hint.textContent = `step ${i + 1} of ${count}: ${text(part.values[i])}  ${part.labels[i] || ""}`;
  });
  drawing.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    hint.textContent = summary;
  });
  return box;
}

function renderHistogram(histogram) {
  const most = Math.max(...histogram.bins, 1);
  const width = 100 / Math.max(histogram.bins.length, 1);
  const bars = histogram.bins.map((count, i) => {
    const height = count === 0 ? 0 : Math.max(1.5, (count / most) * 62);
    const bar = svg("rect", { x: i * width + width * 0.06, y: 64 - height, width: width * 0.88, height, fill: "var(--accent)" });
    bar.append(svg("title", {}, `${count}`));
    return bar;
  });
  const short = (value) => (value === null ? "" : Number(value.toPrecision(4)).toString());
  return el("figure", {}, el("b", {}, histogram.name), " ", el("small", {}, histogram.text),
    svg("svg", { viewBox: "0 0 100 64", preserveAspectRatio: "none" }, ...bars),
    el("div", { class: "ends" }, el("span", {}, short(histogram.low)), el("span", {}, short(histogram.high))));
}
