#pragma once
// Whole images between the store and another registry. Blocking; several threads each. What is verified is what is stored: every blob is
// hashed while it arrives and appears in the store only when its digest is the manifest's.
#include <atomic>

#include "oci/image_store.h"
#include "registry/remote.h"

namespace watari::registry {

// Written while a transfer runs; any thread may read.
struct Progress {
  std::atomic<std::int64_t> bytes_done{0}, bytes_total{0};
  std::atomic<bool> cancelled{false};
};

// Stores the image as `repository`:`tag` (no tag: the manifest only) and returns its digest. Of an index the image for linux/amd64. Blobs that
// are here are not fetched. A transfer that breaks off goes on where it was (Range); layers come four at a time. Corrupt when a registry sends
// other bytes than it promised: nothing of them stays.
Result<std::string> pull_image(oci::ImageStore& images, Remote& from, const std::string& repository, const std::string& tag, Progress& progress);

// Sends the image `digest` (of an index: with all of its images) as the remote's name. Blobs that are there are not sent. What `repository`
// holds that speaks about it goes along; registries that cannot list referrers get the index of them that stands in for that.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject
Result<void> push_image(oci::ImageStore& images, const std::string& repository, const std::string& digest, Remote& to, Progress& progress);

}  // namespace watari::registry
