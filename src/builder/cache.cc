#include "builder/cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/digest.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

Result<StepCache> StepCache::open(fs::path directory) {
  std::error_code problem;
  fs::create_directories(directory / "last", problem);
  if (!problem) fs::create_directories(directory / "at", problem);
  if (problem) return fail(Code::Internal, "create {}: {}", directory.string(), problem.message());
  return StepCache(std::move(directory));
}

std::string StepCache::key_of(const Json& inputs) { return sha256_hex(inputs.dump()); }

fs::path StepCache::file_of(const std::string& key, std::string_view kind) const {
  return directory_ / key.substr(0, 2) / fmt::format("{}.{}", key, kind);
}

std::string StepCache::last_key(const std::string& slot) const {
  auto key = sys::read_file(directory_ / "last" / slot);
  return key && key->size() == 64 ? *key : "";
}

namespace {

// Two builds may make the same entry, and a third party may collect it: one at a time.
std::mutex& writing() {
  static std::mutex mutex;
  return mutex;
}

Seconds age_of(const fs::path& path, Time now) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? std::chrono::floor<Seconds>(now - Time(Seconds(info.st_mtime))) : Seconds(0);
}

}  // namespace

std::optional<CachedStep> StepCache::find(const std::string& key) const {
  auto path = file_of(key, "json");
  auto text = sys::read_file(path);
  if (!text) return std::nullopt;
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  auto json = codec::parse_json(*text);
  if (!json) return std::nullopt;
  CachedStep step;
  step.created = (*json)["created"].as_string();
  const Json& layer = (*json)["layer"];
  if (layer.is_object())
    step.layer = oci::Layer{layer["diffId"].as_string(), layer["digest"].as_string(), layer["size"].as_int(), layer["mediaType"].as_string()};
  return step;
}

Result<void> StepCache::put(const Json& inputs, const StepNote& note, const CachedStep& step, const LayerContents& contents) const {
  std::lock_guard lock(writing());
  auto text = inputs.dump();
  auto key = sha256_hex(text);
  auto entry = Json::object({{"created", step.created}});
  if (step.layer)
    entry.set("layer", Json::object({{"diffId", step.layer->diff_id}, {"digest", step.layer->digest}, {"size", step.layer->size},
                                     {"mediaType", step.layer->media_type}}));
  std::error_code ignored;
  fs::create_directory(directory_ / key.substr(0, 2), ignored);
  TRY_VOID(sys::replace_file(file_of(key, "inputs"), Json::object({{"inputs", inputs}, {"below", note.below}}).dump()));
  if (!contents.empty()) {
    std::string files;
    for (const auto& [path, content] : contents) files.append(content).append(1, '\0').append(path).append(1, '\0');
    TRY_VOID(sys::replace_file(file_of(key, "files"), files));
  }
  TRY_VOID(sys::replace_file(file_of(key, "json"), entry.dump()));
  TRY_VOID(sys::replace_file(directory_ / "at" / note.place, note.instruction));
  return sys::replace_file(directory_ / "last" / note.slot, key);
}

std::optional<std::pair<oci::Layer, LayerContents>> StepCache::last(const std::string& slot) const {
  auto key = last_key(slot);
  auto step = key.empty() ? std::nullopt : find(key);
  auto files = key.empty() ? fail(Code::NotFound, "none") : sys::read_file(file_of(key, "files"));
  if (!step || !step->layer || !files) return std::nullopt;
  LayerContents contents;
  for (std::string_view rest = *files; !rest.empty();) {
    auto content = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(content.size() + 1, rest.size()));
    auto path = rest.substr(0, rest.find('\0'));
    if (path.size() == rest.size()) return std::nullopt;  // cut off
    rest.remove_prefix(path.size() + 1);
    contents.emplace(path, content);
  }
  return std::pair(*step->layer, std::move(contents));
}

bool StepCache::collect_entry(const std::string& key, const Collection& what) const {
  std::lock_guard lock(writing());
  const auto json = file_of(key, "json");
  // Half an entry is what a power cut left, or what is just being written.
  const auto age = age_of(fs::exists(json) ? json : file_of(key, "inputs"), what.now);
  if (age < std::max(what.age, Seconds(24 * 3600))) return false;
  auto text = sys::read_file(json);
  auto entry = text ? codec::parse_json(*text) : fail(text.error());
  const bool useful = entry && (*entry)["layer"].is_object() && what.has_layer((*entry)["layer"]["diffId"].as_string());
  if (what.dry_run) return !useful;
  std::error_code ignored;
  for (const char* kind : {"files", "inputs"}) fs::remove(file_of(key, kind), ignored);
  if (!useful) fs::remove(json, ignored);
  return !useful;
}

std::size_t StepCache::collect(const Collection& what) const {
  std::error_code ignored;
  std::size_t count = 0;
  for (const auto& shelf : fs::directory_iterator(directory_, ignored)) {
    if (shelf.path().filename().native().size() != 2) continue;
    std::set<std::string> keys;
    for (const auto& each : fs::directory_iterator(shelf.path(), ignored))
      if (auto key = each.path().stem().string(); key.size() == 64) keys.insert(std::move(key));
    for (const auto& key : keys) count += collect_entry(key, what) ? 1 : 0;
  }
  // What these say helps explanations only.
  const auto old = std::max(what.age, Seconds(30 * 24 * 3600));
  for (const char* notes : {"last", "at"})
    for (const auto& each : fs::directory_iterator(directory_ / notes, ignored))
      if (!what.dry_run && age_of(each.path(), what.now) >= old) fs::remove(each.path(), ignored);
  return count;
}

namespace {

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 5; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > 5) text += " and " + std::to_string(names.size() - 5) + " more";
  return text;
}

// Members that differ between two objects: "changed: a, b; new: c; gone: d".
std::string compare_members(const Json& before, const Json& now) {
  std::vector<std::string> changed, added, gone;
  std::map<std::string_view, const Json*> old;
  for (const auto& [name, value] : before.as_object()) old.emplace(name, &value);
  for (const auto& [name, value] : now.as_object()) {
    auto found = old.find(name);
    if (found == old.end()) added.push_back(name);
    else if (*found->second != value) changed.push_back(name);
    if (found != old.end()) old.erase(found);
  }
  for (const auto& [name, value] : old) gone.emplace_back(name);
  std::string text;
  auto say = [&](std::string_view what, const std::vector<std::string>& names) {
    if (!names.empty()) text += (text.empty() ? "" : "; ") + std::string(what) + " " + list_of(names);
  };
  say("changed:", changed);
  say("new:", added);
  say("gone:", gone);
  return text;
}

}  // namespace

std::string difference(const Json& before, const Json& now) {
  static const std::map<std::string_view, std::string_view> kWords{
      {"below", "the layers below it are others"}, {"command", "the command is another"}, {"destination", "the destination is another"},
      {"owner", "the owner is another"},           {"mode", "the mode is another"},       {"user", "the user is another"},
      {"directory", "the working directory is another"}, {"files", "files"},            {"environment", "environment"},
      {"mounts", "what it mounts is different"}};
  std::string text;
  auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  for (const auto& [name, value] : now.as_object()) {
    if (before[name] == value) continue;
    auto found = kWords.find(name);
    std::string word(found == kWords.end() ? std::string_view(name) : found->second);
    if (value.is_object() && before[name].is_object()) add(word + " " + compare_members(before[name], value));
    else add(found == kWords.end() ? word + " is another" : word);
  }
  return text;
}

namespace {

std::pair<std::string, std::string> halves(const std::string& text) {
  auto space = std::min(text.find(' '), text.size());
  return {text.substr(0, space), text.substr(std::min(space + 1, text.size()))};
}

// Which base or which step above is not what it was.
std::string difference_below(const Json& before, const Json& now) {
  const auto &old = before.as_array(), &fresh = now.as_array();
  for (std::size_t i = 0; i < fresh.size() && i < old.size(); ++i) {
    if (old[i] == fresh[i]) continue;
    if (i > 0) return fmt::format("the layer of `{}` above it is another", halves(fresh[i].as_string()).second);
    auto [was_name, was] = halves(old[0].as_string());
    auto [name, is] = halves(fresh[0].as_string());
    return was_name == name ? fmt::format("the base {} is another: it was {}, it is {}", name, was.substr(0, 19), is.substr(0, 19))
                            : fmt::format("the base is another: it was {}, it is {}", was_name, name);
  }
  return old.size() == fresh.size() ? "" : "there are other steps above it";
}

}  // namespace

std::string StepCache::explain(const Json& inputs, const StepNote& note) const {
  auto key = last_key(note.slot);
  auto before = key.empty() ? fail(Code::NotFound, "none") : sys::read_file(file_of(key, "inputs")).and_then([](const std::string& text) { return codec::parse_json(text); });
  if (!before) {
    auto there = sys::read_file(directory_ / "at" / note.place);
    return there && *there != note.instruction ? fmt::format("the instruction is another: it was `{}`", *there) : "not built here before";
  }
  auto below = difference_below((*before)["below"], note.below);
  auto now = inputs;
  if (!below.empty()) now.set("below", (*before)["inputs"]["below"]);  // said better
  auto what = difference((*before)["inputs"], now);
  if (what.empty() && below.empty()) return "pruned: its layer is not in the store any more";
  return below + (below.empty() || what.empty() ? "" : "; ") + what;
}

}  // namespace watari::builder
