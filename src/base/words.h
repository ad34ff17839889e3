#pragma once
// Words of a command line.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace watari {

// Words as a shell would split them: blanks separate, quotes and backslashes join; nothing is expanded. None: a quote is not closed.
std::optional<std::vector<std::string>> split_words(std::string_view text);

}  // namespace watari
