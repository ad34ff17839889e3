#pragma once
// Words of a Dockerfile: splitting them and expanding $variables in them. Pure functions, any thread.
// Source: https://docs.docker.com/reference/dockerfile/#environment-replacement
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/glob.h"

namespace watari::builder {

using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

// Splits at blanks outside of quotes; quotes and escapes stay in the words.
std::vector<std::string> split_words(std::string_view text, char escape);

// Removes quotes and escapes and replaces $x ${x} ${x:-y} ${x-y} ${x:+y} ${x+y} ${x:?y} ${x?y} ${x#p} ${x##p} ${x%p} ${x%%p}
// ${x/p/y} ${x//p/y}. An unset variable is empty. InvalidArgument says what is wrong in the word.
Result<std::string> expand_word(std::string_view word, const Lookup& lookup, char escape);

// Replaces variables and takes escapes away but leaves quotes as they are: the text of a here-document.
Result<std::string> expand_text(std::string_view text, const Lookup& lookup, char escape);

// `what` must not be empty.
std::string replaced_all(std::string text, std::string_view what, std::string_view by);

using codec::matches_pattern;

}  // namespace watari::builder
