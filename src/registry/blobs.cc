// /v2/<name>/blobs/<digest> and /v2/<name>/blobs/uploads/
#include <algorithm>

#include "base/strings.h"
#include "oci/reference.h"
#include "registry/exchange.h"
#include "registry/range.h"

namespace watari::registry {

namespace {

constexpr std::size_t kPiece = 1024 * 1024;

}  // namespace

// A part of what the client has begun to read, or all of it when that is something else. Blobs never change, so only another entity tag or a date
// (nobody gets one from here) does not match. Source: RFC 9110 section 13.1.5
bool Exchange::if_range_holds(const std::string& digest) const {
  const auto condition = trim(request_.headers.get("if-range"));
  return condition.empty() || condition == "\"" + digest + "\"";
}

Exchange::Answer Exchange::get_blob() {
  const std::string& digest = route_.last;
  if (!oci::valid_digest(digest)) return refuse({400, "DIGEST_INVALID", digest + " is no digest"});
  auto size = images().content().touch(digest);
  if (!size) return refuse(size.error(), {404, "BLOB_UNKNOWN", ""});
  net::Response head;
  head.headers.set("content-type", "application/octet-stream");
  head.headers.set("docker-content-digest", digest);
  head.headers.set("etag", "\"" + digest + "\"");
  head.headers.set("accept-ranges", "bytes");
  head.headers.set("docker-distribution-api-version", "registry/2.0");
  const bool in_part = is("GET") && if_range_holds(digest);
  const auto selected = select_range(in_part ? request_.headers.get("range") : "", *size);
  if (selected.kind == RangeKind::Unsatisfiable) {
    net::Headers headers;
    headers.set("content-range", fmt::format("bytes */{}", *size));
    return send(416, std::move(headers));
  }
  const auto& range = selected.range;
  if (selected.kind == RangeKind::Part) {
    head.status = 206;
    head.headers.set("content-range", fmt::format("bytes {}-{}/{}", range.first, range.last, *size));
  }
  head.headers.set("content-length", std::to_string(range.length()));
  TRY_VOID(writer_.start(head));
  if (is("HEAD")) return {};
  return images().content().read(digest, range.first, range.length(), [&](std::string_view bytes) { return writer_.write(bytes); });
}

Exchange::Answer Exchange::delete_blob() {
  if (!oci::valid_digest(route_.last)) return refuse({400, "DIGEST_INVALID", route_.last + " is no digest"});
  auto removed = images().remove_blob(route_.last);
  if (!removed && removed.error().code == Code::FailedPrecondition) return refuse({405, "UNSUPPORTED", removed.error().message});
  if (!removed) return refuse(removed.error(), {404, "BLOB_UNKNOWN", ""});
  return send(202);
}

Exchange::Answer Exchange::upload_progress(int status, const Uploads::Session& session) {
  net::Headers headers;
  headers.set("location", path_of("blobs/uploads/" + session.id()));
  headers.set("range", fmt::format("0-{}", std::max<std::int64_t>(0, session.offset() - 1)));
  headers.set("docker-upload-uuid", session.id());
  return send(status, std::move(headers));
}

// POST: begins an upload; with ?mount= takes a blob that is here; with ?digest= takes the whole blob at once.
Exchange::Answer Exchange::start_upload() {
  if (auto mount = query("mount"); oci::valid_digest(mount) && images().content().touch(mount)) {
    net::Headers headers;
    headers.set("location", path_of("blobs/" + mount));
    headers.set("docker-content-digest", mount);
    return send(201, std::move(headers));
  }
  auto session = uploads_.start(route_.repository);
  if (!session) return refuse(session.error(), {500, "BLOB_UPLOAD_UNKNOWN", ""});
  const auto digest = query("digest");
  (*session)->expect(digest.empty() ? query("digest-algorithm") : digest);
  if (digest.empty()) return upload_progress(202, **session);
  TRY(bool received, receive(**session, false));
  if (!received) return {};
  return finish_upload(**session, digest);
}

Exchange::Answer Exchange::upload_status() {
  auto session = uploads_.resume(route_.repository, route_.last);
  if (!session) return refuse(session.error(), {session.error().code == Code::Conflict ? 409 : 404, "BLOB_UPLOAD_UNKNOWN", ""});
  return upload_progress(204, **session);
}

Exchange::Answer Exchange::cancel_upload() {
  auto session = uploads_.resume(route_.repository, route_.last);
  if (!session) return refuse(session.error(), {session.error().code == Code::Conflict ? 409 : 404, "BLOB_UPLOAD_UNKNOWN", ""});
  (*session)->remove();
  return send(204);
}

// A chunk must continue where the last one ended; what has arrived of one that broke off stays.
Result<bool> Exchange::receive(Uploads::Session& session, bool check_range) {
  if (auto range = request_.headers.get("content-range"); check_range && !range.empty()) {
    const auto dash = range.find('-');
    const auto first = parse_number<std::int64_t>(range.substr(0, dash));
    const auto last = dash == range.npos ? std::nullopt : parse_number<std::int64_t>(range.substr(dash + 1));
    const auto length = parse_number<std::int64_t>(request_.headers.get("content-length"));
    if (!first || !last || *first != session.offset() || (length && *length != *last - *first + 1)) {
      TRY_VOID(upload_progress(416, session));
      return false;
    }
  }
  std::string piece(kPiece, '\0');
  while (true) {
    TRY(auto count, body_.read(piece));
    if (count == 0) return true;
    if (auto written = session.append(std::string_view(piece).substr(0, count)); !written) {
      TRY_VOID(refuse(written.error(), {500, "BLOB_UPLOAD_INVALID", ""}));
      return false;
    }
  }
}

Exchange::Answer Exchange::patch_upload() {
  auto session = uploads_.resume(route_.repository, route_.last);
  if (!session) return refuse(session.error(), {session.error().code == Code::Conflict ? 409 : 404, "BLOB_UPLOAD_UNKNOWN", ""});
  TRY(bool received, receive(**session, true));
  return received ? upload_progress(202, **session) : Answer{};
}

Exchange::Answer Exchange::put_upload() {
  auto session = uploads_.resume(route_.repository, route_.last);
  if (!session) return refuse(session.error(), {session.error().code == Code::Conflict ? 409 : 404, "BLOB_UPLOAD_UNKNOWN", ""});
  const auto digest = query("digest");
  if (!oci::valid_digest(digest)) return refuse({400, "DIGEST_INVALID", "?digest= must be sha256: and 64 hexadecimal digits, or sha512: and 128"});
  (*session)->expect(digest);
  TRY(bool received, receive(**session, true));
  if (!received) return {};
  return finish_upload(**session, digest);
}

Exchange::Answer Exchange::finish_upload(Uploads::Session& session, const std::string& digest) {
  auto found = session.digest(digest);
  if (!found) return refuse(found.error(), {500, "BLOB_UPLOAD_INVALID", ""});
  if (*found != digest) {
    session.remove();
    return refuse({400, "DIGEST_INVALID", fmt::format("the blob has the digest {}, not {}", *found, digest)});
  }
  auto adopted = images().content().adopt(session.data(), digest);
  if (!adopted) return refuse(adopted.error(), {500, "BLOB_UPLOAD_INVALID", ""});
  session.remove();
  net::Headers headers;
  headers.set("location", path_of("blobs/" + digest));
  headers.set("docker-content-digest", digest);
  return send(201, std::move(headers));
}

}  // namespace watari::registry
