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
#include "registry/documents.h"

namespace watari::registry {

namespace {

constexpr std::size_t kPiece = 256 * 1024;

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
  if (put->status == 429 || put->status >= 500 || put->status == 401) refused.code = Code::Unavailable;  // 401: a token that ended meanwhile
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
    if (put && put->status == 401 && attempt == 1) {  // a token that ended while the layers went
      TRY_VOID(to.log_in(put->headers.get("www-authenticate"), true));
      continue;
    }
    if ((put && put->status != 429 && put->status < 500) || attempt >= to.options().attempts) return put ? fail(to.refusal("push the manifest", *put)) : fail(std::move(put).error());
    Remote::back_off(attempt, put ? &*put : nullptr);
  }
}

Result<net::Headers> push_manifest(oci::ImageStore& images, const std::string& digest, const std::string& as, Remote& to, Progress& progress) {
  TRY(auto bytes, images.content().get(digest));
  TRY(auto manifest, oci::parse_manifest(bytes));
  for (const auto& inner : manifest.manifests) {
    if (images.content().size(inner.digest)) continue;
    return fail(Code::FailedPrecondition,
                "not all platforms of {} are here, {} is not: fetch them with `watari images pull --all-platforms`, or push the image for one platform by its digest", digest,
                inner.digest);
  }
  for (const auto& inner : manifest.manifests) TRY_VOID(push_manifest(images, inner.digest, inner.digest, to, progress).map([](const net::Headers&) {}));
  const auto blobs = blobs_of(manifest);
  for (const auto& blob : blobs) progress.bytes_total += blob.size;
  TRY_VOID(in_parallel(blobs.size(), [&](std::size_t i) { return upload(images.content(), to, blobs[i], progress); }));
  if (oci::valid_digest(as) || digest.starts_with("sha256:")) return put_manifest(bytes, manifest.media_type, as, to);
  // A tag alone would make its sha256 of it: what speaks about the image, and who names it by its digest, must find it there, too.
  TRY(auto headers, put_manifest(bytes, manifest.media_type, digest + "?tag=" + as, to));
  return headers.get("oci-tag").empty() ? put_manifest(bytes, manifest.media_type, as, to) : headers;
}

// The index of what speaks about a manifest, where a registry knows nothing of subjects.
Result<void> list_by_tag(const oci::Referrer& referrer, const std::string& subject, Remote& to) {
  const auto tag = referrers_tag(subject);
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

Result<void> push_image(oci::ImageStore& images, const std::string& repository, const std::string& digest, Remote& to, Progress& progress) {
  TRY_VOID(push_manifest(images, digest, to.name().reference, to, progress).map([](const net::Headers&) {}));
  return push_referrers(images, repository, digest, to, progress);
}

}  // namespace watari::registry
