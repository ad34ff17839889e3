#pragma once
// What a step made the last time it had exactly these inputs.
//
//   DIR/<2 hex>/<key>.json    {"inputs": …, "layer": …, "created": …}; key = SHA-256 of the inputs
//   DIR/last/<slot>           the key of the newest entry of an instruction, to explain a miss
//
// Entries are written whole (temporary name, fsync, rename) and never change; losing one costs time, nothing else. Thread-safe.
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "codec/json.h"
#include "oci/image_store.h"

namespace watari::builder {

struct CachedStep {
  std::optional<oci::Layer> layer;  // nothing when the step changed no file
  std::string created;              // RFC 3339
};

class StepCache {
 public:
  static Result<StepCache> open(std::filesystem::path directory);

  static std::string key_of(const codec::Json& inputs);
  std::optional<CachedStep> find(const std::string& key) const;
  Result<void> put(const codec::Json& inputs, const std::string& slot, const CachedStep& step) const;

  // Why `inputs` were not in the cache: what differs from the newest entry of the same slot, in words.
  std::string explain(const codec::Json& inputs, const std::string& slot) const;

 private:
  explicit StepCache(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path file_of(const std::string& key) const { return directory_ / key.substr(0, 2) / (key + ".json"); }
  std::filesystem::path directory_;
};

// In words, what differs between two sets of inputs; "" when nothing does.
std::string difference(const codec::Json& before, const codec::Json& now);

}  // namespace watari::builder
