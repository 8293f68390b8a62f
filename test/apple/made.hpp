// Models made of MIL text, for tests of rules and findings.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>

#include "scratch.hpp"
#include "tensorlogic/check.hpp"

namespace tl::test {

// A compiled model of one function: "tensor<fp16, [1, 4]> x" and the ops, the last of which gives `out`.
class Made {
 public:
  Made(const std::string& inputs, const std::string& body, const std::string& opset = "ios17") {
    scratch_.put("m.mlmodelc/model.mil", "program(1.3)\n[buildInfo = dict<string, string>({})]\n{\n    func main<" + opset +
                                             ">(" + inputs + ") {\n" + body + "        } -> (out);\n}\n");
    scratch_.put("m.mlmodelc/metadata.json", plain(inputs));
  }
  std::string path() const { return scratch_ / "m.mlmodelc"; }
  const Scratch& scratch() const { return scratch_; }

  CheckReport check(const char* chip = "M4", ComputeUnits units = ComputeUnits::cpu_and_neural_engine,
                    const char* os = "") const {
    CheckOptions options;
    options.chip = chip;
    options.os = os;
    options.compute_units = units;
    return tl::check(path(), options);
  }

 private:
  // One array per input, with the extents of its type (an open one: 16).
  static std::string plain(const std::string& inputs) {
    nlohmann::json schema = nlohmann::json::array(), states = nlohmann::json::array();
    std::size_t at = 0;
    while ((at = inputs.find("tensor<", at)) != std::string::npos) {
      const std::size_t open = inputs.find('[', at), close = inputs.find(']', at), name = inputs.find("> ", at) + 2;
      std::string shape = inputs.substr(open, close - open + 1);
      for (std::size_t mark = 0; (mark = shape.find('?')) != std::string::npos;) shape.replace(mark, 1, "16");
      const bool state = at >= 6 && inputs.compare(at - 6, 6, "state<") == 0;
      (state ? states : schema)
          .push_back({{"type", state ? "State" : "MultiArray"},
                      {"dataType", "Float16"},
                      {"shape", shape},
                      {"hasShapeFlexibility", "0"},
                      {"isOptional", "0"},
                      {"shortDescription", ""},
                      {"name", inputs.substr(name, inputs.find_first_of(",)", name) - name)}});
      at = close;
    }
    return nlohmann::json::array({{{"specificationVersion", 8},
                                   {"inputSchema", schema},
                                   {"outputSchema", nlohmann::json::array()},
                                   {"stateSchema", states}}})
        .dump();
  }
  Scratch scratch_;
};

inline std::string op(const std::string& type, const std::string& call) {
  return "            " + type + " out = " + call + "[name = string(\"out\")];\n";
}

inline bool takes(const CheckReport& report, const char* unit) {
  const auto& units = report.ops.back().supported;
  return std::find(units.begin(), units.end(), unit) != units.end();
}

inline const CheckFinding* finding(const CheckReport& report, std::string_view id) {
  const auto found =
      std::find_if(report.findings.begin(), report.findings.end(), [&](const CheckFinding& f) { return f.id == id; });
  return found == report.findings.end() ? nullptr : &*found;
}

}  // namespace tl::test
