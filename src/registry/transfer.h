#pragma once
// Whole images between the store and another registry. Blocking; several threads each. What is verified is what is stored: every blob is
// hashed while it arrives and appears in the store only when its digest is the manifest's.
#include <atomic>

#include "oci/image_store.h"
#include "registry/mirrors.h"
#include "registry/remote.h"

namespace watari::registry {

// Written while a transfer runs; any thread may read.
struct Progress {
  std::atomic<std::int64_t> bytes_done{0}, bytes_total{0};
  std::atomic<bool> cancelled{false};
};

enum class Platforms {
  Own,       // linux/amd64; FailedPrecondition when an index has none
  OwnIfAny,  // the same, but the index alone is enough: for caches, which fetch the others when somebody asks
  All,
};
struct PullOptions {
  Platforms platforms = Platforms::Own;
};

// Stores the image as `repository`:`tag` (no tag: the manifest only) and returns its digest. Of an index the images for `platforms`, and the index itself, whose
// digest is the one that is returned. What speaks about the image (signatures, lists of packages) comes along; when it cannot be had that is logged. Blobs
// that are here are not fetched. A transfer that breaks off goes on where it was (Range), at the next source if need be; layers come four at a time. Corrupt
// when a registry sends other bytes than it promised: nothing of them stays.
Result<std::string> pull_image(oci::ImageStore& images, Sources& from, const std::string& repository, const std::string& tag, const PullOptions& options, Progress& progress);

// Sends the image `digest` (of an index: with all of its images) as the remote's name. Blobs that are there are not sent. What `repository`
// holds that speaks about it goes along; registries that cannot list referrers get the index of them that stands in for that.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject
Result<void> push_image(oci::ImageStore& images, const std::string& repository, const std::string& digest, Remote& to, Progress& progress);

}  // namespace watari::registry
