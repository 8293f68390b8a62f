#pragma once

#include <string>
#include <vector>

namespace tl::insight {

// Groups for a row of names that tell where they come from ("encoder_layer_0_attention_query_weight", "encoder/layer_0/mul",
// empty: unknown): for each the titles of the groups around it, outermost first. Names are cut at '/', '.' and '_'; parts of a
// chain without branches make one group; a name without a place of its own joins the group that its neighbours share.
std::vector<std::vector<std::string>> scopes_of(const std::vector<std::string>& names);

}  // namespace tl::insight
