#include "builder/package_lists.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/strings.h"
#include "codec/json.h"

namespace watari::builder {

using codec::Json;

std::string Package::purl() const {
  // A namespace of npm ("@scope/name") and Go's paths keep their slashes.
  std::string path;
  for (const auto& part : split(name, '/')) path += (path.empty() ? "" : "/") + percent_encode(part);
  return fmt::format("pkg:{}/{}{}@{}{}{}", type, type == "apk" ? "alpine/" : distribution.empty() ? "" : percent_encode(distribution) + "/", path, percent_encode(version), qualifiers.empty() ? "" : "?", qualifiers);
}

ListKind list_kind(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto name = path.substr(slash + 1), directory = slash == path.npos ? std::string_view() : path.substr(0, slash);
  if (path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed") return ListKind::Apk;
  if (path == "usr/lib/sysimage/rpm/rpmdb.sqlite" || path == "usr/share/rpm/rpmdb.sqlite" || path == "var/lib/rpm/rpmdb.sqlite") return ListKind::Rpm;
  if (name.ends_with(".gemspec") && (directory.ends_with("/specifications") || directory.ends_with("/specifications/default"))) return ListKind::Gemspec;
  if (name == "METADATA" && directory.ends_with(".dist-info")) return ListKind::PythonMetadata;
  // Packages bring the lists of their own developers along, which say nothing about the image.
  const bool inside = directory.contains("/gems/") || directory.contains("/site-packages") || directory.contains("/dist-packages");
  if (!inside && name == "Gemfile.lock") return ListKind::GemfileLock;
  if (!inside && name == "package-lock.json") return ListKind::NpmLock;
  if (!inside && name == "yarn.lock") return ListKind::YarnLock;
  if (!inside && name.starts_with("requirements") && name.ends_with(".txt")) return ListKind::PythonRequirements;
  if (directory.empty() || directory == "bin" || directory == "sbin" || directory.ends_with("/bin") || directory.ends_with("/sbin")) return ListKind::GoProgram;
  return ListKind::None;
}

namespace {

using Packages = std::vector<Package>;

// Source: https://wiki.alpinelinux.org/wiki/Apk_spec (P: name, V: version, A: architecture; paragraphs)
Packages apk(std::string_view text) {
  Packages out;
  Package current{.type = "apk"};
  for (const auto& line : split(std::string(text) + "\n", '\n')) {
    if (line.starts_with("P:")) current.name = line.substr(2);
    if (line.starts_with("V:")) current.version = line.substr(2);
    if (line.starts_with("A:")) current.qualifiers = "arch=" + line.substr(2);
    if (!line.empty()) continue;
    if (!current.name.empty() && !current.version.empty()) out.push_back(current);
    current = {.type = "apk"};
  }
  return out;
}

// "    rails (7.1.2)" below "  specs:" of the sections GEM, PATH and GIT; deeper lines are what those ask for.
Packages gemfile_lock(std::string_view text) {
  Packages out;
  bool specs = false;
  for (const auto& line : split(text, '\n')) {
    if (!line.starts_with(' ')) specs = false;
    if (trim(line) == "specs:") specs = true;
    const auto open = line.find(" ("), close = line.rfind(')');
    if (!specs || !line.starts_with("    ") || line.starts_with("     ") || open == line.npos || close == line.npos || close < open) continue;
    auto version = line.substr(open + 2, close - open - 2);
    // "1.16.0-x86_64-linux" is 1.16.0 for a platform.
    const auto dash = version.find('-');
    out.push_back({"gem", line.substr(4, open - 4), version.substr(0, dash), dash == version.npos ? "" : "platform=" + version.substr(dash + 1)});
  }
  return out;
}

// "rails-7.1.2.gemspec", "nokogiri-1.16.0-x86_64-linux.gemspec": the version begins behind the first dash that a digit follows and whose part
// looks like one.
Packages gemspec(std::string_view path) {
  auto name = std::string(path.substr(path.rfind('/') + 1));
  name.resize(name.size() - std::string_view(".gemspec").size());
  for (auto dash = name.find('-'); dash != name.npos; dash = name.find('-', dash + 1)) {
    const auto rest = name.substr(dash + 1);
    const auto version = rest.substr(0, rest.find('-'));
    if (version.empty() || !std::isdigit(static_cast<unsigned char>(version[0])) || !version.contains('.')) continue;
    return {{"gem", name.substr(0, dash), version, rest.size() > version.size() ? "platform=" + rest.substr(version.size() + 1) : ""}};
  }
  return {};
}

// Versions 2 and 3 have "packages", by their places; version 1 has "dependencies", one in the other.
void npm_dependencies(const Json& list, Packages& out, int depth) {
  for (const auto& [name, each] : list.as_object()) {
    if (each["version"].is_string()) out.push_back({"npm", name, each["version"].as_string()});
    if (each["dependencies"].is_object() && depth < 50) npm_dependencies(each["dependencies"], out, depth + 1);
  }
}

Packages npm_lock(std::string_view text) {
  constexpr std::string_view kPlace = "node_modules/";
  Packages out;
  auto json = codec::parse_json(std::string(text));
  if (!json || !json->is_object()) return out;
  if (!(*json)["packages"].is_object()) {
    if ((*json)["dependencies"].is_object()) npm_dependencies((*json)["dependencies"], out, 0);
    return out;
  }
  for (const auto& [place, each] : (*json)["packages"].as_object()) {
    const auto at = place.rfind(kPlace);
    if (at != place.npos && each["version"].is_string()) out.push_back({"npm", place.substr(at + kPlace.size()), each["version"].as_string()});
  }
  return out;
}

// `"@babel/core@^7.0.0", "@babel/core@^7.1.0":` and then `  version "7.23.2"`; yarn 2 writes `  version: 7.23.2`.
Packages yarn_lock(std::string_view text) {
  Packages out;
  std::string name;
  for (const auto& line : split(text, '\n')) {
    if (!line.empty() && line[0] != ' ' && line[0] != '#' && line.ends_with(':')) {
      auto first = line.substr(line[0] == '"' ? 1 : 0);
      const auto at = first.find('@', 1);
      name = at == first.npos ? "" : first.substr(0, at);
    } else if (auto word = trim(line); !name.empty() && word.starts_with("version")) {
      auto version = std::string(trim(word.substr(7)));
      std::erase_if(version, [](char c) { return c == '"' || c == ':' || c == ' '; });
      if (!version.contains("use.local")) out.push_back({"npm", name, version});
      name.clear();
    }
  }
  return out;
}

// Names of PyPI are the same whatever their case and separators. Source: PEP 503
std::string pypi_name(std::string_view name) {
  std::string out;
  for (char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (!separator || !out.ends_with('-')) out += separator ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

Packages python_metadata(std::string_view text) {
  Package package{.type = "pypi"};
  for (const auto& line : split(text.substr(0, 65536), '\n')) {
    if (trim(line).empty()) break;
    if (line.starts_with("Name:") && package.name.empty()) package.name = pypi_name(trim(std::string_view(line).substr(5)));
    if (line.starts_with("Version:") && package.version.empty()) package.version = trim(std::string_view(line).substr(8));
  }
  return package.name.empty() || package.version.empty() ? Packages() : Packages{package};
}

// Only what is nailed to one version: "flask[async]==3.0.0 ; python_version > '3'".
Packages python_requirements(std::string_view text) {
  Packages out;
  for (const auto& line : split(text, '\n')) {
    const auto equals = line.find("==");
    if (equals == line.npos || line.starts_with('#') || line.starts_with('-')) continue;
    auto version = line.substr(equals + 2);
    version.resize(std::min(version.find_first_of(" ;,#\\\r\t"), version.size()));
    auto name = trim(std::string_view(line).substr(0, std::min(line.find('['), equals)));
    if (!version.empty() && version[0] != '=' && !version.contains('*') && !name.empty() && name.find_first_of(" <>~!") == name.npos)
      out.push_back({"pypi", pypi_name(name), version});
  }
  return out;
}

}  // namespace

namespace {

std::optional<std::uint32_t> number_at(std::string_view bytes, std::size_t at) {
  if (at > bytes.size() || bytes.size() - at < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (char each : bytes.substr(at, 4)) value = value << 8 | static_cast<unsigned char>(each);
  return value;
}

}  // namespace

// Two numbers, how many entries and how many bytes of data; the entries (tag, type, offset, count); the data. Big endian.
std::optional<Package> package_of_rpm_header(std::string_view header) {
  constexpr std::uint32_t kName = 1000, kVersion = 1001, kRelease = 1002, kEpoch = 1003, kLicense = 1014, kArchitecture = 1022;
  constexpr std::uint32_t kInt32 = 4, kString = 6, kI18nString = 9;
  constexpr std::size_t kEntry = 16;
  const auto entries = number_at(header, 0), size = number_at(header, 4);
  if (!entries || !size || *entries > header.size() / kEntry || 8 + *entries * kEntry > header.size()) return std::nullopt;
  const auto data = header.substr(8 + *entries * kEntry).substr(0, *size);
  std::map<std::uint32_t, std::string> found;
  for (std::size_t at = 8; at < 8 + *entries * kEntry; at += kEntry) {
    const auto tag = *number_at(header, at), type = *number_at(header, at + 4), offset = *number_at(header, at + 8);
    if (offset >= data.size()) continue;
    const auto text = data.substr(offset);
    if (type == kInt32 && number_at(text, 0)) found[tag] = std::to_string(*number_at(text, 0));
    if (type == kString || type == kI18nString) found[tag] = text.substr(0, text.find('\0'));
  }
  if (found[kName].empty() || found[kVersion].empty() || found[kRelease].empty() || found[kName] == "gpg-pubkey") return std::nullopt;
  Package package{.type = "rpm", .name = found[kName], .version = found[kVersion] + "-" + found[kRelease], .license = found[kLicense]};
  if (!found[kArchitecture].empty()) package.qualifiers = "arch=" + percent_encode(found[kArchitecture]);
  if (!found[kEpoch].empty()) package.qualifiers += (package.qualifiers.empty() ? "epoch=" : "&epoch=") + found[kEpoch];
  return package;
}

Packages packages_of_go_program(std::string_view text) {
  Packages out;
  bool replaced = false;
  for (const auto& line : split(text, '\n')) {
    auto words = split(line, '\t');
    const bool module = words.size() >= 3 && (words[0] == "dep" || words[0] == "mod");
    // "=>" stands below the module that it takes the place of.
    if (words.size() >= 3 && words[0] == "=>" && !out.empty() && !replaced) {
      out.back() = {"golang", words[1], words[2]};
      replaced = true;
    }
    if (!module) continue;
    out.push_back({"golang", words[1], words[2]});
    replaced = false;
  }
  std::erase_if(out, [](const Package& each) { return each.name.empty() || each.version.empty() || each.version == "(devel)"; });
  return out;
}

namespace {
Packages packages_as_written(ListKind kind, std::string_view path, std::string_view text) {
  switch (kind) {
    case ListKind::Apk: return apk(text);
    case ListKind::GemfileLock: return gemfile_lock(text);
    case ListKind::Gemspec: return gemspec(path);
    case ListKind::NpmLock: return npm_lock(text);
    case ListKind::YarnLock: return yarn_lock(text);
    case ListKind::PythonMetadata: return python_metadata(text);
    case ListKind::PythonRequirements: return python_requirements(text);
    case ListKind::Rpm:
    case ListKind::GoProgram:
    case ListKind::None: return {};
  }
  return {};
}
}  // namespace

Packages packages_in(ListKind kind, std::string_view path, std::string_view text) {
  auto out = packages_as_written(kind, path, text);
  std::erase_if(out, [](const Package& each) { return each.name.empty() || each.version.empty(); });
  return out;
}

}  // namespace watari::builder
