#include "aws/page.h"

#include "base/digest.h"

namespace watari::aws {
namespace {

constexpr std::size_t kCheckDigits = 16;

// Ties a token to its operation and scope, and tells a mangled one from a good one.
std::string check_of(const Call& call, std::string_view position) {
  return sha256_hex(fmt::format("page\n{}\n{}\n{}", call.scope.key(), call.operation, position)).substr(0, kCheckDigits);
}

}  // namespace

std::string make_page_token(const Call& call, std::string_view position) {
  return base64(check_of(call, position) + std::string(position));
}

std::string newest_first(Time at, std::string_view id) {
  return fmt::format("{:015}-{}", 999'999'999'999'999 - at.time_since_epoch().count(), id);
}

std::string turned(std::string key) {
  for (char& byte : key) byte = static_cast<char>(~byte);
  return key;
}

Result<std::string> read_page_token(const Call& call, std::string_view token, std::string_view error_name) {
  std::string plain;
  if (base64_decode(token, plain) && plain.size() >= kCheckDigits) {
    auto position = plain.substr(kCheckDigits);
    if (plain.substr(0, kCheckDigits) == check_of(call, position)) return position;
  }
  return error(std::string(error_name), "The pagination token is not valid. Pass the one that the previous page of {} returned.",
               call.operation);
}

}  // namespace watari::aws
