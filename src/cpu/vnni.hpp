#pragma once

namespace tl::cpu {

// Of kernels for products of bytes, those that this machine runs best: `vbmi` needs VNNI and VBMI, `vnni` needs VNNI. Both are
// null where they are not compiled for the target in use.
template <class Table>
const Table& best_for_bytes(const Table* plain, [[maybe_unused]] const Table* vnni, [[maybe_unused]] const Table* vbmi) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni")) {
    const Table* fast = __builtin_cpu_supports("avx512vbmi") ? vbmi : vnni;
    if (fast != nullptr) return *fast;
  }
#endif
  return *plain;
}

}  // namespace tl::cpu
