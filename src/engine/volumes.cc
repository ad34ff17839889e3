#include "engine/volumes.h"

#include <algorithm>

#include "base/id.h"

namespace watari::engine {

namespace fs = std::filesystem;

namespace {

fs::path aside(const fs::path& root) { return root / "volumes" / ".removed"; }

}  // namespace

fs::path shared_volume(const fs::path& root, const std::string& scope, const std::string& name) { return root / "volumes" / scope / name; }

std::vector<std::string> shared_volumes(const fs::path& root, const std::string& scope) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "volumes" / scope, error)) out.push_back(entry.path().filename());
  std::ranges::sort(out);
  return out;
}

std::int64_t size_of_volume(const fs::path& volume) {
  std::int64_t bytes = 0;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(volume / "data", fs::directory_options::skip_permission_denied, error); at != fs::end(at); at.increment(error)) {
    if (error) break;  // a task removes files meanwhile
    if (auto size = at->is_regular_file(error) && !at->is_symlink(error) ? at->file_size(error) : 0; !error) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

Result<void> set_volume_aside(const fs::path& root, const std::string& scope, const std::string& name) {
  auto volume = shared_volume(root, scope, name);
  std::error_code error;
  if (name.empty() || name.contains('/') || name.starts_with('.') || !fs::is_directory(volume, error)) return fail(Code::NotFound, "there is no volume {}", name);
  fs::create_directories(aside(root), error);
  if (!error) fs::rename(volume, aside(root) / random_hex(16), error);
  if (error) return fail(Code::Internal, "cannot put {} aside: {}", volume.string(), error.message());
  return {};
}

Result<void> erase_volumes_aside(const fs::path& root) {
  std::error_code error;
  fs::remove_all(aside(root), error);
  if (error) return fail(Code::Internal, "cannot erase {}: {}", aside(root).string(), error.message());
  return {};
}

}  // namespace watari::engine
