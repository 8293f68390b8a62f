// A table that sorts by a click on a heading and filters by the words typed; rows come in portions.
const tablePortion = 300;

function cellNode(column, value) {
  if (value === null || value === undefined) return el("td");
  switch (column.kind) {
    case "number":
      return el("td", { class: "right" }, typeof value === "number" ? value.toLocaleString("en-US", { minimumFractionDigits: column.decimals, maximumFractionDigits: column.decimals }) : String(value));
    case "bytes":
      return el("td", { class: "right" }, bytesText(value));
    case "bar":
      return el("td", { class: "right" }, el("div", { class: "share" }, el("i", { style: `--part: ${Math.max(0, Math.min(100, 100 * value)).toFixed(2)}%` }), percent(value)));
    case "badge":
      return el("td", {}, el("span", { class: "badge" }, String(value)));
    default:
      return el("td", { class: "text" }, String(value));
  }
}

function renderTable(part, showNode) {
  const columns = part.columns;
  const order = part.rows.map((_, i) => i);
  const words = part.rows.map((row) => row.filter((cell) => typeof cell === "string").join(" ").toLowerCase());
  let sorted = columns.findIndex((column) => column.title === part.sorted), up = false;
  let shown = tablePortion;
  const body = el("tbody");
  const count = el("span", { class: "count" });
  const more = el("button", { class: "more", type: "button", onclick: () => { shown += 10 * tablePortion; draw(); } });
  const search = el("input", { type: "search", placeholder: "Filter rows", oninput: () => { shown = tablePortion; draw(); } });
  const heads = columns.map((column, i) => el("th", { class: ["number", "bytes", "bar"].includes(column.kind) ? "right" : "", title: column.note, scope: "col", onclick: () => {
    up = sorted === i ? !up : !["number", "bytes", "bar"].includes(column.kind);
    sorted = i;
    draw();
  } }, column.title));

  function compare(a, b) {
    const x = part.rows[a][sorted], y = part.rows[b][sorted];
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    const less = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return (up ? less : -less) || a - b;
  }

  function draw() {
    const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = order.filter((i) => asked.every((word) => words[i].includes(word)));
    if (sorted >= 0) rows = rows.sort(compare);
    heads.forEach((head, i) => {
      head.classList.toggle("sorted", i === sorted);
      head.classList.toggle("up", i === sorted && up);
    });
    const nodes = part.nodes;
    body.replaceChildren(...rows.slice(0, shown).map((i) => {
      const line = el("tr", {}, ...columns.map((column, c) => cellNode(column, part.rows[i][c])));
      if (nodes.length && nodes[i] >= 0 && showNode) {
        line.classList.add("link");
        line.addEventListener("click", () => showNode(nodes[i]));
      }
      return line;
    }));
    count.textContent = rows.length === part.rows.length ? `${rows.length} rows` : `${rows.length} of ${part.rows.length} rows`;
    more.hidden = rows.length <= shown;
    more.textContent = `Show more (${rows.length - shown} left)`;
  }

  draw();
  const bar = part.rows.length > 8 ? el("div", { class: "bar" }, search, count) : null;
  return el("div", { class: "table" }, bar, el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body)), more);
}
