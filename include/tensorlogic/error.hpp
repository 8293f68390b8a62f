#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace tl {

enum class ErrorKind {
  invalid_argument,  // the caller's value is wrong
  not_found,         // a file, tensor, function or feature of that name does not exist
  io,                // the operating system refused a read or write
  bad_file,          // the bytes break the rules of their format
  bad_model,         // the bytes parse, the program they hold is wrong
  unsupported,       // valid, and not offered here
  limit,             // a budget (memory, depth, fuel) is exhausted
  script,            // a script stopped with an error
  internal,          // a fault of this library
};

std::string_view to_string(ErrorKind kind) noexcept;

// The one exception type of the library. `what()` is "where: message"; `where` is a path such as
// "resnet.mlpackage: function 'main': op 'conv_3'", and grows outward while the error travels up.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string where = {});

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& where() const noexcept { return where_; }
  const char* what() const noexcept override { return what_.c_str(); }

  // The same error with `outer` put before `where`.
  Error within(std::string_view outer) const;

 private:
  ErrorKind kind_;
  std::string message_;
  std::string where_;
  std::string what_;
};

}  // namespace tl
