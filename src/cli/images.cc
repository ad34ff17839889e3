// watari images: what is in the image store; removing tags, collecting garbage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/digest.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::vector<std::string> names;
  std::int64_t older_than_hours = 24;
  std::string caches_max;
  bool dry_run = false;
  std::string from, to;
  bool provenance = false, sbom = false;
};

Result<void> list(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto answer, client.call("watari", "ListImages"));
  const auto& images = answer["images"].as_array();
  if (options.json) {
    fmt::print("{}\n", answer["images"].is_array() ? answer["images"].pretty() : "[]");
    return {};
  }
  if (images.empty()) {
    fmt::print("no images; `watari base build` makes one, `watari build` builds one, `docker push {}/NAME:TAG` brings one\n", client.host());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"IMAGE", "DIGEST", "SIZE", "LAYERS", "CHANGED", "USED"}};
  for (const auto& image : images)
    rows.push_back({image["repository"].as_string() + ":" + image["tag"].as_string(), image["digest"].as_string().substr(0, 19),
                    size_text(image["sizeBytes"].as_int()), std::to_string(image["layers"].as_int()), ago(image["updatedAt"].as_double()),
                    image["inUse"].as_bool() ? "yes" : ""});
  fmt::print("{}", table(rows));
  return {};
}

std::string words_of(const Json& list) {
  std::string out;
  for (const auto& word : list.as_array()) out += (out.empty() ? "" : " ") + word.as_string();
  return out;
}

Result<void> inspect(const Options& options) {
  TRY(auto client, options.connect());
  auto request = Json::object({{"image", options.from}});
  const bool document = options.provenance || options.sbom;
  if (document) request.set("artifactType", Json(options.sbom ? "application/spdx+json" : "application/vnd.in-toto+json"));
  TRY(auto answer, client.call("watari", "InspectImage", std::move(request)));
  if (document) {
    TRY(auto json, codec::parse_json(answer["document"].as_string()));
    fmt::print("{}\n", json.pretty());
    return {};
  }
  if (options.json) {
    fmt::print("{}\n", answer.pretty());
    return {};
  }
  const auto line = [](std::string_view name, const std::string& value) {
    if (!value.empty()) fmt::print("{:<12}{}\n", name, value);
  };
  line("digest", answer["digest"].as_string());
  line("created", answer["created"].as_string());
  line("platform", answer["os"].as_string() + "/" + answer["architecture"].as_string());
  line("size", fmt::format("{} in {} layers", size_text(answer["sizeBytes"].as_int()), answer["layers"].as_array().size()));
  line("user", answer["user"].as_string());
  line("directory", answer["workingDirectory"].as_string());
  line("entry point", words_of(answer["entryPoint"]));
  line("command", words_of(answer["command"]));
  line("ports", words_of(answer["exposedPorts"]));
  for (const auto& pair : answer["environment"].as_array()) line("environment", pair.as_string());
  for (const auto& [name, value] : answer["labels"].as_object()) line("label", name + "=" + value.as_string());
  for (const auto& each : answer["referrers"].as_array()) line("referrer", each["artifactType"].as_string() + "  " + each["digest"].as_string());
  return {};
}

Result<void> remove(const Options& options) {
  TRY(auto client, options.connect());
  for (const auto& name : options.names) {
    TRY(auto answer, client.call("watari", "DeleteImage", Json::object({{"image", name}})));
    if (!options.json) fmt::print("{} is removed; `watari images prune` frees its space\n", name);
  }
  if (options.json) fmt::print("{{\"removed\": {}}}\n", options.names.size());
  return {};
}

Result<void> prune(const Options& options) {
  TRY(auto client, options.connect());
  auto request = Json::object({{"dryRun", options.dry_run}, {"graceSeconds", options.older_than_hours * 3600}});
  if (!options.caches_max.empty()) {
    TRY(const auto bytes, parse_size("--caches-max", options.caches_max));
    request.set("maxCacheMountBytes", bytes);
  }
  TRY(auto answer, client.call("watari", "PruneImages", std::move(request)));
  if (options.json) {
    fmt::print("{}\n", answer.pretty());
    return {};
  }
  for (const auto& manifest : answer["manifests"].as_array()) fmt::print("{}\n", manifest.as_string());
  for (const auto& id : answer["cacheMounts"].as_array()) fmt::print("cache {} of RUN --mount=type=cache\n", id.as_string());
  fmt::print("{} {} images, {} blobs, {} layers, {} entries of the build cache and {} caches of RUN steps: {}\n", options.dry_run ? "would remove" : "removed", answer["manifests"].as_array().size(),
             answer["blobs"].as_array().size(), answer["layers"].as_array().size(), answer["cacheEntries"].as_int(), answer["cacheMounts"].as_array().size(), size_text(answer["freedBytes"].as_int()));
  return {};
}

// A file with a name appears whole or not at all.
Result<void> export_caches(const Options& options) {
  TRY(auto client, options.connect());
  const bool to_stdout = options.to == "-";
  const auto temporary = options.to + ".part";
  std::ofstream file;
  if (!to_stdout) file.open(temporary, std::ios::binary | std::ios::trunc);
  std::ostream& out = to_stdout ? std::cout : file;
  std::int64_t size = 0;
  std::string tail;  // a tar ends with two blocks of zeros
  auto done = client.download("/watari/cache-mounts", [&](std::string_view bytes) {
    size += static_cast<std::int64_t>(bytes.size());
    tail.append(bytes.substr(bytes.size() - std::min<std::size_t>(bytes.size(), 1024)));
    tail.erase(0, tail.size() - std::min<std::size_t>(tail.size(), 1024));
    return out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).good();
  });
  out.flush();
  if (done && (tail.size() < 1024 || tail.find_first_not_of('\0') != tail.npos)) done = fail(Code::Conflict, "the server broke off: a build changed a cache meanwhile; export again");
  if (done && !out) done = fail(Code::ResourceExhausted, "cannot write {}", options.to);
  if (!to_stdout) {
    file.close();
    std::error_code problem;
    if (done) std::filesystem::rename(temporary, options.to, problem);
    else std::filesystem::remove(temporary, problem);
    if (done && problem) return fail(Code::Unavailable, "cannot write {}: {}", options.to, problem.message());
  }
  if (done) fmt::print(stderr, "{} in {}\n", size_text(size), options.to);
  return done;
}

Result<void> import_caches(const Options& options) {
  TRY(auto client, options.connect());
  auto file = std::make_shared<std::ifstream>(options.from, std::ios::binary);
  if (!*file) return fail(Code::NotFound, "cannot read {}", options.from);
  Sha256Stream hash;
  std::int64_t size = 0;
  auto next = [file] {
    std::string piece(256 * 1024, '\0');
    file->read(piece.data(), static_cast<std::streamsize>(piece.size()));
    piece.resize(static_cast<std::size_t>(file->gcount()));
    return piece;
  };
  for (auto piece = next(); !piece.empty(); piece = next()) {
    hash.update(piece);
    size += static_cast<std::int64_t>(piece.size());
  }
  file->clear();
  file->seekg(0);
  TRY(auto answer, client.upload("/watari/cache-mounts", {"", hex(hash.finish()), size, next}));
  if (options.json) fmt::print("{}\n", answer.pretty());
  else for (const auto& id : answer["ids"].as_array()) fmt::print("{}\n", id.as_string());
  return {};
}

void add_caches(CLI::App& verb, const std::shared_ptr<Options>& options, Run& run) {
  auto caches = add_verb(verb, "cache", "The caches of RUN --mount=type=cache");
  caches->require_subcommand(1);
  auto out = add_verb(*caches, "export", "Write all of them to a file (a tar), for another server");
  out->add_option("file", options->to, "FILE, or - for standard output")->required();
  add_common(*out, *options);
  out->footer("Examples:\n  watari images cache export caches.tar\n  watari images cache export - | ssh other 'cat > caches.tar && watari images cache import caches.tar'");
  out->callback([options, &run] { run = [options] { return finish(export_caches(*options)); }; });
  auto in = add_verb(*caches, "import", "Take caches from such a file (plain, gzip or zstd); those that are here are replaced");
  in->add_option("file", options->from, "FILE")->required();
  add_common(*in, *options);
  in->footer("Example:\n  watari images cache import caches.tar");
  in->callback([options, &run] { run = [options] { return finish(import_caches(*options)); }; });
}

}  // namespace

void add_images(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "images", "The images that are here");
  verb->require_subcommand(0, 1);
  verb->footer("Examples:\n  watari images\n  watari images rm web:old\n  watari images prune --dry-run\n  watari images prune --older-than 1\n"
               "  watari images pull registry.example.com/team/web:1\n  watari images push web:1 registry.example.com/team/web:1 --compress zstd\n"
               "Images come by `watari build`, `watari base build`, or a push:\n  docker push 127.0.0.1:4566/web:1");
  add_common(*verb, *options);
  verb->callback([options, verb, &run] {
    if (verb->get_subcommands().empty()) run = [options] { return finish(list(*options)); };
  });

  auto inspect_verb = add_verb(*verb, "inspect", "One image: its configuration, where it comes from, what is in it");
  inspect_verb->add_option("image", options->from, "NAME:TAG or a digest")->required();
  auto provenance = inspect_verb->add_flag("--provenance", options->provenance, "Only print how it was built (SLSA provenance)");
  inspect_verb->add_flag("--sbom", options->sbom, "Only print the list of its packages (SPDX)")->excludes(provenance);
  add_common(*inspect_verb, *options);
  inspect_verb->footer("Examples:\n  watari images inspect web:1\n  watari images inspect web:1 --sbom");
  inspect_verb->callback([options, &run] { run = [options] { return finish(inspect(*options)); }; });

  add_image_transfers(*verb, run);
  add_caches(*verb, options, run);

  auto rm_verb = add_verb(*verb, "rm", "Remove tags");
  rm_verb->add_option("names", options->names, "NAME:TAG")->required();
  add_common(*rm_verb, *options);
  rm_verb->footer("Example:\n  watari images rm web:old web:older");
  rm_verb->callback([options, &run] { run = [options] { return finish(remove(*options)); }; });

  auto prune_verb = add_verb(*verb, "prune", "Remove what has no tag and is not needed by tasks, services, task definitions or recent builds, and caches of RUN steps");
  prune_verb->add_flag("--dry-run", options->dry_run, "Only say what would be removed");
  prune_verb->add_option("--older-than", options->older_than_hours, "Hours since it was last pushed, built or started; younger things stay")
      ->check(CLI::Range(1, 8760))
      ->capture_default_str();
  prune_verb->add_option("--caches-max", options->caches_max,
                         "What caches of RUN --mount=type=cache may take together, for example 10g: those used longest ago go first, however young they are");
  add_common(*prune_verb, *options);
  prune_verb->footer("Examples:\n  watari images prune --dry-run\n  watari images prune --older-than 1\n  watari images prune --caches-max 10g");
  prune_verb->callback([options, &run] { run = [options] { return finish(prune(*options)); }; });
}

}  // namespace watari::cli
