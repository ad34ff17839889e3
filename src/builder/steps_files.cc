// WORKDIR, COPY and ADD.
#include <algorithm>
#include <array>
#include <fstream>
#include <list>

#include "base/strings.h"
#include "builder/remote.h"
#include "builder/stage_build.h"
#include "codec/compress.h"
#include "codec/tar.h"
#include "oci/layer_tar.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

Result<void> StageBuild::workdir(const Instruction& instruction) {
  TRY(auto path, expanded(instruction.text));
  auto directory = "/" + clean_path(in_workdir(path));
  auto in = inputs("WORKDIR");
  in.set("directory", Json(directory)).set("user", Json(state_.config.user));
  TRY_VOID(layer_step({.instruction = instruction, .inputs = std::move(in), .make = [&](const fs::path& root, const fs::path&) -> Result<void> {
    Owner owner;
    if (!state_.config.user.empty()) {
      TRY(owner, find_owner(root, state_.config.user));
    }
    TRY_VOID(make_directories_in_root(root, directory, owner));
    return {};
  }, .directories = {}, .files = {}}));
  state_.config.working_dir = path.starts_with('/') ? path : directory;
  return {};
}

namespace {

bool is_on(const Flag* flag) { return flag && to_lower(flag->value) != "false"; }

// Whether the file is a tar, maybe compressed. Source: POSIX pax, "ustar" at offset 257.
Result<bool> is_tar(const fs::path& path) {
  auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  auto plain = codec::decompress_any([file](std::span<char> into) -> Result<std::size_t> {
    file->read(into.data(), static_cast<std::streamsize>(into.size()));
    return static_cast<std::size_t>(file->gcount());
  });
  std::string block;
  while (block.size() < 262) {
    std::array<char, 512> piece{};
    auto count = plain(piece);
    if (!count || *count == 0) return false;
    block.append(piece.data(), *count);
  }
  return block.compare(257, 5, "ustar") == 0;
}

Result<void> unpack(const fs::path& archive, const fs::path& directory) {
  std::ifstream file(archive, std::ios::binary);
  return oci::unpack_layer_tar(codec::decompress_any([&](std::span<char> into) -> Result<std::size_t> {
    file.read(into.data(), static_cast<std::streamsize>(into.size()));
    return static_cast<std::size_t>(file.gcount());
  }), directory);
}

}  // namespace

struct StageBuild::CopyPlan {
  std::vector<Source> sources;
  Json::Object extra;  // what the cache key holds besides the files
  std::vector<std::function<Result<void>()>> fetches;  // before the copying; only when the cache has not the layer
  std::vector<fs::path> fetched;                       // what they will make: not described by its bytes
  codec::IgnoreRules exclude;
};

Result<void> StageBuild::add_document(const Heredoc& document, const fs::path& scratch, CopyPlan& plan) {
  // Here \\ is the escape whatever the directive says, as in BuildKit.
  auto text = document.expand ? expand_text(document.content, lookup(), '\\') : Result<std::string>(document.content);
  if (!text) return fail(text.error());
  fs::create_directories(scratch);
  auto path = scratch / fmt::format("document-{}", plan.sources.size());
  std::ofstream(path, std::ios::binary) << *text;
  fs::permissions(path, fs::perms(0644));
  plan.sources.push_back({.path = path, .name = document.name, .local = false});
  return {};
}

// A file or repository from elsewhere. With its SHA-256 given it is fetched only when the cache does not know the step.
Result<void> StageBuild::add_remote(const Instruction& instruction, const std::string& url, const fs::path& scratch, CopyPlan& plan) {
  RemoteOptions options;
  TRY(options.checksum, flag_value(instruction, "checksum"));
  options.keep_git_dir = is_on(instruction.flag("keep-git-dir"));
  fs::create_directories(scratch);
  auto place = scratch / fmt::format("remote-{}", plan.sources.size());
  if (auto git = parse_git_source(url)) {
    if (!git->problem.empty()) return fail(Code::InvalidArgument, "`{}`: {}", url, git->problem);
    if (!options.checksum.empty() && !git->checksum.empty() && options.checksum != git->checksum)
      return fail(Code::InvalidArgument, "`{}` and --checksum={} name two commits", url, options.checksum);
    if (options.checksum.empty()) options.checksum = git->checksum;
    if (git->keep_git_dir && !instruction.flag("keep-git-dir")) options.keep_git_dir = *git->keep_git_dir;
    TRY_VOID(own_mounts());
    fs::create_directory(place);
    auto on_line = [&](std::string_view line) { shared_.observer.line(number_, line); };
    TRY(auto commit, check_out(*git, place, options, shared_.stop, on_line));
    shared_.observer.line(number_, url + " is at " + commit);
    shared_.materials.add({"git+" + url, "gitCommit", commit});
    TRY(auto below, resolve_in_root(place, clean_path(git->subdirectory)).map_error([&](const Error&) {
      return Error{Code::NotFound, fmt::format("{} has no directory {}", git->url, git->subdirectory)};
    }));
    plan.sources.push_back({below.empty() ? place : place / below, "", true});
    return {};
  }
  auto path = url.substr(0, url.find_first_of("?#"));
  auto name = path.find('/', path.find("://") + 3) == std::string::npos ? "" : fs::path(path).filename().string();
  plan.sources.push_back({.path = place, .name = name.empty() ? "__unnamed__" : name, .local = is_on(instruction.flag("unpack"))});
  const auto note = [=, this](const std::string& digest) { shared_.materials.add({url, "sha256", digest.substr(digest.find(':') + 1)}); };
  if (options.checksum.empty()) return download(url, place, options, shared_.stop).map(note);
  note(options.checksum);
  plan.extra.emplace_back("fetched " + plan.sources.back().name, Json(options.checksum));
  plan.fetched.push_back(place);
  plan.fetches.push_back([=, this] { return download(url, place, options, shared_.stop).map([](const std::string&) {}); });
  return {};
}

// `words` are the sources, not expanded; here-documents become files in `scratch`.
Result<void> StageBuild::find_copy_sources(const Instruction& instruction, std::vector<std::string> words, const fs::path& scratch,
                                           const fs::path& root, CopyPlan& plan) {
  std::size_t heredoc = 0;
  bool add = instruction.name == "ADD";
  for (const auto& word : words) {
    if (!instruction.exec_form && word.starts_with("<<") && heredoc < instruction.heredocs.size()) {
      TRY_VOID(add_document(instruction.heredocs[heredoc++], scratch, plan));
      continue;
    }
    TRY(auto pattern, expanded(word));
    bool remote = is_http_source(pattern) || (parse_git_source(pattern) && !pattern.starts_with("git@"));
    remote = remote || (add && parse_git_source(pattern));
    if (remote && !add) return fail(Code::InvalidArgument, "COPY takes no remote source; expected a file of the context, or `ADD {}`", pattern);
    if (remote) {
      TRY_VOID(add_remote(instruction, pattern, scratch, plan));
      continue;
    }
    if (instruction.flag("checksum")) return fail(Code::InvalidArgument, "--checksum belongs to remote sources; `{}` is none", pattern);
    auto found = is_on(instruction.flag("parents")) ? find_with_parents(root, pattern) : find_sources(root, {pattern});
    if (!found) return fail(found.error());
    for (auto& source : *found) {
      source.selection.exclude = plan.exclude;
      plan.sources.push_back(std::move(source));
    }
  }
  return {};
}

// ADD unpacks local archives: each becomes a directory whose contents are copied.
Result<std::vector<Source>> StageBuild::unpacked(std::vector<Source> sources, const fs::path& scratch) {
  int number = 0;
  for (auto& source : sources) {
    if (source.directory || !source.local || !fs::is_regular_file(source.path)) continue;
    TRY(bool archive, is_tar(source.path));
    if (!archive) continue;
    auto directory = scratch / ("archive-" + std::to_string(++number));
    fs::create_directories(directory);
    TRY_VOID(unpack(source.path, directory));
    source = {.path = directory, .name = source.name, .directory = true, .archive = true};
  }
  return sources;
}

Result<CopyOptions> StageBuild::copy_options(const Instruction& instruction, const fs::path& root, const std::string& destination) {
  CopyOptions options;
  options.destination = destination;
  bool from_context = !instruction.flag("from");
  if (from_context) options.owner = Owner{};
  TRY(auto chown, flag_value(instruction, "chown"));
  if (!chown.empty()) {
    TRY(options.owner, find_owner(root, chown));
  }
  TRY(auto chmod, flag_value(instruction, "chmod"));
  if (!chmod.empty()) {
    TRY(options.mode, FileMode::parse(chmod));
  }
  return options;
}

// --link makes its layer without looking at those below; only the names of --chown are looked up in them.
Result<std::optional<Owner>> StageBuild::linked_owner(const Instruction& instruction) {
  TRY(auto chown, flag_value(instruction, "chown"));
  if (chown.empty()) return std::nullopt;
  TRY(auto below, view(state_.layers));
  return find_owner(below.root(), chown);
}

namespace {

// The patterns of all --exclude flags; variables in them are not replaced.
Result<codec::IgnoreRules> excluded(const Instruction& instruction) {
  std::string text;
  for (const auto& flag : instruction.flags) {
    bool below = !flag.value.starts_with('/') && !flag.value.starts_with("..");  // nothing else can match
    if (flag.name == "exclude" && below) text += flag.value + "\n";
  }
  return codec::IgnoreRules::parse(text, "--exclude");
}

}  // namespace

// What the same instruction made the last time: files that did not change since are taken from there.
std::optional<EarlierLayer> StageBuild::earlier_layer(const Instruction& instruction) {
  auto last = shared_.cache.last(slot_of(instruction));
  if (!last) return std::nullopt;
  auto directories = layer_directories({last->first});
  if (!directories) return std::nullopt;
  return EarlierLayer{directories->front(), std::move(last->second)};
}

Result<void> StageBuild::copy(const Instruction& instruction) {
  auto scratch = new_scratch();
  RemoveAtEnd remove{scratch};
  auto words = instruction.words;
  TRY(auto last, expanded(words.back()));
  words.pop_back();
  auto destination = in_workdir(last);
  bool link = is_on(instruction.flag("link"));

  std::list<MountedLayers> views;
  const Flag* from = instruction.flag("from");
  TRY(auto root, origin_root(from ? from->value : "", views));
  CopyPlan plan;
  TRY(plan.exclude, excluded(instruction));
  TRY_VOID(find_copy_sources(instruction, words, scratch, root, plan));
  bool keep_owners = from && !instruction.flag("chown");
  auto described = plan.sources;
  std::erase_if(described, [&](const Source& source) { return std::ranges::find(plan.fetched, source.path) != plan.fetched.end(); });
  TRY(auto files, describe_sources(described, keep_owners, shared_.stop, shared_.contexts));

  auto in = inputs(instruction.name, link);
  TRY(auto owner, flag_value(instruction, "chown"));
  TRY(auto mode, flag_value(instruction, "chmod"));
  std::optional<Owner> numbers;
  if (link) {
    TRY(numbers, linked_owner(instruction));
  }
  if (numbers) owner = fmt::format("{}:{}", numbers->uid, numbers->gid);
  in.set("destination", Json(destination)).set("owner", Json(keep_owners ? "kept" : owner)).set("mode", Json(mode));
  in.set("files", std::move(files));
  const Flag* unpack = instruction.flag("unpack");
  bool unpacks = instruction.name == "ADD" && (!unpack || is_on(unpack));
  if (!unpacks) in.set("unpack", Json(false));
  for (auto& [name, value] : plan.extra) in.set(name, std::move(value));
  LayerContents made;
  return layer_step({.instruction = instruction, .inputs = std::move(in), .make = [&](const fs::path& image, const fs::path& upper) -> Result<void> {
    for (const auto& fetch : plan.fetches) TRY_VOID(fetch());
    auto plain = instruction;
    if (numbers) std::erase_if(plain.flags, [](const Flag& flag) { return flag.name == "chown"; });
    TRY(auto options, copy_options(plain, image, destination));
    if (numbers) options.owner = numbers;
    options.chown = instruction.flag("chown");
    auto ready = unpacks ? unpacked(plan.sources, scratch) : Result<std::vector<Source>>(plan.sources);
    if (!ready) return fail(ready.error());
    options.contexts = &shared_.contexts;
    options.epoch = shared_.epoch;
    options.made = &made;
    auto earlier = earlier_layer(instruction);
    if (earlier) options.earlier = &*earlier;
    return copy_sources(*ready, {image, upper}, options, shared_.stop);
  }, .directories = {}, .files = {}, .alone = link, .contents = &made, .beside = true});
}

}  // namespace watari::builder
