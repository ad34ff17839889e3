#pragma once
// Result<T>: a value or an Error. Exceptions are for bugs; a library that throws is caught in the one file that includes it.
#include <fmt/format.h>

#include <tl/expected.hpp>
#include <utility>

#include "base/error.h"

namespace watari {

template <class T>
using Result = tl::expected<T, Error>;

inline auto fail(Error error) { return tl::make_unexpected(std::move(error)); }

// fail(Code::NotFound, "no image {} here; `watari images` lists them", name)
template <class... Args>
auto fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace watari

#define WATARI_CONCAT_(a, b) a##b
#define WATARI_CONCAT(a, b) WATARI_CONCAT_(a, b)

// TRY(auto image, store.find(name));  binds the value or returns the error from the enclosing function.
#define TRY(declaration, ...) TRY_(WATARI_CONCAT(result_, __COUNTER__), declaration, __VA_ARGS__)
#define TRY_(name, declaration, ...)                                     \
  auto name = (__VA_ARGS__);                                             \
  if (!name) return ::watari::fail(std::move(name).error());             \
  declaration = *std::move(name)

// TRY_VOID(store.remove(name));  for a Result whose value is not needed.
#define TRY_VOID(...)                                                                          \
  do {                                                                                         \
    if (auto result_ = (__VA_ARGS__); !result_) return ::watari::fail(std::move(result_).error()); \
  } while (false)
