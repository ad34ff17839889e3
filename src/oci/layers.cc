#include "oci/layers.h"

#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "codec/compress.h"
#include "codec/reflect.h"
#include "oci/files.h"
#include "oci/layer_tar.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace watari::oci {

namespace fs = std::filesystem;

namespace {

struct Record {
  Layers::Info info;
  std::string boot;
  WATARI_FIELDS(Record, info, boot)
};

Result<Record> read_record(const fs::path& layer) {
  TRY(auto text, read_file(layer / "layer.json", 65536));
  TRY(auto json, codec::parse_json(text));
  return codec::from_json<Record>(json);
}

// A tar on its way to the disk that is given up when it gets large.
class SmallTar {
 public:
  explicit SmallTar(fs::path path) : path_(std::move(path)), fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {}
  ~SmallTar() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  SmallTar(const SmallTar&) = delete;
  SmallTar& operator=(const SmallTar&) = delete;

  Result<void> write(std::string_view bytes) {
    constexpr std::size_t kSmall = 32 << 20;
    size_ += bytes.size();
    if (size_ > kSmall || (fd_ && !write_all(fd_.get(), bytes, path_))) fd_ = Fd();  // a full disk is told by whoever needs it
    return {};
  }
  // Whose removal is the caller's from now on; empty when it was given up.
  fs::path take() { return fd_ ? std::exchange(path_, {}) : fs::path(); }

 private:
  fs::path path_;
  Fd fd_;
  std::size_t size_ = 0;
};

}  // namespace

// One thread at a time works on a layer; others wait for it to finish.
class Layers::Turn {
 public:
  Turn(Layers& layers, std::string diff_id) : layers_(layers), diff_id_(std::move(diff_id)) {
    std::unique_lock lock(layers_.mutex_);
    layers_.wake_.wait(lock, [&] { return layers_.busy_.insert(diff_id_).second; });
  }
  ~Turn() {
    std::lock_guard lock(layers_.mutex_);
    layers_.busy_.erase(diff_id_);
    layers_.wake_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Layers& layers_;
  std::string diff_id_;
};

Result<std::unique_ptr<Layers>> Layers::open(const fs::path& root) {
  TRY_VOID(make_directory(root / "layers"));
  remove_tree(root / "tars");
  TRY_VOID(make_directory(root / "tars"));
  std::unique_ptr<Layers> layers(new Layers(root));
  layers->drop_unsafe();
  return layers;
}

void Layers::drop_unsafe() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_ / "layers", error)) {
    if (fs::exists(entry.path() / "durable")) continue;
    auto record = read_record(entry.path());
    if (record && record->boot == boot_id()) continue;
    log::warn("layer {} was not on the disk yet when the machine stopped; removed", entry.path().filename().string());
    remove_tree(entry.path());
  }
}

fs::path Layers::blob(const std::string& diff_id) const {
  const auto colon = diff_id.find(':');
  return root_ / "blobs" / diff_id.substr(0, colon) / diff_id.substr(colon + 1);
}
fs::path Layers::place(const std::string& diff_id) const { return root_ / "layers" / diff_id.substr(diff_id.find(':') + 1); }
fs::path Layers::directory(const std::string& diff_id) const { return place(diff_id) / "fs"; }

std::optional<Layers::Info> Layers::find(const std::string& diff_id) const {
  if (!valid_digest(diff_id)) return std::nullopt;
  auto record = read_record(place(diff_id));
  if (!record) return std::nullopt;
  return record->info;
}

std::vector<std::string> Layers::diff_ids() const {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_ / "layers", error))
    if (auto id = digest_from_hex(entry.path().filename().string()); valid_digest(id)) out.push_back(id);
  return out;
}

Result<void> Layers::publish(const fs::path& staging, const std::string& diff_id, const Info& info) {
  TRY_VOID(write_plainly(staging / "layer.json", codec::to_json(Record{info, boot_id()}).dump()));
  if (::rename(staging.c_str(), place(diff_id).c_str()) != 0) return fail(os_error("rename", place(diff_id)));
  return {};
}

Result<Layer> Layers::add(const fs::path& directory) {
  // A layer's root is never part of its tar; all of them look the same.
  if (::chmod(directory.c_str(), 0755) != 0 || ::chown(directory.c_str(), 0, 0) != 0) return fail(os_error("chmod", directory));
  SmallTar tar(root_ / "tars" / random_hex(16));
  TRY(auto summary, summarize_layer(directory, [&](std::string_view bytes) { return tar.write(bytes); }));
  const Layer layer{.diff_id = summary.diff_id, .digest = summary.diff_id, .size = summary.size, .media_type = std::string(kOciLayer)};
  Turn turn(*this, summary.diff_id);
  auto there = find(summary.diff_id);
  if (there && there->made_here) {
    touch(summary.diff_id);
    remove_tree(directory);
    return layer;
  }
  const fs::path staging = root_ / "tmp" / ("layer-" + random_hex(16));
  TRY_VOID(make_directory(staging));
  if (there) {
    // It was unpacked from a blob and may be mounted: keep its files, and only note that its canonical tar has this digest too if so.
    TRY(auto existing, summarize_layer(this->directory(summary.diff_id)));
    if (existing.diff_id == summary.diff_id) {
      const auto record = codec::to_json(Record{{.size = summary.size, .made_here = true}, boot_id()}).dump();
      TRY_VOID(write_durably(staging / "layer.json", place(summary.diff_id) / "layer.json", record));
      remove_tree(directory);
      remove_tree(staging);
      return layer;
    }
    return fail(Code::Internal, "layer {} was unpacked from a blob and does not give its own digest again; run `watari images prune`", summary.diff_id);
  }
  if (::rename(directory.c_str(), (staging / "fs").c_str()) != 0) {
    auto error = errno == EXDEV ? Error{Code::FailedPrecondition, fmt::format("{} is not on the file system of {}", directory.string(), root_.string())}
                                : os_error("rename", directory);
    remove_tree(staging);
    return fail(std::move(error));
  }
  auto published = publish(staging, summary.diff_id, {.size = summary.size, .made_here = true});
  if (!published) {
    remove_tree(staging);
    return fail(std::move(published).error());
  }
  std::lock_guard lock(mutex_);
  if (auto path = tar.take(); !path.empty()) tars_[summary.diff_id] = std::move(path);
  return layer;
}

Result<void> Layers::unpack(const std::string& diff_id, codec::Source blob) {
  if (!valid_digest(diff_id)) return fail(Code::InvalidArgument, "{} is no diff id", diff_id);
  Turn turn(*this, diff_id);
  if (find(diff_id)) return {};
  const fs::path staging = root_ / "tmp" / ("layer-" + random_hex(16));
  TRY_VOID(make_directory(staging / "fs"));
  DigestStream hash(diff_id);
  const codec::Source plain = [&, source = codec::decompress(std::move(blob))](std::span<char> into) -> Result<std::size_t> {
    auto count = source(into);
    if (count) hash.update({into.data(), *count});
    return count;
  };
  auto done = unpack_layer_tar(plain, staging / "fs");
  if (done) {
    const std::string found = hash.finish();
    done = found == diff_id ? publish(staging, diff_id, {})
                            : fail(Code::Corrupt, "the layer's plain bytes have the digest {}, the image's config says {}", found, diff_id);
  }
  if (!done) remove_tree(staging);
  return done;
}

Result<std::vector<Written>> Layers::make_durable(const std::vector<Layer>& layers) {
  std::vector<Written> tars;
  std::vector<std::string> fresh;
  for (const auto& layer : layers) {
    if (!fs::exists(place(layer.diff_id)) || is_durable(layer.diff_id)) continue;
    std::lock_guard lock(mutex_);
    if (auto found = tars_.find(layer.diff_id); found != tars_.end()) tars.push_back({found->second, blob(layer.diff_id)});
    else fresh.push_back(layer.diff_id);
    tars_.erase(layer.diff_id);
  }
  TRY_VOID(flush(fresh));
  return tars;
}

bool Layers::is_durable(const std::string& diff_id) const { return fs::exists(place(diff_id) / "durable") || fs::exists(blob(diff_id)); }

// One flush for all of them, then their marks.
Result<void> Layers::flush(const std::vector<std::string>& diff_ids) {
  if (diff_ids.empty()) return {};
  TRY_VOID(sync_file_system(root_));
  for (const auto& diff_id : diff_ids) {
    TRY_VOID(write_plainly(place(diff_id) / "durable", ""));
    TRY_VOID(sync_directory(place(diff_id)));
  }
  return sync_directory(root_ / "layers");
}

Result<void> Layers::settle() {
  {
    std::lock_guard lock(mutex_);
    const auto old = SystemClock().now() - Seconds(600);  // of builds that failed
    std::erase_if(tars_, [&](const auto& each) { return modified_at(each.second) < old && ::unlink(each.second.c_str()) == 0; });
  }
  std::vector<std::string> waiting;
  for (const auto& diff_id : diff_ids())
    if (!fs::exists(place(diff_id) / "durable") && fs::exists(blob(diff_id))) waiting.push_back(diff_id);
  TRY_VOID(flush(waiting));
  for (const auto& diff_id : waiting)
    if (auto info = find(diff_id); info && info->made_here) ::unlink(blob(diff_id).c_str());
  return {};
}

bool Layers::touch(const std::string& diff_id) {
  return valid_digest(diff_id) && ::utimensat(AT_FDCWD, (place(diff_id) / "layer.json").c_str(), nullptr, 0) == 0;
}

Time Layers::used_at(const std::string& diff_id) const { return modified_at(place(diff_id) / "layer.json"); }

Result<void> Layers::move_away(const std::string& diff_id, const fs::path& bin) {
  Turn turn(*this, diff_id);
  {
    std::lock_guard lock(mutex_);
    if (auto tar = tars_.extract(diff_id)) ::unlink(tar.mapped().c_str());
  }
  TRY_VOID(make_directory(bin));
  if (::rename(place(diff_id).c_str(), (bin / place(diff_id).filename()).c_str()) != 0) return fail(os_error("rename", place(diff_id)));
  return {};
}

}  // namespace watari::oci
