#pragma once

#include "op/direct_conv.hpp"

namespace tl::cpu {

op::DirectConv::Accumulate accumulate_kernel();

}  // namespace tl::cpu
