#include "insight/page.hpp"

#include "insight/assets.hpp"

namespace tl::insight {
namespace {

constexpr const char* kind_names[] = {"text", "number", "bytes", "bar", "badge"};

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  const std::string valid = Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
  for (const char c : valid) {
    switch (c) {
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '&': result += "&amp;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') result += c;
    }
  }
  return result;
}

std::string script_json(const Json& json) {
  std::string result;
  // In JSON these three stand in strings only.
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    switch (c) {
      case '<': result += "\\u003c"; break;
      case '>': result += "\\u003e"; break;
      case '&': result += "\\u0026"; break;
      default: result += c;
    }
  }
  return result;
}

Page::Page(std::string kind, std::string title) : kind_(std::move(kind)), title_(std::move(title)) {}

Page& Page::add(Json part) {
  parts_.push_back(std::move(part));
  return *this;
}

Page& Page::facts(const std::vector<Fact>& facts) {
  Json list = Json::array();
  for (const Fact& fact : facts) list.push_back({{"label", fact.label}, {"value", fact.value}, {"note", fact.note}});
  return add({{"part", "facts"}, {"facts", std::move(list)}});
}

Page& Page::section(std::string heading, std::string text) {
  return add({{"part", "section"}, {"heading", std::move(heading)}, {"text", std::move(text)}});
}

Page& Page::table(const Table& table) {
  Json columns = Json::array();
  for (const Column& column : table.columns) {
    columns.push_back({{"title", column.title},
                       {"kind", kind_names[static_cast<std::size_t>(column.kind)]},
                       {"note", column.note},
                       {"decimals", column.decimals}});
  }
  Json rows = Json::array();
  for (const auto& row : table.rows) rows.push_back(row);
  return add({{"part", "table"},
              {"columns", std::move(columns)},
              {"rows", std::move(rows)},
              {"nodes", table.nodes},
              {"sorted", table.sorted_by}});
}

Page& Page::graphs(const std::vector<Graph>& graphs) {
  Json list = Json::array();
  for (const Graph& graph : graphs) list.push_back(graph_json(graph));
  return add({{"part", "graphs"}, {"graphs", std::move(list)}});
}

Page& Page::findings(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings)
    list.push_back({{"severity", finding.severity}, {"title", finding.title}, {"text", finding.text}});
  return add({{"part", "findings"}, {"findings", std::move(list)}});
}

Page& Page::chart(const StepChart& chart) {
  return add({{"part", "chart"},
              {"quantity", chart.quantity},
              {"bytes", chart.bytes},
              {"values", chart.values},
              {"labels", chart.labels}});
}

Page& Page::code(std::string text) { return add({{"part", "code"}, {"text", std::move(text)}}); }

std::string Page::html() const {
  const std::string title = escape_html(title_);
  const std::string kind = escape_html(kind_);
  std::string html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" + title + " - " + kind + "</title>\n";
  html += "<style>\n" + std::string(assets::page_css) + "</style>\n</head>\n<body>\n";
  html += "<header><span class=\"mark\">tl</span><span class=\"kind\">" + kind + "</span><h1>" + title +
          "</h1><button id=\"theme\" type=\"button\" title=\"Dark or light\" aria-label=\"Dark or light\"></button></header>\n";
  html += "<main id=\"main\"><noscript>This report needs JavaScript; it asks nothing of a network.</noscript></main>\n";
  html += "<script type=\"application/json\" id=\"data\">" + script_json(parts_) + "</script>\n<script>\n";
  for (const std::string_view script : {assets::base_js, assets::table_js, assets::chart_js, assets::graph_js, assets::page_js})
    html += std::string(script);
  return html + "</script>\n</body>\n</html>\n";
}

}  // namespace tl::insight
