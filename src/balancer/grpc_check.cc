#include "balancer/grpc_check.h"

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += fmt::format("{:02X}", static_cast<unsigned char>(c));
  return out;
}

// RFC 7541, 5.1: an integer whose first byte has `bits` left for it, and `flags` in the others.
std::string number(std::size_t value, int bits, unsigned flags) {
  std::size_t most = (1U << bits) - 1;
  if (value < most) return {static_cast<char>(flags | value)};
  std::string out{static_cast<char>(flags | most)};
  for (value -= most; value >= 128; value /= 128) out += static_cast<char>(value % 128 | 128);
  return out + static_cast<char>(value);
}

std::string text(std::string_view value) { return number(value.size(), 7, 0) + std::string(value); }

// Literal header fields that are not to be remembered, by the name's place in the static table or in full (RFC 7541, 6.2.2).
std::string field(std::size_t name, std::string_view value) { return number(name, 4, 0) + text(value); }
std::string field(std::string_view name, std::string_view value) { return std::string(1, '\0') + text(name) + text(value); }

std::string frame(char kind, char flags, char stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  return out + kind + flags + std::string(3, '\0') + stream + std::string(payload);
}

std::string call(const std::string& path, const std::string& host, bool secure) {
  constexpr char kData = 0, kHeaders = 1, kSettings = 4, kEndStream = 1, kEndHeaders = 4;
  constexpr std::size_t kAuthority = 1, kPath = 4, kContentType = 31, kUserAgent = 58;
  std::string method_post = "\x83", scheme = secure ? "\x87" : "\x86";
  auto headers = method_post + scheme + field(kPath, path) + field(kAuthority, host) + field(kContentType, "application/grpc") +
                 field(kUserAgent, "ELB-HealthChecker/2.0") + field("te", "trailers");
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, "") + frame(kHeaders, kEndHeaders, 1, headers) +
         frame(kData, kEndStream, 1, std::string(5, '\0'));
}

// Digits in the code of RFC 7541, appendix B.
std::string huffman(std::string_view digits) {
  constexpr std::string_view kCodes[] = {"00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"};
  std::string bits, out;
  for (char digit : digits) bits += kCodes[digit - '0'];
  while (bits.size() % 8 != 0) bits += '1';
  for (std::size_t i = 0; i < bits.size(); i += 8) out += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
  return out;
}

// A value as it may stand in an answer: as it is, or in Huffman's code.
std::string either(const std::string& plain, const std::string& packed) {
  return hex(number(plain.size(), 7, 0) + plain) + "|" + hex(number(packed.size(), 7, 0x80) + packed);
}

}  // namespace

std::string grpc_check(const std::string& path, const std::string& host, const std::string& codes, bool secure) {
  // The first answer on a connection: no name or value can be a reference to an earlier one.
  auto status = "(" + either("grpc-status", "\x9a\xca\xc8\xb2\x12\x34\xda\x8f") + ")";
  std::vector<std::string> good;
  for (const auto& part : split(codes, ',')) {
    auto ends = split(part, '-');
    int from = parse_number<int>(ends.front()).value_or(0), to = parse_number<int>(ends.back()).value_or(from);
    for (int code = from; code <= to && code < 100; ++code) good.push_back(either(std::to_string(code), huffman(std::to_string(code))));
  }
  std::string out = "  option tcp-check\n  tcp-check connect default\n";
  constexpr std::size_t kLine = 1000;  // HAProxy reads lines of 2 KiB
  auto bytes = hex(call(path, host, secure));
  for (std::size_t at = 0; at < bytes.size(); at += kLine) out += "  tcp-check send-binary " + bytes.substr(at, kLine) + "\n";
  return out + "  tcp-check expect rbinary '" + status + "(01..|02....|81..|82....)'\n" +
         "  tcp-check expect min-recv 1 error-status L7STS rbinary '" + status + "(" + join(good, "|") + ")'\n";
}

}  // namespace watari::balancer
