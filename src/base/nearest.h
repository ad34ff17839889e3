#pragma once
// "did you mean": the known word that somebody likely wanted to write.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace watari {

// How many letters must change, come or go to make `b` of `a` (Levenshtein's distance).
inline std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto corner = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, corner + (a[i - 1] == b[j - 1] ? 0 : 1)});
      corner = above;
    }
  }
  return row.back();
}

// " (did you mean X?)" with the word of `known` that at most two edits make of `word`, with `before` in front of it; "" when there is none.
template <class Words>
std::string did_you_mean(std::string_view word, const Words& known, std::string_view before = "") {
  std::string best;
  std::size_t least = 3;
  for (const auto& each : known)
    if (auto far = edits_between(word, each); far < least && far < word.size()) {
      least = far;
      best = each;
    }
  return best.empty() ? best : " (did you mean " + std::string(before) + best + "?)";
}

}  // namespace watari
