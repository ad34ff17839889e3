#include "oci/image_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <thread>

#include "base/id.h"
#include "base/log.h"
#include "oci/file_content.h"
#include "oci/file_repositories.h"
#include "oci/files.h"
#include "oci/garbage.h"
#include "oci/layers.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "oci/referrers.h"

namespace watari::oci {

namespace fs = std::filesystem;

namespace {

// A file as a source of bytes.
codec::Source file_source(std::shared_ptr<Fd> fd, std::string name) {
  return [fd = std::move(fd), name = std::move(name)](std::span<char> into) -> Result<std::size_t> {
    while (true) {
      const auto count = ::read(fd->get(), into.data(), into.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail(os_error("read", name));
      return static_cast<std::size_t>(count);
    }
  };
}

// Layers that clients may leave out of a push; they cannot be run here.
bool is_foreign(const Descriptor& layer) {
  return layer.media_type.find("nondistributable") != std::string::npos || layer.media_type.find(".foreign.") != std::string::npos;
}

// Calls `settle` on a thread of its own when nothing was asked for a few seconds, or after a minute at the latest. Owned by the store.
class Settler {
 public:
  explicit Settler(std::function<void()> settle) : settle_(std::move(settle)), thread_([this](const std::stop_token& stop) { run(stop); }) {}
  void wake() {
    std::lock_guard lock(mutex_);
    ++asked_;
    wake_.notify_all();
  }

 private:
  void run(const std::stop_token& stop) {
    constexpr Seconds kQuiet(3), kLatest(60);
    std::unique_lock lock(mutex_);
    for (std::uint64_t done = 0; wake_.wait(lock, stop, [&] { return asked_ != done; });) {
      const auto latest = std::chrono::steady_clock::now() + kLatest;
      for (done = asked_; std::chrono::steady_clock::now() < latest && wake_.wait_for(lock, stop, kQuiet, [&] { return asked_ != done; });) done = asked_;
      if (stop.stop_requested()) return;
      lock.unlock();
      settle_();
      lock.lock();
    }
  }

  std::function<void()> settle_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::uint64_t asked_ = 1;  // what the server before left
  std::jthread thread_;
};

class LocalImageStore final : public ImageStore {
 public:
  LocalImageStore(fs::path root, std::unique_ptr<Layers> layers)
      : root_(std::move(root)), layers_(std::move(layers)), content_(root_, *layers_), repositories_(root_) {}

  Result<Image> resolve(const std::string& reference) const override {
    TRY(auto name, parse_reference(reference));
    if (!name.digest.empty()) return image(name.digest, reference);
    auto digest = repositories_.tagged(name.repository, name.tag);
    if (!digest)
      return fail(Code::NotFound, "no image {}:{} here; build it with `watari build`, fetch it with `watari images pull` or push it with docker or skopeo; `watari images` lists what there is",
                  name.repository, name.tag);
    return image(*digest, reference);
  }

  Result<std::vector<fs::path>> layer_directories(const Image& image) override {
    for (const auto& layer : image.layers) layers_->touch(layer.diff_id);  // pruning leaves alone what is about to be mounted
    TRY_VOID(unpack_missing(image));
    std::vector<fs::path> out;
    // A layer that is there twice counts once, at its highest place: what it has there hides all that it had below, and the kernel
    // mounts no directory twice in one overlay (ELOOP).
    for (const auto& layer : image.layers) {
      auto directory = layers_->directory(layer.diff_id);
      std::erase(out, directory);
      out.push_back(std::move(directory));
    }
    return out;
  }

  Result<Layer> add_layer(const fs::path& directory) override { return layers_->add(directory); }

  Result<Image> add_image(Image image) override {
    std::shared_lock lock(garbage_mutex_);
    for (auto& layer : image.layers) {
      if (layer.digest.empty()) layer.digest = layer.diff_id;
      auto size = content_.touch(layer.digest);
      layers_->touch(layer.diff_id);
      if (!size) return fail(Code::FailedPrecondition, "layer {} of the image is not in the store", layer.digest);
      layer.size = *size;
      if (layer.media_type.empty()) layer.media_type = kOciLayer;
    }
    const auto filled = static_cast<std::size_t>(std::ranges::count(image.history, false, &HistoryEntry::empty_layer));
    if (!image.history.empty() && filled != image.layers.size())
      return fail(Code::InvalidArgument, "the image's history names {} layers, it has {}", filled, image.layers.size());
    TRY(auto files, layers_->make_durable(image.layers));
    const std::string config = write_config(image);
    TRY(image.config_digest, content_.stage(config, files));
    const std::string manifest = write_manifest(image, static_cast<std::int64_t>(config.size()));
    TRY(image.digest, content_.stage(manifest, files));
    TRY_VOID(publish_durably(files));
    settler_.wake();
    image.size = static_cast<std::int64_t>(config.size() + manifest.size());
    for (const auto& layer : image.layers) image.size += layer.size;
    return image;
  }

  Result<void> tag(const std::string& repository, const std::string& tag, const std::string& digest) override {
    std::shared_lock lock(garbage_mutex_);
    TRY(auto bytes, content_.get(digest));
    TRY(auto manifest, parse_manifest(bytes));
    return repositories_.set_tag(repository, tag, digest, manifest.media_type);
  }
  Result<void> untag(const std::string& repository, const std::string& tag) override { return repositories_.remove_tag(repository, tag); }

  std::vector<Tagged> tags() const override {
    std::vector<Tagged> out;
    for (const auto& name : repositories_.names()) std::ranges::move(repositories_.tags(name), std::back_inserter(out));
    return out;
  }

  Result<fs::path> scratch_directory() override {
    fs::path path = root_ / "tmp" / ("scratch-" + random_hex(16));
    TRY_VOID(make_directory(path));
    return path;
  }

  Result<std::string> put_manifest(const std::string& repository, const std::string& media_type, std::string_view bytes, const ManifestOptions& options) override {
    if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
    TRY(auto manifest, parse_manifest(bytes, media_type));
    std::shared_lock lock(garbage_mutex_);
    const auto found = digest_of(bytes, options.digest);
    if (!options.digest.empty() && found != options.digest) return fail(Code::InvalidArgument, "the manifest has the digest {}, not {}", found, options.digest);
    std::vector<Descriptor> wanted;
    std::ranges::copy_if(manifest.manifests, std::back_inserter(wanted), [&](const auto& inner) { return !options.sparse || content_.size(inner.digest); });
    if (manifest.config) wanted.push_back(*manifest.config);
    std::ranges::copy_if(manifest.layers, std::back_inserter(wanted), [](const auto& layer) { return !is_foreign(layer); });
    for (const auto& blob : wanted) {
      auto size = content_.size(blob.digest);
      if (!size) return fail(Code::FailedPrecondition, "the manifest names {}, which is not here; push it first", blob.digest);
      if (*size != blob.size) return fail(Code::InvalidArgument, "the manifest says {} has {} bytes, it has {}", blob.digest, blob.size, *size);
    }
    TRY(auto digest, content_.put(bytes, found));
    TRY_VOID(repositories_.link(repository, digest, manifest.media_type));
    return digest;
  }

  Result<std::vector<std::string>> attach(const std::string& repository, const std::string& subject, const std::vector<Artifact>& artifacts) override {
    std::shared_lock lock(garbage_mutex_);
    TRY(auto bytes, content_.get(subject));
    TRY(auto manifest, parse_manifest(bytes));
    const Descriptor about{.media_type = manifest.media_type, .digest = subject, .size = static_cast<std::int64_t>(bytes.size())};
    std::vector<Written> files;
    std::vector<std::string> out;
    TRY_VOID(content_.stage(kEmptyConfig, files));
    for (const auto& artifact : artifacts) {
      TRY(auto document, content_.stage(artifact.document, files));
      TRY(auto digest, content_.stage(write_artifact(artifact, document, about), files));
      TRY_VOID(repositories_.stage_link(repository, digest, std::string(kOciManifest), files));
      out.push_back(std::move(digest));
    }
    TRY_VOID(publish_durably(files));
    return out;
  }

  Result<void> remove_blob(const std::string& digest) override {
    std::unique_lock lock(garbage_mutex_);
    std::vector<std::string> roots;
    for (const auto& repository : repositories_.names())
      for (const auto& link : repositories_.manifests(repository)) roots.push_back(link.digest);
    if (reachable({content_, repositories_, *layers_}, roots).contains(digest))
      return fail(Code::FailedPrecondition, "{} belongs to an image; delete that first", digest);
    return content_.remove(digest);
  }

  Result<Pruned> prune(const PruneRequest& request, Time now) override {
    const fs::path bin = root_ / "tmp" / ("pruned-" + random_hex(16));
    std::unique_lock lock(garbage_mutex_);
    auto pruned = collect_garbage({content_, repositories_, *layers_}, request, now, bin);
    lock.unlock();
    remove_tree(bin);
    return pruned;
  }

  Content& content() override { return content_; }
  Repositories& repositories() override { return repositories_; }

 private:
  Result<Image> image(const std::string& digest, const std::string& reference) const {
    auto bytes = content_.get(digest);
    if (!bytes && bytes.error().code == Code::NotFound)
      return fail(Code::NotFound, "no image {} here; build it with `watari build`, fetch it with `watari images pull` or push it with docker or skopeo", reference);
    if (!bytes) return fail(std::move(bytes).error().within(reference));
    auto out = read_image(digest, *bytes, reference);
    if (!out) return fail(std::move(out).error().within("image " + reference));
    return out;
  }

  Result<Image> read_image(const std::string& digest, const std::string& bytes, const std::string& reference) const {
    TRY(auto manifest, parse_manifest(bytes));
    if (manifest.is_index) {
      TRY(auto chosen, select_platform(manifest));
      TRY(auto inner, content_.get(chosen.digest));
      TRY(auto inner_manifest, parse_manifest(inner));
      if (inner_manifest.is_index) return fail(Code::FailedPrecondition, "an index within an index is not supported");
      return read_image(chosen.digest, inner, reference);
    }
    Image out;
    out.digest = digest;
    out.config_digest = manifest.config->digest;
    out.size = static_cast<std::int64_t>(bytes.size()) + manifest.config->size;
    for (const auto& layer : manifest.layers) {
      out.layers.push_back({.digest = layer.digest, .size = layer.size, .media_type = layer.media_type});
      out.size += layer.size;
    }
    TRY(auto config, content_.get(out.config_digest));
    TRY_VOID(read_config(config, out));
    return out;
  }

  // As many at once as there are processors; base images have a few large layers.
  Result<void> unpack_missing(const Image& image) {
    std::vector<const Layer*> missing;
    for (const auto& layer : image.layers)
      if (!layers_->find(layer.diff_id)) missing.push_back(&layer);
    if (missing.empty()) return {};
    std::vector<Result<void>> results(missing.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i = next++; i < missing.size(); i = next++) results[i] = unpack(*missing[i]);
    };
    {
      std::vector<std::jthread> threads;
      const auto count = std::min<std::size_t>(missing.size(), std::max(1u, std::thread::hardware_concurrency()));
      for (std::size_t i = 1; i < count; ++i) threads.emplace_back(work);
      work();
    }
    for (std::size_t i = 0; i < missing.size(); ++i)
      if (!results[i]) return fail(std::move(results[i]).error().within(fmt::format("unpack layer {} of {}", missing[i]->digest, image.digest)));
    TRY(auto files, layers_->make_durable(image.layers));
    settler_.wake();
    return publish_durably(files);
  }

  Result<void> unpack(const Layer& layer) {
    auto path = content_.file(layer.digest);
    if (!path) return fail(Code::FailedPrecondition, "its blob is not in the store; push the image again");
    auto fd = std::make_shared<Fd>(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!*fd) return fail(os_error("open", *path));
    return layers_->unpack(layer.diff_id, file_source(std::move(fd), path->string()));
  }

  fs::path root_;
  std::unique_ptr<Layers> layers_;
  FileContent content_;
  FileRepositories repositories_;
  void settle() {
    std::shared_lock lock(garbage_mutex_);
    if (auto settled = layers_->settle(); !settled) log::warn("layers are not flushed yet: {}", settled.error().message);
  }

  std::shared_mutex garbage_mutex_;  // shared: who makes something refer to blobs; alone: who removes what nothing refers to
  Settler settler_{[this] { settle(); }};  // last: its thread uses the others
};

}  // namespace

Result<std::unique_ptr<ImageStore>> ImageStore::open(const fs::path& root) {
  const fs::path images = root / "images";
  for (const auto* algorithm : {"sha256", "sha512"}) TRY_VOID(make_directory(images / "blobs" / algorithm));
  TRY_VOID(make_directory(images / "repositories"));
  // Layers hold set-user-id programs and device nodes: no way for other users of the host.
  if (::chmod(images.c_str(), 0700) != 0) return fail(os_error("chmod", images));
  remove_tree(images / "tmp");
  TRY_VOID(make_directory(images / "tmp"));
  TRY(auto layers, Layers::open(images));
  return std::make_unique<LocalImageStore>(images, std::move(layers));
}

}  // namespace watari::oci
