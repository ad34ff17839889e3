// /v2/<name>/manifests/<tag or digest>
#include "base/digest.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/exchange.h"
#include "registry/fixed_tags.h"

namespace watari::registry {

namespace {
constexpr std::size_t kMaxManifest = 4 * 1024 * 1024;  // what the distribution specification asks for at least
}

// What the reference of the path means; NotFound when the repository does not hold it.
Result<std::string> Exchange::manifest_digest() {
  if (!oci::valid_digest(route_.last)) return images().repositories().tagged(route_.repository, route_.last);
  TRY(auto link, images().repositories().manifest(route_.repository, route_.last));
  return link.digest;
}

Exchange::Answer Exchange::get_manifest() {
  if (auto fetched = through_.refresh(route_.repository, route_.last); !fetched) {
    const bool unknown = fetched.error().code == Code::NotFound;
    return refuse({unknown ? 404 : 502, unknown ? "MANIFEST_UNKNOWN" : "UNAVAILABLE", fetched.error().message});
  }
  auto digest = manifest_digest();
  if (!digest) return refuse(digest.error(), {404, "MANIFEST_UNKNOWN", ""});
  auto link = images().repositories().manifest(route_.repository, *digest);
  auto bytes = images().content().get(*digest);
  if (!link || !bytes) return refuse(link ? bytes.error() : link.error(), {404, "MANIFEST_UNKNOWN", ""});
  net::Headers headers;
  headers.set("content-type", link->media_type);
  headers.set("docker-content-digest", *digest);
  headers.set("etag", "\"" + *digest + "\"");
  return send(200, std::move(headers), *std::move(bytes));
}

Exchange::Answer Exchange::put_manifest() {
  const bool by_digest = oci::valid_digest(route_.last);
  if (!by_digest && !oci::valid_tag(route_.last)) return refuse({400, "TAG_INVALID", route_.last + " is neither a tag nor a digest"});
  std::string bytes, piece(64 * 1024, '\0');
  while (true) {
    TRY(auto count, body_.read(piece));
    if (count == 0) break;
    bytes.append(piece, 0, count);
    if (bytes.size() > kMaxManifest) return refuse({413, "MANIFEST_INVALID", "manifests may have 4 MiB"});
  }
  const std::string digest = digest_of(bytes, by_digest ? route_.last : "");
  if (by_digest && digest != route_.last) return refuse({400, "DIGEST_INVALID", "the manifest has the digest " + digest});
  if (auto blob = access_.forbidden(route_.repository, bytes, asking()); !blob.empty())
    return refuse({400, "MANIFEST_BLOB_UNKNOWN", fmt::format("{} is not in the repository {}: push it first", blob, route_.repository)});
  const auto tags = by_digest ? query_values(request_.query, "tag") : std::vector{route_.last};
  for (const auto& tag : tags)
    if (auto allowed = may_tag(images(), route_.repository, tag, digest); !allowed) return refuse(allowed.error(), {400, "TAG_INVALID", ""});
  auto stored = images().put_manifest(route_.repository, std::string(request_.headers.get("content-type")), bytes, {.digest = digest});
  if (!stored) return refuse(stored.error(), {400, stored.error().code == Code::FailedPrecondition ? "MANIFEST_BLOB_UNKNOWN" : "MANIFEST_INVALID", ""});
  net::Headers headers;
  for (const auto& tag : tags) {
    auto tagged = images().tag(route_.repository, tag, digest);
    if (!tagged) return refuse(tagged.error(), {400, "TAG_INVALID", ""});
    if (by_digest) headers.add("oci-tag", tag);
  }
  headers.set("location", path_of("manifests/" + digest));
  headers.set("docker-content-digest", digest);
  if (auto manifest = oci::parse_manifest(bytes); manifest && manifest->subject) headers.set("oci-subject", manifest->subject->digest);
  return send(201, std::move(headers));
}

Exchange::Answer Exchange::delete_manifest() {
  auto removed = oci::valid_digest(route_.last) ? images().repositories().unlink(route_.repository, route_.last)
                                                : images().untag(route_.repository, route_.last);
  if (!removed) return refuse(removed.error(), {404, "MANIFEST_UNKNOWN", ""});
  return send(202);
}

}  // namespace watari::registry
