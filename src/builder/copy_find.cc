// The files that the words of a COPY name.
#include <algorithm>

#include "builder/copy_walk.h"
#include "builder/expand.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

bool has_wildcard(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

std::string unescaped(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\' && i + 1 < part.size()) ++i;
    out += part[i];
  }
  return out;
}

// Paths below `at` (relative to root) that match the pattern parts from `index` on.
Result<void> match_parts(const fs::path& root, const std::string& at, const std::vector<std::string>& parts, std::size_t index,
                         std::vector<std::string>& found) {
  if (index == parts.size()) {
    found.push_back(at);
    return {};
  }
  auto below = [&](const std::string& name) { return at.empty() ? name : at + "/" + name; };
  if (!has_wildcard(parts[index])) {
    auto next = below(unescaped(parts[index]));
    if (resolve_in_root(root, next)) return match_parts(root, next, parts, index + 1, found);
    return {};
  }
  auto real = resolve_in_root(root, at);
  if (!real || !fs::is_directory(root / *real)) return {};
  TRY(auto names, names_in(root / *real));
  for (const auto& name : names)
    if (matches_pattern(parts[index], name, true)) TRY_VOID(match_parts(root, below(name), parts, index + 1, found));
  return {};
}

}  // namespace

Result<std::vector<Source>> find_sources(const fs::path& root, const std::vector<std::string>& patterns) {
  std::vector<Source> sources;
  for (const auto& pattern : patterns) {
    std::vector<std::string> found;
    if (codec::has_open_set(pattern)) return fail(Code::InvalidArgument, "`{}` has a [ without its ]; write \\[ for the character", pattern);
    TRY_VOID(match_parts(root, "", clean_parts(pattern), 0, found));
    if (found.empty() && !has_wildcard(pattern))
      return fail(Code::NotFound, "no file `{}`; it is relative to the context, less what .dockerignore leaves out", pattern);
    for (const auto& each : found) {
      TRY(auto real, resolve_in_root(root, each));
      auto path = real.empty() ? root : root / real;
      auto name = fs::path(each).filename().string();
      sources.push_back({path, name, fs::is_directory(path)});
    }
  }
  return sources;
}

Result<std::vector<Source>> find_with_parents(const fs::path& root, const std::string& pattern) {
  auto pivot = pattern.find("/./");
  auto below = clean_path(pivot == std::string::npos ? pattern : pattern.substr(pivot + 3));
  TRY(auto bases, find_sources(root, {pivot == std::string::npos ? "/" : pattern.substr(0, pivot)}));
  std::erase_if(bases, [](const Source& base) { return !base.directory; });
  for (auto& base : bases) {
    if (!has_wildcard(below) && !resolve_in_root(base.path, below))
      return fail(Code::NotFound, "no file `{}`; it is relative to the context, less what .dockerignore leaves out", pattern);
    if (below.empty()) continue;
    TRY(base.selection.include, codec::IgnoreRules::parse(below, "--parents"));
  }
  return bases;
}

}  // namespace watari::builder
