// AddressSanitizer's operator new ends the process where memory is lacking. The tests of hostile sizes want std::bad_alloc, as
// it is without the sanitizer.
#if defined(__SANITIZE_ADDRESS__)
#include <cstddef>
#include <cstdlib>
#include <new>

void* operator new(std::size_t size) {
  constexpr std::size_t most = std::size_t{1} << 31;
  void* memory = size <= most ? std::malloc(size == 0 ? 1 : size) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
