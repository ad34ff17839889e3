#pragma once
// One layer as overlayfs looks through it. Not thread-safe.
// Source: https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories
#include <filesystem>
#include <string>
#include <unordered_map>

namespace watari::builder {

class LayerView {
 public:
  explicit LayerView(std::filesystem::path layer) : layer_(std::move(layer)) {}
  // Found: a regular file here. Below: this layer says nothing of it. Gone: it hides what the layers below have.
  enum class Seen { Found, Below, Gone };
  Seen look_up(const std::string& path);

 private:
  // What the layer says of everything below a directory: Below, Gone, or that one has to look (Found).
  Seen directory(const std::string& path);

  std::filesystem::path layer_;
  std::unordered_map<std::string, Seen> directories_;
  std::unordered_map<std::string, bool> opaque_;
};

}  // namespace watari::builder
