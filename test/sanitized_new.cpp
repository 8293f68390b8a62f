// AddressSanitizer's operator new ends the process where memory is lacking. The tests of hostile sizes want std::bad_alloc, as
// it is without the sanitizer.
#if defined(__SANITIZE_ADDRESS__)
#include <cstddef>
#include <cstdlib>
#include <new>

void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  constexpr std::size_t most = std::size_t{1} << 31;
  return size <= most ? std::malloc(size == 0 ? 1 : size) : nullptr;
}
void* operator new(std::size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept { std::free(memory); }
#endif
