#pragma once
// What a step made the last time it had exactly these inputs.
//
//   DIR/<2 hex>/<key>.json    {"layer": …, "created": …}; key = SHA-256 of the inputs
//   DIR/<2 hex>/<key>.inputs  the inputs and what was below, to explain a miss
//   DIR/<2 hex>/<key>.files   of a COPY: content and path of its regular files, each followed by a zero byte
//   DIR/last/<slot>           the key of the newest entry of an instruction
//   DIR/at/<place>            what the newest instruction at a place of a stage was
//
// An entry's .json is as old as its last use. Entries appear whole (temporary name, rename) and never change. They are not flushed to the disk: losing one costs time, nothing else, and
// what a power cut damages is not read as an entry. Thread-safe.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "builder/copy.h"
#include "codec/json.h"
#include "oci/image_store.h"

namespace watari::builder {

struct CachedStep {
  std::optional<oci::Layer> layer;  // nothing when the step changed no file
  std::string created;              // RFC 3339
};

// Where a step stands, for explanations.
struct StepNote {
  std::string slot;          // of the instruction, whatever it reads
  std::string place;         // of its position in its stage, whatever is written there
  std::string instruction;
  codec::Json below;         // the base first, "NAME DIGEST", then "DIFF-ID INSTRUCTION" of each layer
};

class StepCache {
 public:
  static Result<StepCache> open(std::filesystem::path directory);

  static std::string key_of(const codec::Json& inputs);
  std::optional<CachedStep> find(const std::string& key) const;
  Result<void> put(const codec::Json& inputs, const StepNote& note, const CachedStep& step, const LayerContents& contents = {}) const;
  // What the instruction made the last time, whatever it read then, and what that layer's files hold.
  std::optional<std::pair<oci::Layer, LayerContents>> last(const std::string& slot) const;

  // Removes the entries whose layer has_layer() does not know any more, or that have none, when nobody used them for `age`; a day at least, so
  // that the next build can say why it missed. Of others that old, what only explanations and sharing need. Returns how many entries went.
  // Safe beside builds: an entry that is just being written is young.
  struct Collection {
    Seconds age{0};
    Time now;
    bool dry_run = false;
    std::function<bool(const std::string& diff_id)> has_layer;
  };
  std::size_t collect(const Collection& what) const;

  // Why `inputs` were not in the cache, in words: what differs from the newest entry of the same instruction, or that another instruction was
  // there.
  std::string explain(const codec::Json& inputs, const StepNote& note) const;

 private:
  explicit StepCache(std::filesystem::path directory) : directory_(std::move(directory)) {}
  bool collect_entry(const std::string& key, const Collection& what) const;
  std::filesystem::path file_of(const std::string& key, std::string_view kind) const;
  std::string last_key(const std::string& slot) const;  // "" when there is none
  std::filesystem::path directory_;
};

// In words, what differs between two sets of inputs; "" when nothing does.
std::string difference(const codec::Json& before, const codec::Json& now);

}  // namespace watari::builder
