#include "registry/encoding.h"

#include <array>
#include <charconv>
#include <string>

#include "base/strings.h"

namespace watari::registry {

namespace {

// "zstd;q=0.5" -> its weight; 1 without one, 0 for what is malformed.
double weight_of(std::string_view item) {
  const auto semicolon = item.find(';');
  if (semicolon == item.npos) return 1;
  const auto parameter = to_lower(trim(item.substr(semicolon + 1)));
  if (!parameter.starts_with("q=")) return 0;
  double out = 0;
  const auto end = parameter.data() + parameter.size();
  const auto [at, error] = std::from_chars(parameter.data() + 2, end, out, std::chars_format::fixed);
  return error == std::errc() && at == end && out >= 0 && out <= 1 ? out : 0;
}

}  // namespace

codec::Compression choose_encoding(std::string_view accept_encoding, bool near) {
  constexpr std::array<codec::Compression, 3> kForms{codec::Compression::Zstd, codec::Compression::Gzip, codec::Compression::None};
  constexpr std::array<std::string_view, 3> kNames{"zstd", "gzip", "identity"};
  std::array<double, 3> weights{-1, -1, -1};
  double others = -1;  // of "*"
  for (const auto& item : split(accept_encoding, ',')) {
    const auto name = to_lower(trim(std::string_view(item).substr(0, item.find(';'))));
    if (name == "*") others = weight_of(item);
    for (std::size_t i = 0; i < kNames.size(); ++i)
      if (name == kNames[i] || (name == "x-gzip" && kNames[i] == "gzip")) weights[i] = weight_of(item);
  }
  // Unless it is refused, identity is taken whether it is named or not; named, it competes. "*" alone names nobody's wish for one of them.
  const bool plain_refused = weights[2] == 0 || (weights[2] < 0 && others == 0);
  if (near && !plain_refused) return codec::Compression::None;
  auto best = codec::Compression::None;
  double best_weight = plain_refused ? 0 : weights[2];
  for (std::size_t i : {1, 0}) {
    const auto weight = weights[i] < 0 && plain_refused ? others : weights[i];
    if (weight <= 0 || weight < best_weight) continue;
    best = kForms[i];
    best_weight = weight;
  }
  return best;
}

}  // namespace watari::registry
