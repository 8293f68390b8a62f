#include <algorithm>
#include <cmath>

#include "lang/gradient.hpp"
#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

struct Parameter {
  std::string name;
  TensorPtr box;
  std::vector<double> weights, momentum, variance, peak;
};

// A setting of an optimiser or scheduler: name and default.
using Table = std::map<std::string, double>;
const std::map<std::string, Table>& optimizers() {
  static const std::map<std::string, Table> table = {
      {"sgd", {{"lr", 0.01}, {"momentum", 0}, {"nesterov", 0}, {"weight_decay", 0}}},
      {"adam", {{"lr", 0.001}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0}, {"amsgrad", 0}}},
      {"adamw", {{"lr", 0.001}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.01}, {"amsgrad", 0}}}};
  return table;
}
const std::map<std::string, Table>& schedulers() {
  static const std::map<std::string, Table> table = {{"step", {{"step_size", 10}, {"gamma", 0.1}}},
                                                     {"exponential", {{"gamma", 0.95}}},
                                                     {"cosine", {{"t_max", -1}, {"eta_min", 0}}}};
  return table;
}

Table settings(Interpreter::Impl& session, const std::map<std::string, Table>& all, const std::string& name,
               const std::vector<Setting>& given, const Place& place) {
  const auto found = all.find(name);
  if (found == all.end()) {
    std::string names;
    for (const auto& [known, table] : all) names += (names.empty() ? "" : ", ") + known;
    fail_at(place, "unknown '{}'; known are {}", name, names);
  }
  Table table = found->second;
  for (const Setting& setting : given) {
    const std::string key = setting.name == "epsilon" ? "eps" : setting.name == "learning_rate" ? "lr" : setting.name;
    if (!table.contains(key)) fail_at(setting.value->place, "{} has no setting '{}'", name, setting.name);
    const Datum value = session.eval(*setting.value);
    table[key] = value.as<bool>() != nullptr
                     ? (*value.as<bool>() ? 1 : 0)
                     : at_place(setting.value->place, [&] { return session.number(value, "the setting"); });
  }
  return table;
}

double scheduled(const std::string& scheduler, const Table& table, double rate, std::int64_t epoch, std::int64_t epochs) {
  const auto at = static_cast<double>(epoch);
  if (scheduler == "step") return rate * std::pow(table.at("gamma"), std::floor(at / std::max(1.0, table.at("step_size"))));
  if (scheduler == "exponential") return rate * std::pow(table.at("gamma"), at);
  if (scheduler == "cosine") {
    const double period = table.at("t_max") > 0 ? table.at("t_max") : static_cast<double>(epochs);
    return table.at("eta_min") + (rate - table.at("eta_min")) * (1 + std::cos(M_PI * at / period)) / 2;
  }
  return rate;
}

// One update of a parameter in double, written back as its declared type.
void update(Parameter& p, const Tensor& gradient, const std::string& optimizer, const Table& table, double rate,
            std::int64_t step) {
  const double decay = table.at("weight_decay");
  const bool adam = optimizer != "sgd";
  Tensor fresh(DType::f64, p.box->data.shape());
  auto out = fresh.mutable_values<double>();
  for (std::size_t i = 0; i < p.weights.size(); ++i) {
    double g = gradient.number_at(iz(i));
    double& w = p.weights[i];
    if (optimizer == "adamw") {
      w -= rate * decay * w;
    } else {
      g += decay * w;
    }
    if (adam) {
      const double b1 = table.at("beta1"), b2 = table.at("beta2");
      p.momentum[i] = b1 * p.momentum[i] + (1 - b1) * g;
      p.variance[i] = b2 * p.variance[i] + (1 - b2) * g * g;
      double second = p.variance[i];
      if (table.at("amsgrad") != 0) second = p.peak[i] = std::max(p.peak[i], second);
      const auto n = static_cast<double>(step);
      w -= rate * (p.momentum[i] / (1 - std::pow(b1, n))) / (std::sqrt(second / (1 - std::pow(b2, n))) + table.at("eps"));
    } else if (table.at("momentum") != 0) {
      p.momentum[i] = step == 1 ? g : table.at("momentum") * p.momentum[i] + g;
      w -= rate * (table.at("nesterov") != 0 ? g + table.at("momentum") * p.momentum[i] : p.momentum[i]);
    } else {
      w -= rate * g;
    }
    out[i] = w;
  }
  p.box->data = fresh.cast(p.box->data.dtype());
}

class Parameters {
 public:
  explicit Parameters(Interpreter::Impl& session) : session_(session) {
    for (auto& [name, value] : session.globals) visit(name, value, 0);
    for (Scope& scope : session.frames.back().scopes) {
      for (auto& [name, value] : scope.variables) visit(name, value, 0);
    }
  }
  std::vector<Parameter> found;

 private:
  // Each gets a tensor of its own, so that copies made before the block keep their values.
  void visit(const std::string& name, Datum& value, int depth) {
    if (const auto* object = value.as<ObjectPtr>(); object != nullptr && depth < 32 && seen_.insert(object->get()).second) {
      for (auto& [field, inner] : (*object)->fields) visit(name + "." + field, inner, depth + 1);
    }
    const auto* t = value.as<TensorPtr>();
    if (t == nullptr || !(*t)->learnable || !is_floating((*t)->data.dtype())) return;
    for (const Parameter& p : found) {
      if (p.box == *t) return;
    }
    Parameter p;
    p.name = name;
    p.box = session_.ops.box((*t)->data.clone());
    p.box->learnable = true;
    session_.budget->reserve(static_cast<std::uint64_t>(p.box->data.size()) * 32);
    for (std::int64_t i = 0; i < p.box->data.size(); ++i) p.weights.push_back(p.box->data.number_at(i));
    p.momentum.resize(p.weights.size());
    p.variance.resize(p.weights.size());
    p.peak.resize(p.weights.size());
    value = p.box;
    found.push_back(std::move(p));
  }
  Interpreter::Impl& session_;
  std::set<const Object*> seen_;
};

// Records while it lives; lets go of the steps however the block ends.
struct Recording {
  explicit Recording(TensorOps& ops) : ops(ops) { ops.recording = true; }
  ~Recording() {
    ops.recording = false;
    ops.forget();
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  TensorOps& ops;
};

}  // namespace

void Interpreter::Impl::run_learn(const Stmt& stmt) {
  const LearnDecl& learn = *stmt.learn;
  if (ops.recording) fail_at(stmt.place, "a learn block inside of a learn block");
  if (!learn.objective) fail_at(stmt.place, "not supported yet: a learn block without an objective");
  const Table optimizer = settings(*this, optimizers(), learn.optimizer, learn.optimizer_settings, learn.optimizer_place);
  Table scheduler;
  if (!learn.scheduler.empty())
    scheduler = settings(*this, schedulers(), learn.scheduler, learn.scheduler_settings, learn.optimizer_place);
  const std::int64_t epochs =
      at_place(learn.epochs->place, [&] { return integer(eval(*learn.epochs), "the number of epochs"); });
  std::vector<Parameter> parameters = Parameters(*this).found;
  if (parameters.empty())
    fail_at(stmt.place, "there is no learnable tensor to train; declare one: tensor w: float16[2] learnable = ...");
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const Recording recording(ops);
    if (run_statements(learn.body, nullptr) != Flow::normal)
      fail_at(stmt.place, "'break', 'continue' or 'return' leaves the learn block");
    const Datum value = eval(*learn.objective);
    const auto* loss = value.as<TensorPtr>();
    if (loss == nullptr || (*loss)->data.size() != 1) {
      fail_at(learn.objective->place, "the objective must be a tensor of one element, this is {}; use mean or sum",
              type_name(value));
    }
    if (!(*loss)->node)
      fail_at(learn.objective->place, "the objective depends on no learnable tensor; compute it inside of the learn block");
    const Gradients all = at_place(learn.objective->place, [&] { return gradients(ops, *loss); });
    const double rate = scheduled(learn.scheduler, scheduler, optimizer.at("lr"), epoch - 1, epochs);
    double square = 0;
    for (Parameter& p : parameters) {
      const auto found = all.find(p.box.get());
      if (found == all.end()) continue;
      const Tensor& g = found->second->data;
      for (std::int64_t i = 0; i < g.size(); ++i) square += g.number_at(i) * g.number_at(i);
      update(p, g, learn.optimizer, optimizer, rate, epoch);
    }
    err(fmt::format("Epoch {:3}/{}: Loss = {:.6f}, Grad Norm: {:.6f}\n", epoch, epochs, (*loss)->data.number_at(0),
                    std::sqrt(square)));
  }
  for (const Parameter& p : parameters) err(fmt::format("{} = {}\n", p.name, to_text(p.box)));
}

}  // namespace tl::lang
