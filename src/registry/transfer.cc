#include "registry/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "base/digest.h"
#include "base/strings.h"
#include "oci/manifest.h"
#include "codec/json.h"
#include "oci/reference.h"
#include "oci/referrers.h"

namespace watari::registry {

namespace {

constexpr std::size_t kMaxManifest = 4 * 1024 * 1024;
constexpr std::size_t kAtOnce = 4;
constexpr std::size_t kPiece = 256 * 1024;

struct Document {
  std::string bytes, digest;
  oci::Manifest manifest;
};

Result<Document> get_manifest(Remote& from, const std::string& reference) {
  net::Headers headers;
  for (auto type : {oci::kOciManifest, oci::kOciIndex, oci::kDockerManifest, oci::kDockerIndex}) headers.add("accept", std::string(type));
  Document out;
  net::FetchOptions options;
  options.on_head = [&](int, const net::Headers&) { out.bytes.clear(); };
  options.on_body = [&](std::string_view piece) {
    out.bytes += piece;
    return out.bytes.size() <= kMaxManifest;
  };
  auto answer = from.request("GET", "manifests/" + reference, headers, options);
  for (int attempt = 1; !answer && is_passing(answer.error()) && attempt < from.options().attempts; ++attempt) {
    Remote::back_off(attempt, nullptr);
    answer = from.request("GET", "manifests/" + reference, headers, options);
  }
  TRY(auto response, std::move(answer));
  const auto what = fmt::format("pull {}/{}:{}", from.name().host, from.name().repository, reference);
  response.body = out.bytes;
  if (response.status != 200) return fail(from.refusal(what, response));
  // By a tag the registry says what it knows the manifest by; that says nothing about who sent it, but shows damage on the way.
  const std::string promised(oci::valid_digest(reference) ? reference : response.headers.get("docker-content-digest"));
  out.digest = digest_of(out.bytes, promised);
  if (oci::valid_digest(promised) && promised != out.digest) return fail(Code::Corrupt, "{}: the registry sent a manifest with the digest {}, not {}", what, out.digest, promised);
  TRY(out.manifest, oci::parse_manifest(out.bytes, response.headers.get("content-type")));
  return out;
}

// One blob on its way in.
class Download {
 public:
  Download(oci::Content& content, Remote& from, const oci::Descriptor& blob, Progress& progress) : content_(content), from_(from), blob_(blob), progress_(progress) {}

  Result<void> run() {
    if (content_.touch(blob_.digest)) {
      progress_.bytes_done += blob_.size;
      return {};
    }
    // Wrong bytes once may be a bad line; twice, it is the registry.
    for (int round = 1;; ++round) {
      TRY(writer_, content_.writer(blob_.digest));
      TRY_VOID(fetch_all());
      auto committed = writer_->commit(blob_.digest);
      if (committed) return {};
      if (committed.error().code != Code::InvalidArgument) return fail(std::move(committed).error());
      progress_.bytes_done -= writer_->size();
      if (round == 2) return fail(Code::Corrupt, "{} sends wrong bytes for {}: {}", from_.name().host, blob_.digest, committed.error().message);
    }
  }

 private:
  Result<void> fetch_all() {
    for (int attempt = 0; writer_->size() < blob_.size;) {
      const auto before = writer_->size();
      auto done = fetch_some();
      if (!done) return done;
      if (writer_->size() == blob_.size) break;
      attempt = writer_->size() > before ? 1 : attempt + 1;
      if (attempt >= from_.options().attempts)
        return fail(Code::Unavailable, "{} of {} bytes of {} came from {}, then nothing more", writer_->size(), blob_.size, blob_.digest, from_.name().host);
      Remote::back_off(attempt, nullptr);
    }
    return {};
  }

  // Breaking off is no error: what has come stays.
  Result<void> fetch_some() {
    net::Headers headers;
    if (writer_->size() > 0) headers.set("range", fmt::format("bytes={}-", writer_->size()));
    int status = 0;
    std::int64_t skip = 0;
    std::string refused;
    Result<void> stored;
    net::FetchOptions options;
    options.on_head = [&](int seen, const net::Headers&) {
      status = seen;
      skip = status == 200 ? writer_->size() : 0;  // a registry without ranges begins again
    };
    options.on_body = [&](std::string_view piece) {
      if (progress_.cancelled) return false;
      if (status != 200 && status != 206) return refused.append(piece).size() <= kMaxManifest;
      const auto skipped = std::min(skip, static_cast<std::int64_t>(piece.size()));
      skip -= skipped;
      piece.remove_prefix(static_cast<std::size_t>(skipped));
      if (writer_->size() + static_cast<std::int64_t>(piece.size()) > blob_.size)
        stored = fail(Code::Corrupt, "{} sends more than the {} bytes that the manifest says {} has", from_.name().host, blob_.size, blob_.digest);
      else stored = writer_->write(piece);
      progress_.bytes_done += static_cast<std::int64_t>(piece.size());
      return stored.has_value();
    };
    auto response = from_.request("GET", "blobs/" + blob_.digest, headers, options);
    if (progress_.cancelled) return fail(Code::Cancelled, "the transfer was stopped");
    if (!stored) return stored;
    if (!response) return is_passing(response.error()) ? Result<void>{} : fail(std::move(response).error());
    response->body = refused;
    if (response->status != 200 && response->status != 206) return fail(from_.refusal("pull " + blob_.digest, *response));
    return {};
  }

  oci::Content& content_;
  Remote& from_;
  const oci::Descriptor& blob_;
  Progress& progress_;
  std::unique_ptr<oci::BlobWriter> writer_;
};

// Runs job(0) … job(count - 1), four at a time; the first error, and then no further jobs.
Result<void> in_parallel(std::size_t count, const std::function<Result<void>(std::size_t)>& job) {
  std::vector<Result<void>> results(count);
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto work = [&] {
    for (std::size_t i = next++; i < count && !failed; i = next++) {
      results[i] = job(i);
      if (!results[i]) failed = true;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(count, kAtOnce); ++i) threads.emplace_back(work);
    work();
  }
  for (auto& result : results)
    if (!result) return result;
  return {};
}

std::vector<oci::Descriptor> blobs_of(const oci::Manifest& manifest) {
  std::vector<oci::Descriptor> out = manifest.layers;
  if (manifest.config) out.push_back(*manifest.config);
  return out;
}

// Bytes of a blob as curl asks for them: a thread reads the store (or makes a layer's tar) into a pipe.
class BlobPipe {
 public:
  BlobPipe(const oci::Content& content, const std::string& digest) {
    if (::pipe2(ends_, O_CLOEXEC) != 0) return;
    thread_ = std::jthread([this, &content, digest] {
      read_ = content.read(digest, 0, -1, [this](std::string_view bytes) -> Result<void> {
        while (!bytes.empty()) {
          const auto count = ::write(ends_[1], bytes.data(), bytes.size());
          if (count < 0 && errno == EINTR) continue;
          if (count < 0) return fail(Code::Cancelled, "the reader has gone");
          bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return {};
      });
      ::close(ends_[1]);
    });
  }
  ~BlobPipe() {
    if (ends_[0] >= 0) ::close(ends_[0]);  // a writer that still writes gets EPIPE (SIGPIPE is ignored, apps/watari/main.cc)
  }
  std::string next() {
    std::string piece(kPiece, '\0');
    ssize_t count;
    while ((count = ::read(ends_[0], piece.data(), piece.size())) < 0 && errno == EINTR) {
    }
    piece.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return piece;
  }

 private:
  int ends_[2] = {-1, -1};
  Result<void> read_;
  std::jthread thread_;  // last: joined before the rest goes
};

Result<void> upload_once(const oci::Content& content, Remote& to, const oci::Descriptor& blob, Progress& progress) {
  TRY(auto started, to.request("POST", "blobs/uploads/", {}, {}, true));
  if (started.status != 202) return fail(to.refusal("begin to push " + blob.digest, started));
  std::string place(started.headers.get("location"));
  if (place.empty()) return fail(Code::FailedPrecondition, "{} names no place to push to", to.name().host);
  place += (place.find('?') == place.npos ? "?digest=" : "&digest=") + percent_encode(blob.digest, "-_.~:");
  BlobPipe pipe(content, blob.digest);
  std::int64_t sent = 0;
  net::Headers headers;
  headers.set("content-type", "application/octet-stream");
  net::FetchOptions options;
  options.body_size = blob.size;
  options.body_source = [&] {
    auto piece = progress.cancelled ? std::string() : pipe.next();
    sent += static_cast<std::int64_t>(piece.size());
    progress.bytes_done += static_cast<std::int64_t>(piece.size());
    return piece;
  };
  auto put = to.once("PUT", place, headers, options);
  if (put && put->status == 201) return {};
  progress.bytes_done -= sent;
  if (!put) return fail(std::move(put).error());
  auto refused = to.refusal("push " + blob.digest, *put);
  if (put->status == 429 || put->status >= 500) refused.code = Code::Unavailable;
  return fail(std::move(refused));
}

Result<void> upload(const oci::Content& content, Remote& to, const oci::Descriptor& blob, Progress& progress) {
  TRY(auto there, to.request("HEAD", "blobs/" + blob.digest, {}, {}, true));
  if (there.status == 200) {
    progress.bytes_done += blob.size;
    return {};
  }
  for (int attempt = 1;; ++attempt) {
    auto done = upload_once(content, to, blob, progress);
    if (progress.cancelled) return fail(Code::Cancelled, "the transfer was stopped");
    if (done || done.error().code != Code::Unavailable || attempt >= to.options().attempts) return done;
    Remote::back_off(attempt, nullptr);
  }
}

// Returns the headers of the answer.
Result<net::Headers> put_manifest(const std::string& bytes, const std::string& media_type, const std::string& as, Remote& to) {
  net::Headers headers;
  headers.set("content-type", media_type);
  std::string rest;
  net::FetchOptions options;
  options.body_size = static_cast<std::int64_t>(bytes.size());
  for (int attempt = 1;; ++attempt) {
    rest = bytes;
    options.body_source = [&] { return std::exchange(rest, {}); };
    auto put = to.once("PUT", "manifests/" + as, headers, options);
    if (put && put->status == 201) return std::move(put->headers);
    if ((put && put->status != 429 && put->status < 500) || attempt >= to.options().attempts) return put ? fail(to.refusal("push the manifest", *put)) : fail(std::move(put).error());
    Remote::back_off(attempt, put ? &*put : nullptr);
  }
}

Result<net::Headers> push_manifest(oci::ImageStore& images, const std::string& digest, const std::string& as, Remote& to, Progress& progress) {
  TRY(auto bytes, images.content().get(digest));
  TRY(auto manifest, oci::parse_manifest(bytes));
  for (const auto& inner : manifest.manifests) TRY_VOID(push_manifest(images, inner.digest, inner.digest, to, progress).map([](const net::Headers&) {}));
  const auto blobs = blobs_of(manifest);
  for (const auto& blob : blobs) progress.bytes_total += blob.size;
  TRY_VOID(in_parallel(blobs.size(), [&](std::size_t i) { return upload(images.content(), to, blobs[i], progress); }));
  if (oci::valid_digest(as) || digest.starts_with("sha256:")) return put_manifest(bytes, manifest.media_type, as, to);
  // A tag alone would make its sha256 of it: what speaks about the image, and who names it by its digest, must find it there, too.
  TRY(auto headers, put_manifest(bytes, manifest.media_type, digest + "?tag=" + as, to));
  return headers.get("oci-tag").empty() ? put_manifest(bytes, manifest.media_type, as, to) : headers;
}

// The tag "sha256-<hex>" holds the index of what speaks about a manifest where a registry knows nothing of subjects.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
Result<void> list_by_tag(const oci::Referrer& referrer, const std::string& subject, Remote& to) {
  auto tag = subject;
  std::ranges::replace(tag, ':', '-');
  auto entries = codec::Json::array();
  auto listed = get_manifest(to, tag);
  if (!listed && listed.error().code != Code::NotFound) return fail(std::move(listed).error());
  if (listed && listed->manifest.is_index) {
    TRY(auto json, codec::parse_json(listed->bytes));
    for (const auto& entry : json["manifests"].as_array()) {
      if (entry["digest"].as_string() == referrer.digest) return {};
      entries.push(entry);
    }
  }
  entries.push(codec::Json::object({{"mediaType", referrer.media_type}, {"digest", referrer.digest}, {"size", referrer.size}, {"artifactType", referrer.artifact_type}}));
  const auto index = codec::Json::object({{"schemaVersion", 2}, {"mediaType", oci::kOciIndex}, {"manifests", std::move(entries)}});
  return put_manifest(index.dump(), std::string(oci::kOciIndex), tag, to).map([](const net::Headers&) {});
}

// Those of a signature's signature go along too.
Result<void> push_referrers(oci::ImageStore& images, const std::string& repository, const std::string& digest, Remote& to, Progress& progress) {
  for (const auto& each : oci::referrers_of(images.content(), images.repositories(), repository, digest)) {
    TRY(auto headers, push_manifest(images, each.digest, each.digest, to, progress));
    if (headers.get("oci-subject").empty()) TRY_VOID(list_by_tag(each, digest, to));
    TRY_VOID(push_referrers(images, repository, each.digest, to, progress));
  }
  return {};
}

}  // namespace

Result<std::string> pull_image(oci::ImageStore& images, Remote& from, const std::string& repository, const std::string& tag, Progress& progress) {
  TRY(auto document, get_manifest(from, from.name().reference));
  if (document.manifest.is_index) {
    TRY(auto chosen, oci::select_platform(document.manifest));
    TRY(document, get_manifest(from, chosen.digest));
    if (document.manifest.is_index) return fail(Code::FailedPrecondition, "an index within an index is not supported");
  }
  const auto blobs = blobs_of(document.manifest);
  for (const auto& blob : blobs) progress.bytes_total += blob.size;
  TRY_VOID(in_parallel(blobs.size(), [&](std::size_t i) { return Download(images.content(), from, blobs[i], progress).run(); }));
  TRY(auto digest, images.put_manifest(repository, document.manifest.media_type, document.bytes, {.digest = document.digest}));
  if (!tag.empty()) TRY_VOID(images.tag(repository, tag, digest));
  return digest;
}

Result<void> push_image(oci::ImageStore& images, const std::string& repository, const std::string& digest, Remote& to, Progress& progress) {
  TRY_VOID(push_manifest(images, digest, to.name().reference, to, progress).map([](const net::Headers&) {}));
  return push_referrers(images, repository, digest, to, progress);
}

}  // namespace watari::registry
