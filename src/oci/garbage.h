#pragma once
// What nothing needs any more. Used by the image store only, which keeps pushes and builds out while these run.
#include <set>

#include "oci/file_content.h"
#include "oci/file_repositories.h"

namespace watari::oci {

struct Shelves {
  FileContent& content;
  FileRepositories& repositories;
  Layers& layers;
};

// Everything that the manifests in `roots` (digests) lead to: manifests, configs, layer blobs, diff ids. What is missing is skipped.
std::set<std::string> reachable(const Shelves& shelves, const std::vector<std::string>& roots);

// Unlinks manifests, then unlinks blobs and moves layers into `bin`, whose contents the caller removes without the lock.
Result<Pruned> collect_garbage(const Shelves& shelves, const PruneRequest& request, Time now, const std::filesystem::path& bin);

}  // namespace watari::oci
