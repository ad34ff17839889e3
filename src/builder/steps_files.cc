// WORKDIR, COPY and ADD.
#include <array>
#include <fstream>

#include "base/strings.h"
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
  TRY_VOID(layer_step({instruction, std::move(in), [&](const fs::path& root) -> Result<void> {
    TRY(auto user, find_user(root, state_.config.user));
    TRY_VOID(make_directories_in_root(root, directory, user.owner));
    return {};
  }, {}, {}}));
  state_.config.working_dir = directory;
  return {};
}

namespace {

bool is_remote(std::string_view word) {
  return word.starts_with("http://") || word.starts_with("https://") || word.starts_with("git@") || word.starts_with("git://") ||
         word.starts_with("ssh://");
}

Result<void> check_supported(const Instruction& instruction) {
  for (const char* flag : {"parents", "exclude", "checksum", "keep-git-dir"})
    if (instruction.flag(flag))
      return fail(Code::InvalidArgument, "--{} is not supported; leave files out with .dockerignore, fetch others in a RUN", flag);
  return {};
}

// Whether the file is a tar, maybe compressed. Source: POSIX pax, "ustar" at offset 257.
Result<bool> is_tar(const fs::path& path) {
  auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  std::string head(6, '\0');
  file->read(head.data(), 6);
  if (head.starts_with("BZh") || head.starts_with("\xFD" "7zXZ"))
    return fail(Code::InvalidArgument, "{} is compressed with bzip2 or xz, which ADD does not unpack; COPY it and unpack it in a RUN",
                path.filename().string());
  file->clear();
  file->seekg(0);
  auto plain = codec::decompress([file](std::span<char> into) -> Result<std::size_t> {
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
  return oci::unpack_layer_tar(codec::decompress([&](std::span<char> into) -> Result<std::size_t> {
    file.read(into.data(), static_cast<std::streamsize>(into.size()));
    return static_cast<std::size_t>(file.gcount());
  }), directory);
}

}  // namespace

// `words` are the sources; here-documents become files in `scratch`.
Result<std::vector<Source>> StageBuild::sources_of(const Instruction& instruction, std::vector<std::string> words, const fs::path& scratch,
                                                   const fs::path& root) {
  std::vector<Source> sources;
  std::size_t heredoc = 0;
  for (const auto& word : words) {
    if (!instruction.exec_form && word.starts_with("<<") && heredoc < instruction.heredocs.size()) {
      const auto& document = instruction.heredocs[heredoc++];
      auto text = document.expand ? expand_text(document.content, lookup(), shared_.plan.escape) : Result<std::string>(document.content);
      if (!text) return fail(text.error());
      auto path = scratch / ("heredoc-" + std::to_string(heredoc));
      std::ofstream(path, std::ios::binary) << *text;
      fs::permissions(path, fs::perms(0644));
      sources.push_back({path, document.name, false});
      continue;
    }
    TRY(auto pattern, expanded(word));
    if (is_remote(pattern))
      return fail(Code::InvalidArgument, "{} is not in the context; remote sources are not fetched here, download it in a RUN", pattern);
    TRY(auto found, find_sources(root, {pattern}));
    std::ranges::move(found, std::back_inserter(sources));
  }
  return sources;
}

// ADD unpacks local archives: each becomes a directory whose contents are copied.
Result<std::vector<Source>> StageBuild::unpacked(std::vector<Source> sources, const fs::path& scratch) {
  int number = 0;
  for (auto& source : sources) {
    if (source.directory || !fs::is_regular_file(source.path)) continue;
    TRY(bool archive, is_tar(source.path));
    if (!archive) continue;
    auto directory = scratch / ("archive-" + std::to_string(++number));
    fs::create_directory(directory);
    TRY_VOID(unpack(source.path, directory));
    source = {directory, source.name, true};
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
    TRY(auto user, find_user(root, chown));
    // "app" alone means the group of the same number, "app:" is not accepted.
    options.owner = user.owner;
  }
  TRY(auto chmod, flag_value(instruction, "chmod"));
  if (!chmod.empty()) {
    std::uint32_t mode = 0;
    auto [end, problem] = std::from_chars(chmod.data(), chmod.data() + chmod.size(), mode, 8);
    if (problem != std::errc{} || end != chmod.data() + chmod.size() || mode > 07777)
      return fail(Code::InvalidArgument, "--chmod={} is no octal mode; expected for example 0755", chmod);
    options.mode = mode;
  }
  return options;
}

Result<void> StageBuild::copy(const Instruction& instruction) {
  TRY_VOID(check_supported(instruction));
  auto scratch = new_scratch();
  auto words = instruction.words;
  TRY(auto last, expanded(words.back()));
  words.pop_back();
  auto destination = in_workdir(last);

  std::optional<MountedLayers> other;
  fs::path root = shared_.context;
  const Flag* from = instruction.flag("from");
  if (from) {
    auto mounted = view(layers_of(stage_.origins.at(from->value)));
    if (!mounted) return fail(mounted.error());
    other.emplace(std::move(*mounted));
    root = other->root();
  }
  TRY(auto sources, sources_of(instruction, words, scratch, root));
  bool keep_owners = from && !instruction.flag("chown");
  TRY(auto files, describe_sources(sources, keep_owners, shared_.stop));

  auto in = inputs(instruction.name);
  TRY(auto owner, flag_value(instruction, "chown"));
  TRY(auto mode, flag_value(instruction, "chmod"));
  in.set("destination", Json(destination));
  in.set("owner", Json(keep_owners ? "kept" : owner));
  in.set("mode", Json(mode));
  in.set("files", std::move(files));
  auto done = layer_step({instruction, std::move(in), [&](const fs::path& image) -> Result<void> {
    TRY(auto options, copy_options(instruction, image, destination));
    auto ready = instruction.name == "ADD" ? unpacked(sources, scratch) : Result<std::vector<Source>>(sources);
    if (!ready) return fail(ready.error());
    return copy_sources(*ready, image, options, shared_.stop);
  }, {}, {}});
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  return done;
}

}  // namespace watari::builder
