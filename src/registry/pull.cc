#include <algorithm>

#include "base/log.h"
#include "oci/reference.h"
#include "registry/documents.h"
#include "registry/transfer.h"

namespace watari::registry {

namespace {

constexpr std::size_t kMaxRefused = 4 * 1024 * 1024, kMaxReferrers = 100;
constexpr int kMaxDepth = 3;  // an index of indexes, a signature of a signature

// One blob on its way in.
class Download {
 public:
  Download(oci::Content& content, const oci::Descriptor& blob, Progress& progress) : content_(content), blob_(blob), progress_(progress) {}

  // A blob is the same wherever it comes from, so one source goes on where another has broken off.
  Result<void> run(Sources& sources) {
    if (content_.touch(blob_.digest)) {
      progress_.bytes_done += blob_.size;
      return {};
    }
    return sources.try_each(blob_.digest, [&](Remote& from, bool is_last) { return take(from, is_last ? 2 : 1); });
  }

 private:
  // Wrong bytes once may be a bad line, or begun by another source; twice, it is the registry.
  Result<void> take(Remote& from, int rounds) {
    for (int round = 1;; ++round) {
      if (!writer_) {
        TRY(writer_, content_.writer(blob_.digest));
      }
      auto committed = fetch_all(from).and_then([&] { return writer_->commit(blob_.digest).map([](const std::string&) {}); });
      const bool wrong = !committed && (committed.error().code == Code::InvalidArgument || committed.error().code == Code::Corrupt);
      if (!wrong) return committed;
      progress_.bytes_done -= writer_->size();
      writer_.reset();
      if (round == rounds) return fail(Code::Corrupt, "{} sends wrong bytes for {}: {}", from.name().host, blob_.digest, committed.error().message);
    }
  }

  Result<void> fetch_all(Remote& from) {
    for (int attempt = 0; writer_->size() < blob_.size;) {
      const auto before = writer_->size();
      auto done = fetch_some(from);
      if (!done) return done;
      if (writer_->size() == blob_.size) break;
      attempt = writer_->size() > before ? 1 : attempt + 1;
      if (attempt >= from.options().attempts)
        return fail(Code::Unavailable, "{} of {} bytes of {} came from {}, then nothing more", writer_->size(), blob_.size, blob_.digest, from.name().host);
      Remote::back_off(attempt, nullptr);
    }
    return {};
  }

  // Breaking off is no error: what has come stays.
  Result<void> fetch_some(Remote& from) {
    net::Headers headers;
    if (writer_->size() > 0) headers.set("range", fmt::format("bytes={}-", writer_->size()));
    int status = 0;
    std::int64_t skip = 0;
    std::string refused;
    Result<void> stored;
    net::FetchOptions options;
    options.accept_compressed = writer_->size() == 0;  // parts are parts of the plain bytes
    options.on_head = [&](int seen, const net::Headers&) {
      status = seen;
      skip = status == 200 ? writer_->size() : 0;  // a registry without ranges begins again
    };
    options.on_body = [&](std::string_view piece) {
      if (progress_.cancelled) return false;
      if (status != 200 && status != 206) return refused.append(piece).size() <= kMaxRefused;
      const auto skipped = std::min(skip, static_cast<std::int64_t>(piece.size()));
      skip -= skipped;
      piece.remove_prefix(static_cast<std::size_t>(skipped));
      if (writer_->size() + static_cast<std::int64_t>(piece.size()) > blob_.size)
        stored = fail(Code::Corrupt, "{} sends more than the {} bytes that the manifest says {} has", from.name().host, blob_.size, blob_.digest);
      else stored = writer_->write(piece);
      progress_.bytes_done += static_cast<std::int64_t>(piece.size());
      return stored.has_value();
    };
    auto response = from.request("GET", "blobs/" + blob_.digest, headers, options);
    if (progress_.cancelled) return fail(Code::Cancelled, "the transfer was stopped");
    if (!stored) return stored;
    if (!response) return is_passing(response.error()) ? Result<void>{} : fail(std::move(response).error());
    response->body = refused;
    if (response->status != 200 && response->status != 206) return fail(from.refusal("pull " + blob_.digest, *response));
    return {};
  }

  oci::Content& content_;
  const oci::Descriptor& blob_;
  Progress& progress_;
  std::unique_ptr<oci::BlobWriter> writer_;
};

class Pull {
 public:
  Pull(oci::ImageStore& images, Sources& from, std::string repository, const PullOptions& options, Progress& progress)
      : images_(images), from_(from), repository_(std::move(repository)), options_(options), progress_(progress) {}

  Result<std::string> run(const std::string& tag) {
    TRY(auto document, find(from_.registry().name().reference));
    TRY_VOID(store(document, kMaxDepth));
    if (!tag.empty()) TRY_VOID(images_.tag(repository_, tag, document.digest));
    return document.digest;
  }

 private:
  Result<Document> find(const std::string& reference) {
    Document out;
    TRY_VOID(from_.try_each(reference, [&](Remote& from, bool) -> Result<void> {
      TRY(out, get_manifest(from, reference));
      return {};
    }));
    return out;
  }

  // What a manifest names, itself, and what speaks about it.
  Result<void> store(const Document& document, int depth) {
    if (document.manifest.is_index) {
      if (depth == 0) return fail(Code::FailedPrecondition, "{} is an index within indexes within indexes", document.digest);
      TRY(auto wanted, wanted_of(document.manifest));
      for (const auto& entry : wanted) {
        TRY(auto inner, find(entry.digest));
        TRY_VOID(store(inner, depth - 1));
      }
    } else {
      const auto blobs = blobs_of(document.manifest);
      for (const auto& blob : blobs) progress_.bytes_total += blob.size;
      TRY_VOID(in_parallel(blobs.size(), [&](std::size_t i) { return Download(images_.content(), blobs[i], progress_).run(from_); }));
    }
    TRY_VOID(images_.put_manifest(repository_, document.manifest.media_type, document.bytes, {.digest = document.digest, .sparse = true}));
    return fetch_referrers(document.digest, depth);
  }

  Result<std::vector<oci::Descriptor>> wanted_of(const oci::Manifest& index) const {
    if (options_.platforms == Platforms::All) return index.manifests;
    auto own = oci::select_platform(index);
    if (own) return std::vector{*own};
    if (options_.platforms == Platforms::OwnIfAny) return std::vector<oci::Descriptor>{};
    return fail(std::move(own).error());
  }

  // Signatures and lists of packages come along when they can be had: an image is of use without them.
  Result<void> fetch_referrers(const std::string& subject, int depth) {
    if (depth == 0) return {};
    auto fetched = [&]() -> Result<void> {
      TRY(auto listed, list_referrers(subject));
      if (listed.size() > kMaxReferrers) return fail(Code::ResourceExhausted, "it lists {} documents, more than {}", listed.size(), kMaxReferrers);
      for (const auto& entry : listed) {
        TRY(auto document, find(entry.digest));
        if (!document.manifest.subject || document.manifest.subject->digest != subject) continue;
        TRY_VOID(store(document, depth - 1));
      }
      return {};
    }();
    if (progress_.cancelled) return fail(Code::Cancelled, "the transfer was stopped");
    if (!fetched) log::warn("what speaks about {} did not come from {}: {}", subject, from_.registry().name().host, fetched.error().message);
    return {};
  }

  // Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
  Result<std::vector<oci::Descriptor>> list_referrers(const std::string& subject) {
    auto& registry = from_.registry();
    net::Headers headers;
    headers.set("accept", std::string(oci::kOciIndex));
    TRY(auto response, get_document(registry, "referrers/" + subject, headers));
    auto index = response.status == 200 ? oci::parse_manifest(response.body, oci::kOciIndex) : fail(registry.refusal("referrers", response));
    if (index && index->is_index) return std::move(index->manifests);
    auto tagged = get_manifest(registry, referrers_tag(subject));
    if (tagged && tagged->manifest.is_index) return std::move(tagged->manifest.manifests);
    if (tagged || tagged.error().code == Code::NotFound || tagged.error().code == Code::PermissionDenied) return std::vector<oci::Descriptor>{};
    return fail(std::move(tagged).error());
  }

  oci::ImageStore& images_;
  Sources& from_;
  std::string repository_;
  const PullOptions& options_;
  Progress& progress_;
};

}  // namespace

Result<std::string> pull_image(oci::ImageStore& images, Sources& from, const std::string& repository, const std::string& tag, const PullOptions& options, Progress& progress) {
  return Pull(images, from, repository, options, progress).run(tag);
}

}  // namespace watari::registry
