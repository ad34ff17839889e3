#pragma once
// The directories of RUN --mount=type=cache as one archive, to carry them to another server. DIR/<name>/ is a cache, DIR/<name>.id the id
// that Dockerfiles give it; the archive is a tar of just that. Blocking; any thread.
#include <filesystem>
#include <vector>

#include "base/result.h"
#include "codec/stream.h"

namespace watari::builder {

// Conflict when a build changes a file while it is read: export again.
Result<void> export_cache_mounts(const std::filesystem::path& directory, const codec::Sink& sink);
// Takes a tar (plain, gzip or zstd). A cache that is here already is replaced, in one step each; steps that run keep what they have mounted.
// Returns the ids. InvalidArgument for what is no such archive; nothing is changed then.
Result<std::vector<std::string>> import_cache_mounts(const std::filesystem::path& directory, const codec::Source& archive);
// What a crash left of an import.
void sweep_cache_mounts(const std::filesystem::path& directory);

}  // namespace watari::builder
