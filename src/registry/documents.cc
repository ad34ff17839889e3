#include "registry/documents.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/digest.h"
#include "oci/reference.h"

namespace watari::registry {

namespace {
constexpr std::size_t kMaxManifest = 4 * 1024 * 1024;
constexpr std::size_t kAtOnce = 4;
}  // namespace

Result<net::Response> get_document(Remote& from, const std::string& path, const net::Headers& headers) {
  std::string bytes;
  net::FetchOptions options;
  options.on_head = [&](int, const net::Headers&) { bytes.clear(); };
  options.on_body = [&](std::string_view piece) {
    bytes += piece;
    return bytes.size() <= kMaxManifest;
  };
  for (int attempt = 1;; ++attempt) {
    auto response = from.request("GET", path, headers, options);
    if (bytes.size() > kMaxManifest) return fail(Code::Corrupt, "{} sends more than {} bytes as {}", from.name().host, kMaxManifest, path);
    if (response) response->body = std::move(bytes);
    if (response || !is_passing(response.error()) || attempt >= from.options().attempts) return response;
    Remote::back_off(attempt, nullptr);
  }
}

Result<Document> get_manifest(Remote& from, const std::string& reference) {
  net::Headers headers;
  for (auto type : {oci::kOciManifest, oci::kOciIndex, oci::kDockerManifest, oci::kDockerIndex}) headers.add("accept", std::string(type));
  const auto what = fmt::format("pull {}/{}:{}", from.name().host, from.name().repository, reference);
  TRY(auto response, get_document(from, "manifests/" + reference, headers));
  if (response.status != 200) return fail(from.refusal(what, response));
  Document out{.bytes = std::move(response.body)};
  // By a tag the registry says what it knows the manifest by; that says nothing about who sent it, but shows damage on the way.
  const std::string promised(oci::valid_digest(reference) ? reference : response.headers.get("docker-content-digest"));
  out.digest = digest_of(out.bytes, promised);
  if (oci::valid_digest(promised) && promised != out.digest) return fail(Code::Corrupt, "{}: the registry sent a manifest with the digest {}, not {}", what, out.digest, promised);
  TRY(out.manifest, oci::parse_manifest(out.bytes, response.headers.get("content-type")));
  return out;
}

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

std::string referrers_tag(const std::string& subject) {
  const auto colon = subject.find(':');
  return subject.substr(0, colon) + "-" + subject.substr(colon + 1, 64);
}

}  // namespace watari::registry
