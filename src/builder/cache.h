#pragma once
// What a step made the last time it had exactly these inputs.
//
//   DIR/<2 hex>/<key>.json    {"layer": …, "created": …}; key = SHA-256 of the inputs
//   DIR/<2 hex>/<key>.inputs  the inputs, to explain a miss
//   DIR/<2 hex>/<key>.files   of a COPY: content and path of its regular files, each followed by a zero byte
//   DIR/last/<slot>           the key of the newest entry of an instruction
//
// Entries appear whole (temporary name, rename) and never change. They are not flushed to the disk: losing one costs time, nothing else, and
// what a power cut damages is not read as an entry. Thread-safe.
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "builder/copy.h"
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
  Result<void> put(const codec::Json& inputs, const std::string& slot, const CachedStep& step, const LayerContents& contents = {}) const;
  // What the instruction made the last time, whatever it read then, and what that layer's files hold.
  std::optional<std::pair<oci::Layer, LayerContents>> last(const std::string& slot) const;

  // Why `inputs` were not in the cache: what differs from the newest entry of the same slot, in words.
  std::string explain(const codec::Json& inputs, const std::string& slot) const;

 private:
  explicit StepCache(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path file_of(const std::string& key, std::string_view kind) const;
  std::string last_key(const std::string& slot) const;  // "" when there is none
  std::filesystem::path directory_;
};

// In words, what differs between two sets of inputs; "" when nothing does.
std::string difference(const codec::Json& before, const codec::Json& now);

}  // namespace watari::builder
