#include "oci/compress_image.h"

#include <algorithm>
#include <optional>

#include "codec/json.h"
#include "codec/parallel_compress.h"
#include "oci/manifest.h"
#include "oci/referrers.h"

namespace watari::oci {

using codec::Json;

namespace {

constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";

bool is_plain(const std::string& media_type) { return media_type == kOciLayer || media_type == kDockerLayer; }

Result<std::string> compressed_type(const std::string& media_type, codec::Compression how) {
  const bool zstd = how == codec::Compression::Zstd;
  if (media_type == kOciLayer) return media_type + (zstd ? "+zstd" : "+gzip");
  if (!zstd) return media_type + ".gzip";
  return fail(Code::FailedPrecondition, "the image has Docker's manifest format, which knows no zstd; use gzip");
}

// One that was made before, with everything that it names.
std::string find_compressed(ImageStore& store, const std::string& repository, const std::string& digest, codec::Compression how) {
  const std::string_view ending = how == codec::Compression::Zstd ? "zstd" : "gzip";
  for (const auto& link : store.repositories().manifests(repository)) {
    auto bytes = store.content().get(link.digest);
    auto manifest = bytes ? parse_manifest(*bytes, link.media_type) : fail(bytes.error());
    if (!manifest || !manifest->annotations.contains(kCompressedFrom) || manifest->annotations[kCompressedFrom] != digest) continue;
    const auto here = [&](const Descriptor& blob) { return blob.media_type.ends_with(ending) && store.content().touch(blob.digest); };
    if (std::ranges::all_of(manifest->layers, here) && store.content().touch(link.digest)) return link.digest;
  }
  return {};
}

Result<Descriptor> compress_layer(Content& content, const Descriptor& layer, codec::Compression how, const std::function<bool(std::int64_t)>& on_bytes) {
  TRY(auto type, compressed_type(layer.media_type, how));
  TRY(auto writer, content.writer(layer.digest));
  codec::ParallelCompressor out(how, codec::Effort::Small, [&](std::string_view bytes) { return writer->write(bytes); });
  TRY_VOID(content.read(layer.digest, 0, -1, [&](std::string_view bytes) -> Result<void> {
    if (on_bytes && !on_bytes(static_cast<std::int64_t>(bytes.size()))) return fail(Code::Cancelled, "the compression was stopped");
    return out.write(bytes);
  }));
  TRY_VOID(out.finish());
  TRY(auto digest, writer->commit());
  return Descriptor{.media_type = type, .digest = digest, .size = writer->size()};
}

// A statement about one more subject: what is said of the image is so of it in its other form. What names others is left out.
std::optional<std::string> about_also(const std::string& statement, const std::string& from, const std::string& to) {
  const auto hex = [](const std::string& digest) { return digest.substr(digest.find(':') + 1); };
  auto document = codec::parse_json(statement);
  if (!document || !(*document)["subject"].is_array()) return std::nullopt;
  auto subjects = Json::array();
  bool named = false;
  for (const auto& each : (*document)["subject"].as_array()) {
    subjects.push(each);
    if (each["digest"]["sha256"].as_string() != hex(from)) continue;
    named = true;
    auto other = each;
    if (other["name"].as_string() == from) other.set("name", Json(to));
    other.set("digest", Json::object({{"sha256", hex(to)}}));
    subjects.push(std::move(other));
  }
  document->set("subject", std::move(subjects));
  return named ? std::optional(document->dump()) : std::nullopt;
}

}  // namespace

Result<void> carry_documents(ImageStore& store, const std::string& repository, const std::string& from, const std::string& to_repository, const std::string& to) {
  if (repository == to_repository && from == to) return {};
  std::vector<Artifact> missing;
  const auto there = referrers_of(store.content(), store.repositories(), to_repository, to);
  for (const auto& each : referrers_of(store.content(), store.repositories(), repository, from)) {
    const bool statement = each.artifact_type == "application/vnd.in-toto+json";
    const bool list = each.artifact_type == "application/spdx+json" || each.artifact_type == "application/vnd.cyclonedx+json";
    if ((!statement && !list) || each.layers.size() != 1 || std::ranges::find(there, each.artifact_type, &Referrer::artifact_type) != there.end()) continue;
    TRY(auto document, store.content().get(each.layers[0].digest));
    if (statement && from != to) {
      auto other = about_also(document, from, to);
      if (!other) continue;
      document = std::move(*other);
    }
    missing.push_back({each.artifact_type, std::move(document), each.annotations});
  }
  if (missing.empty()) return {};
  return store.attach(to_repository, to, missing).map([](const auto&) {});
}

Result<std::string> compress_image(ImageStore& store, const std::string& repository, const std::string& digest, codec::Compression how,
                                   const std::function<bool(std::int64_t)>& on_bytes) {
  TRY(auto bytes, store.content().get(digest));
  TRY(auto manifest, parse_manifest(bytes));
  if (manifest.is_index) return fail(Code::FailedPrecondition, "{} is an index of several images; name one of them by its digest", digest);
  if (std::ranges::none_of(manifest.layers, is_plain, &Descriptor::media_type)) return digest;
  if (auto found = find_compressed(store, repository, digest, how); !found.empty()) return found;
  TRY(auto document, codec::parse_json(bytes));
  auto layers = Json::array();
  const auto& old = document["layers"].as_array();
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    auto entry = old[i];
    if (is_plain(manifest.layers[i].media_type)) {
      TRY(auto made, compress_layer(store.content(), manifest.layers[i], how, on_bytes));
      entry.set("mediaType", Json(made.media_type));
      entry.set("digest", Json(made.digest));
      entry.set("size", Json(made.size));
    }
    layers.push(std::move(entry));
  }
  document.set("layers", std::move(layers));
  auto annotations = document.has("annotations") ? document["annotations"] : Json::object();
  annotations.set(kCompressedFrom, Json(digest));
  document.set("annotations", std::move(annotations));
  return store.put_manifest(repository, manifest.media_type, document.dump());
}

}  // namespace watari::oci
