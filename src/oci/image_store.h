#pragma once
// The one image store: builder cache, registry and runtime read and write the same layers.
//
//   ROOT/images/blobs/<algorithm>/<hex>  manifests, configs, layer blobs that came from outside (OCI image layout)
//   ROOT/images/layers/<diff id hex>/fs  unpacked layers, overlay format (whiteouts are 0:0 character devices)
//   ROOT/images/repositories/<name>/     tags and manifests of a repository (oci/repositories.h)
//   ROOT/images/tmp/                     what is being written; emptied at open
//
// A layer that was built here has no blob: its bytes are the canonical tar of its directory (oci/layer_tar.h), made
// when somebody pulls it. All writes go to a temporary name, fsync, rename. Thread-safe.
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "base/result.h"
#include "codec/stream.h"
#include "oci/content.h"
#include "oci/repositories.h"

namespace watari::oci {

// Source: https://github.com/opencontainers/image-spec/blob/main/config.md
struct ImageConfig {
  std::string user, working_dir, stop_signal;
  std::vector<std::string> env;  // NAME=value
  std::vector<std::string> entrypoint, cmd;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
  std::vector<std::string> health_test;  // NONE | CMD … | CMD-SHELL …
  std::chrono::nanoseconds health_interval{0}, health_timeout{0}, health_start_period{0}, health_start_interval{0};
  int health_retries = 0;
  std::vector<std::string> shell;
  std::vector<std::string> on_build;
  WATARI_FIELDS(ImageConfig, user, working_dir, stop_signal, env, entrypoint, cmd, exposed_ports, volumes, labels, health_test,
                health_interval, health_timeout, health_start_period, health_start_interval, health_retries, shell, on_build)
};

struct Layer {
  std::string diff_id;  // sha256:… of the uncompressed tar
  std::string digest;   // sha256:… of the blob as the manifest names it (equals diff_id for layers made here)
  std::int64_t size = 0;
  std::string media_type;
};

struct HistoryEntry {
  std::string created_by, comment;
  bool empty_layer = false;
  std::string created;  // RFC 3339; empty: the image's
};

struct Image {
  std::string digest;  // of the manifest
  std::string config_digest;
  std::string architecture = "amd64", os = "linux";
  std::string created;  // RFC 3339
  std::string author;   // of MAINTAINER
  ImageConfig config;
  std::vector<Layer> layers;  // lowest first
  std::vector<HistoryEntry> history;
  std::int64_t size = 0;
};

struct Tagged {
  std::string repository, tag, digest;
  Time updated_at{};
};

// A document about an image.
struct Artifact {
  std::string type;      // media type, and the artifact's type
  std::string document;  // at most 4 MiB
  std::map<std::string, std::string> annotations;
};

struct ManifestOptions {
  std::string digest;   // what the bytes must hash to (sha256 or sha512, which names it); empty: its sha256
  bool sparse = false;  // an index whose manifests need not all be here: one that was pulled for this platform only
};

struct PruneRequest {
  std::vector<std::string> keep;  // digests of manifests in use and diff ids of cached layers, besides what is tagged
  Seconds grace{3600};            // what was written, pushed or used more recently stays
  bool dry_run = false;
};
struct Pruned {
  std::vector<std::string> manifests;  // repository@digest
  std::vector<std::string> blobs, layers;
  std::int64_t bytes = 0;
};

class ImageStore {
 public:
  // Opens or creates; removes what a crash left half-written.
  static Result<std::unique_ptr<ImageStore>> open(const std::filesystem::path& root);
  virtual ~ImageStore() = default;

  // "web", "web:1", "web@sha256:…", "sha256:…", "127.0.0.1:4566/web:1", "<account>.dkr.ecr.<region>.amazonaws.com/web:1",
  // "docker.io/library/web": all mean the local image. Without a tag, "latest". NotFound says how to get one.
  virtual Result<Image> resolve(const std::string& reference) const = 0;

  // Directories of the layers, lowest first, each once, unpacked when they are not yet. For overlayfs `lowerdir` (reversed). Blocking.
  virtual Result<std::vector<std::filesystem::path>> layer_directories(const Image& image) = 0;

  // Takes `directory` (overlay upper format) over as a layer by rename; it must be on the same file system. Returns the layer
  // with its diff id; a layer that is there already is kept and `directory` removed.
  virtual Result<Layer> add_layer(const std::filesystem::path& directory) = 0;
  // Writes config and manifest for layers that are in the store; returns the image with its digests. Deterministic.
  virtual Result<Image> add_image(Image image) = 0;

  virtual Result<void> tag(const std::string& repository, const std::string& tag, const std::string& digest) = 0;
  virtual Result<void> untag(const std::string& repository, const std::string& tag) = 0;
  virtual std::vector<Tagged> tags() const = 0;

  // A new empty directory (0755) on the store's file system, for add_layer(). What is left of it after a crash is removed at open.
  virtual Result<std::filesystem::path> scratch_directory() = 0;
  // Stores a manifest or index as it came (a push) after checking it, and links it into the repository. What it names must be in
  // the store: FailedPrecondition names the first blob that is missing; InvalidArgument when it has another digest. Returns the digest.
  virtual Result<std::string> put_manifest(const std::string& repository, const std::string& media_type, std::string_view bytes,
                                           const ManifestOptions& options = {}) = 0;

  // Stores documents as artifacts of the repository whose subject is the manifest `subject`, which must be in the store (oci/referrers.h). All of
  // them or, when it fails or the process ends, perhaps the first. They go when their subject goes. Returns their digests.
  virtual Result<std::vector<std::string>> attach(const std::string& repository, const std::string& subject, const std::vector<Artifact>& artifacts) = 0;

  // FailedPrecondition while a manifest of any repository names it, NotFound when there is none.
  virtual Result<void> remove_blob(const std::string& digest) = 0;
  // Removes manifests without a tag, then blobs and layers that nothing leads to. Safe beside pushes, builds and starting tasks.
  virtual Result<Pruned> prune(const PruneRequest& request, Time now) = 0;

  virtual Content& content() = 0;
  virtual Repositories& repositories() = 0;
};

// Unpacks a tar (plain, gzip or zstd) as a layer made here: for `watari base`, imports and tests.
Result<Layer> import_layer(ImageStore& store, codec::Source tar);
// One call from a directory (overlay upper format; taken over by rename) to a tagged image with that one layer.
Result<Image> import_directory_as_image(ImageStore& store, const std::filesystem::path& directory, ImageConfig config,
                                        const std::string& repository, const std::string& tag);

}  // namespace watari::oci
