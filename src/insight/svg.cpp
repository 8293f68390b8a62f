#include "insight/svg.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "insight/layout.hpp"
#include "insight/page.hpp"

namespace tl::insight {
namespace {

constexpr double gap = 22, rank_gap = 46, box_height = 40, margin = 24;
constexpr double title_em = 7.4, name_em = 6.1;  // mean widths of a letter
constexpr std::size_t longest = 30;              // letters in a box

constexpr const char* style =
    R"(svg{--paper:#fff;--ink:#1a1f27;--soft:#5b6573;--edge:#a9b2c0;--blue:#3b6fd4;--teal:#12857f;--green:#3c8a3f;--yellow:#a27b00;
--orange:#c2620e;--red:#c83a3a;--pink:#bb4584;--purple:#7a4fc4;--gray:#6d7683;background:var(--paper)}
@media(prefers-color-scheme:dark){svg{--paper:#181c22;--ink:#e4e8ee;--soft:#98a3b3;--edge:#4f5a69;--blue:#6f9bf0;--teal:#3fb8b0;
--green:#6cbf70;--yellow:#d9b13b;--orange:#ef9a4d;--red:#f07b74;--pink:#e583b5;--purple:#b08ff0;--gray:#8f99a8}}
text{font-family:system-ui,sans-serif;fill:var(--soft);font-size:11px}text.t{font-weight:600;font-size:12.5px;fill:var(--ink)}
g.n text{text-anchor:middle}path{fill:none;stroke:var(--edge)}rect{fill-opacity:.13;fill:var(--c);stroke:var(--c)}
)";

std::size_t letters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string clipped(const std::string& text) {
  if (letters(text) <= longest) return text;
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80U && seen++ == longest - 1) break;
  }
  return text.substr(0, end) + "\u2026";
}

std::string shape_text(const std::string& label) {
  const auto begin = label.find('['), end = label.rfind(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return label;
  std::string text;
  for (const char c : label.substr(begin + 1, end - begin - 1))
    text += c == ',' ? std::string("\u00d7") : c == ' ' ? "" : std::string(1, c);
  return text;
}

struct Picture {
  std::string body;
  double width = 0, height = 0;
};

std::string colour_of(const Graph& graph, std::size_t node) {
  if (graph.colourings.empty()) return "gray";
  const Colouring& colouring = graph.colourings.front();
  if (node >= colouring.of_node.size() || colouring.of_node[node] < 0) return "gray";
  return colouring.classes[static_cast<std::size_t>(colouring.of_node[node])].colour;
}

Picture draw(const Graph& graph) {
  std::vector<LayoutEdge> edges;
  for (std::size_t v = 0; v < graph.values.size(); ++v) {
    for (const std::size_t to : graph.values[v].to) edges.push_back({graph.values[v].from, to, v});
  }
  const std::size_t count = graph.nodes.size();
  const Layered layered = layer(std::vector<Pin>(count, Pin::none), edges);
  std::vector<double> widths;
  for (const GraphNode& node : graph.nodes) {
    const auto title = static_cast<double>(std::min(letters(node.type), longest));
    const auto name = static_cast<double>(std::min(letters(node.name), longest));
    widths.push_back(std::max({90.0, title * title_em + 20, name * name_em + 20}));
  }
  widths.resize(count + layered.dummies.size(), 6);
  const std::vector<double> x = place(layered, widths, gap);
  Picture picture;
  double left = 0;
  for (std::size_t i = 0; i < x.size(); ++i) left = std::min(left, x[i] - widths[i] / 2);
  for (std::size_t i = 0; i < x.size(); ++i) picture.width = std::max(picture.width, x[i] + widths[i] / 2 - left);
  std::vector<double> top(x.size());
  for (std::size_t r = 0; r < layered.ranks.size(); ++r) {
    for (const std::size_t item : layered.ranks[r]) top[item] = static_cast<double>(r) * (box_height + rank_gap);
  }
  picture.height = static_cast<double>(layered.ranks.size()) * (box_height + rank_gap) - rank_gap;
  std::vector<bool> labelled(graph.values.size(), false);
  const auto line = [&](const LayoutEdge& edge, const char* dash) {
    const double x1 = x[edge.from] - left, x2 = x[edge.to] - left, y1 = top[edge.from] + box_height, y2 = top[edge.to];
    const double bend = std::max(12.0, (y2 - y1) / 2);
    if (edge.from >= count) picture.body += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>", x1, y1 - box_height, y1);
    picture.body +=
        fmt::format("<path d=\"M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\"{}{}/>\n", x1, y1, x1, y1 + bend, x2,
                    y2 - bend, x2, y2 - (edge.to < count ? 4 : 0), dash, edge.to < count ? " marker-end=\"url(#a)\"" : "");
    if (edge.from < count && !labelled[edge.value]) {
      labelled[edge.value] = true;
      picture.body += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x1 + 6, y1 + 13,
                                  escape_html(shape_text(graph.values[edge.value].label)));
    }
  };
  for (const LayoutEdge& edge : layered.segments) line(edge, "");
  for (const LayoutEdge& edge : layered.distant) line(edge, " stroke-dasharray=\"5 4\" opacity=\".4\"");
  for (std::size_t i = 0; i < count; ++i) {
    const GraphNode& node = graph.nodes[i];
    const bool end = node.type == "input" || node.type == "output";
    picture.body += fmt::format(
        "<g class=\"n\" style=\"--c:var(--{0})\"><title>{1}</title><rect x=\"{2:.1f}\" y=\"{3:.1f}\" width=\"{4:.1f}\" "
        "height=\"{5}\" rx=\"{6}\"/><text class=\"t\" x=\"{7:.1f}\" y=\"{8:.1f}\">{9}</text><text x=\"{7:.1f}\" "
        "y=\"{10:.1f}\">{11}</text></g>\n",
        colour_of(graph, i), escape_html(node.type + " " + node.name), x[i] - widths[i] / 2 - left, top[i], widths[i],
        box_height, end ? 20 : 8, x[i] - left, top[i] + 17, escape_html(clipped(node.type)), top[i] + 31,
        escape_html(clipped(node.name)));
  }
  return picture;
}

}  // namespace

std::string graph_svg(const std::vector<Graph>& graphs) {
  std::string body;
  double width = 0, height = margin;
  for (const Graph& graph : graphs) {
    if (graphs.size() > 1) {
      body += fmt::format("<text class=\"t\" x=\"{}\" y=\"{:.1f}\">{}</text>\n", margin, height + 12, escape_html(graph.name));
      height += 28;
    }
    const Picture picture = draw(graph);
    body += fmt::format("<g transform=\"translate({} {:.1f})\">\n{}</g>\n", margin, height, picture.body);
    width = std::max(width, picture.width + 2 * margin);
    height += picture.height + margin;
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\">\n<style>"
      "{2}</style>\n<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"4\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" "
      "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" style=\"fill:var(--edge);stroke:none\"/></marker></defs>\n{3}</svg>\n",
      width, height, style, body);
}

}  // namespace tl::insight
