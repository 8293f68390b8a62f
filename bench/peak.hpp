#pragma once

namespace tl::bench {

// Floating-point operations a second of one thread that does nothing but multiply-adds of vectors.
double peak_flops();

}  // namespace tl::bench
