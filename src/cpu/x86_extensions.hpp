#pragma once

#include "base/knobs.hpp"

namespace tl::cpu {

// Extensions of AVX-512 that kernels ask for themselves, beside the target that they are compiled for. Level 3 of the knob
// `isa` leaves all of them out; the levels below it have no AVX-512.
#if defined(__x86_64__)
inline bool has_extensions() { return knob_value(Knob::isa) == 0; }
inline bool has_vnni() { return has_extensions() && __builtin_cpu_supports("avx512vnni"); }
inline bool has_vbmi() { return has_extensions() && __builtin_cpu_supports("avx512vbmi"); }
inline bool has_vbmi2() { return has_extensions() && __builtin_cpu_supports("avx512vbmi2"); }
inline bool has_bf16() { return has_extensions() && __builtin_cpu_supports("avx512bf16"); }
#else
inline bool has_vnni() { return false; }
inline bool has_vbmi() { return false; }
inline bool has_bf16() { return false; }
#endif

// Of kernels for products of bytes, those that this machine runs best: `vbmi` needs VNNI and VBMI, `vnni` needs VNNI. Both are
// null where they are not compiled for the target in use.
template <class Table>
const Table& best_for_bytes(const Table* plain, const Table* vnni, const Table* vbmi) {
  const Table* fast = !has_vnni() ? nullptr : has_vbmi() ? vbmi : vnni;
  return fast == nullptr ? *plain : *fast;
}

}  // namespace tl::cpu
