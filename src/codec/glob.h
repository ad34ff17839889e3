#pragma once
// Shell patterns, as .dockerignore, COPY and ${x#pattern} know them. Pure.
#include <string_view>

namespace watari::codec {

// Pattern (* ? [a-z] [^x] \x) against the whole text; '*', '?' and sets do not match '/' when `path` is set. No pattern takes longer
// than its length times the text's.
bool matches_pattern(std::string_view pattern, std::string_view text, bool path);

// Whether a [ has no ] behind it: no pattern.
bool has_open_set(std::string_view pattern);

}  // namespace watari::codec
