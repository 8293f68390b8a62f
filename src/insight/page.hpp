#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "insight/graph.hpp"

// Reports as one HTML file each: no network, dark and light, everything that comes from a model is data, never markup.
namespace tl::insight {

// A text as HTML text or attribute value; control characters are dropped.
std::string escape_html(std::string_view text);
// JSON that may stand inside a <script> element: '<', '>', '&' as \u escapes, broken UTF-8 replaced.
std::string script_json(const Json& json);

// A number of the summary at the top: "time" "3.2 ms" "median of 30".
struct Fact {
  std::string label;
  std::string value;
  std::string note;
};

struct Column {
  // What cells hold and how they show: strings; numbers; bytes ("8.8 MB"); a share of 1 as a bar; one word as a badge.
  enum class Kind : unsigned char { text, number, bytes, bar, badge };
  std::string title;
  Kind kind = Kind::text;
  std::string note = {};  // tooltip of the heading
  int decimals = 3;       // of `number`; trailing zeros stay
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Json>> rows;  // a cell per column; null: empty
  std::vector<std::int64_t> nodes;      // parallel to rows, or empty: the node that a click shows in the graph above, -1: none
  std::string sorted_by;                // title of the column that it is sorted by at first, largest first; empty: as given
};

struct Finding {
  std::string severity;  // "error", "warning", "note", "good"
  std::string title;
  std::string text;
};

// A quantity by step: `values[i]` holds from step i to step i + 1; `labels` parallel, for the tooltip.
struct StepChart {
  std::string quantity;
  bool bytes = false;
  std::vector<double> values;
  std::vector<std::string> labels;
};

class Page {
 public:
  // `kind` names the report ("graph", "profile"), `title` the model.
  Page(std::string kind, std::string title);
  Page& facts(const std::vector<Fact>& facts);
  // Starts a section; what follows stands in it. `text`: a line or two below the heading.
  Page& section(std::string heading, std::string text = {});
  Page& table(const Table& table);
  Page& graphs(const std::vector<Graph>& graphs);  // several (functions): one is chosen at a time
  Page& findings(const std::vector<Finding>& findings);
  Page& chart(const StepChart& chart);
  Page& code(std::string text);  // preformatted

  std::string html() const;

 private:
  Page& add(Json part);

  std::string kind_, title_;
  Json parts_ = Json::array();
};

}  // namespace tl::insight
