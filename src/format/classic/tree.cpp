#include <map>

#include "format/classic/stage.hpp"

namespace tl::format::classic {
namespace {

template <class T>
Blob list(const std::vector<T>& values) {
  return Emitter::literal(Tensor::of<T>({iz(values.size())}, std::span<const T>(values)));
}

// The nodes as parallel lists in the order of the file; children and roots are places in them.
Blob sums(Stage& stage, const spec::TreeEnsembleParameters& params) {
  using Node = spec::TreeEnsembleParameters::TreeNode;
  const std::int64_t outputs = checked_cast<std::int64_t>(params.numpredictiondimensions(), "numPredictionDimensions");
  if (outputs < 1 || outputs > 1 << 20) fail(ErrorKind::bad_model, "{} prediction dimensions", outputs);
  std::vector<double> base = doubles(params.basepredictionvalue());
  if (base.empty()) base.assign(uz(outputs), 0);
  if (iz(base.size()) != outputs) fail(ErrorKind::bad_model, "{} base values for {} dimensions", base.size(), outputs);
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::int32_t> places;
  for (const Node& node : params.nodes()) {
    if (!places.emplace(std::pair(node.treeid(), node.nodeid()), static_cast<std::int32_t>(places.size())).second)
      fail(ErrorKind::bad_model, "tree {}: node {} stands twice", node.treeid(), node.nodeid());
  }
  std::vector<std::int32_t> behavior, feature, yes, no, leaf_begin{0}, leaf_index, roots;
  std::vector<double> value, leaf_value;
  std::vector<std::int32_t> missing;
  std::vector<bool> is_child(places.size(), false);
  for (const Node& node : params.nodes()) {
    within([&] { return fmt::format("tree {}: node {}", node.treeid(), node.nodeid()); },
           [&] {
             const bool leaf = node.nodebehavior() == Node::LeafNode;
             const auto child = [&](std::uint64_t id) -> std::int32_t {
               if (leaf) return 0;
               const auto found = places.find({node.treeid(), id});
               if (found == places.end()) fail(ErrorKind::bad_model, "its child {} does not exist", id);
               is_child[uz(found->second)] = true;
               return found->second;
             };
             behavior.push_back(static_cast<std::int32_t>(node.nodebehavior()));
             feature.push_back(checked_cast<std::int32_t>(node.branchfeatureindex(), "feature index"));
             value.push_back(node.branchfeaturevalue());
             yes.push_back(child(node.truechildnodeid()));
             no.push_back(child(node.falsechildnodeid()));
             missing.push_back(node.missingvaluetrackstruechild() ? 1 : 0);
             for (const auto& info : node.evaluationinfo()) {
               if (!leaf) break;
               leaf_index.push_back(checked_cast<std::int32_t>(info.evaluationindex(), "evaluation index"));
               leaf_value.push_back(info.evaluationvalue());
             }
             leaf_begin.push_back(static_cast<std::int32_t>(leaf_index.size()));
           });
  }
  std::map<std::uint64_t, std::int32_t> root_of;
  for (int i = 0; i < params.nodes_size(); ++i) {
    if (is_child[static_cast<std::size_t>(i)]) continue;
    if (!root_of.emplace(params.nodes(i).treeid(), i).second)
      fail(ErrorKind::bad_model, "tree {} has several roots", params.nodes(i).treeid());
  }
  for (const Node& node : params.nodes()) {
    if (root_of.count(node.treeid()) == 0) fail(ErrorKind::bad_model, "tree {} has no root", node.treeid());
  }
  for (const auto& [tree, root] : root_of) roots.push_back(root);
  return stage.e.op("tl.tree_ensemble", {{"x", stage.features()},
                                         {"roots", list(roots)},
                                         {"behavior", list(behavior)},
                                         {"feature", list(feature)},
                                         {"value", list(value)},
                                         {"yes", list(yes)},
                                         {"no", list(no)},
                                         {"missing", list(missing)},
                                         {"leaf_begin", list(leaf_begin)},
                                         {"leaf_index", list(leaf_index)},
                                         {"leaf_value", list(leaf_value)},
                                         {"base", list(base)}});
}

Blob transformed(Stage& stage, const Blob& y, spec::TreeEnsemblePostEvaluationTransform transform) {
  switch (transform) {
    case spec::NoTransform: return y;
    case spec::Classification_SoftMax: return softmax(stage.e, y);
    case spec::Regression_Logistic: return stage.e.op("sigmoid", {{"x", y}});
    case spec::Classification_SoftMaxWithZeroClassReference: return softmax(stage.e, with_zero_first(stage.e, y));
    default: fail(ErrorKind::unsupported, "transform {} is not known", static_cast<int>(transform));
  }
}

}  // namespace

void translate(Stage& stage, const spec::TreeEnsembleRegressor& params) {
  stage.put(transformed(stage, sums(stage, params.treeensemble()), params.postevaluationtransform()));
}

void translate(Stage& stage, const spec::TreeEnsembleClassifier& params) {
  const Tensor labels = nn::class_labels(params);
  const Blob y = transformed(stage, sums(stage, params.treeensemble()), params.postevaluationtransform());
  const bool single = nn::dims_of(y)[0] == ir::Dim(1) && labels.size() == 2;
  stage.classify(single ? two_classes(stage.e, y) : y, labels);
}

}  // namespace tl::format::classic
