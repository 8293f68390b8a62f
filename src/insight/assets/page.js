// Builds the report from the parts in #data (insight/page.cpp).
function buildPage() {
  const parts = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  main.replaceChildren();
  const tones = { error: "red", warning: "orange", note: "blue", good: "green" };
  const content = parts.filter((part) => part.part !== "section");
  const full = content.length === 1 && content[0].part === "graphs";
  document.body.classList.toggle("full", full);
  let view = null;
  const showNode = (node) => {
    if (view === null) return;
    view.reveal(node);
    view.root.scrollIntoView({ behavior: "smooth", block: "nearest" });
  };
  for (const part of parts) {
    switch (part.part) {
      case "facts":
        main.append(el("div", { class: "facts" }, ...part.facts.map((fact) => el("div", { class: "fact" }, el("span", {}, fact.label), el("b", {}, fact.value), el("span", {}, fact.note)))));
        break;
      case "section":
        main.append(el("h2", {}, part.heading));
        if (part.text) main.append(el("p", { class: "lead" }, part.text));
        break;
      case "table":
        main.append(renderTable(part, showNode));
        break;
      case "findings":
        main.append(el("div", { class: "findings" }, ...part.findings.map((finding) => el("div", { class: "finding", style: `--tone: ${palette(tones[finding.severity])}` },
          el("span", { class: "severity" }, finding.severity), el("b", {}, finding.title), finding.text ? el("p", {}, finding.text) : null))));
        break;
      case "chart":
        if (part.values.length) main.append(renderChart(part));
        break;
      case "code":
        main.append(el("pre", {}, part.text));
        break;
      case "graphs":
        view = new GraphView(part.graphs, full);
        main.append(view.root);
        view.start();
        break;
    }
  }
}

initTheme();
buildPage();
