#pragma once

#include <string_view>

// The files of src/insight/assets/, put into the library by the build (embed.cmake).
namespace tl::insight::assets {

extern const std::string_view page_css, base_js, table_js, chart_js, graph_js, page_js;

}  // namespace tl::insight::assets
