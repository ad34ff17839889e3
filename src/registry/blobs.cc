// /v2/<name>/blobs/<digest> and /v2/<name>/blobs/uploads/
#include <algorithm>
#include <atomic>

#include "base/strings.h"
#include "codec/parallel_compress.h"
#include "oci/reference.h"
#include "registry/encoding.h"
#include "registry/exchange.h"
#include "registry/range.h"

namespace watari::registry {

namespace {

constexpr std::size_t kPiece = 1024 * 1024;
constexpr std::int64_t kWorthIt = 4096;  // smaller ones go out as they are

// Each compression takes processors and about ten megabytes, so a few run at once; whoever comes then gets the bytes as they are.
class CompressionTurn {
 public:
  CompressionTurn() : taken_(running_++ < kAtOnce) {}
  ~CompressionTurn() { --running_; }
  CompressionTurn(const CompressionTurn&) = delete;
  CompressionTurn& operator=(const CompressionTurn&) = delete;
  bool taken() const { return taken_; }

 private:
  static constexpr int kAtOnce = 3;  // as many layers as docker and containerd ask for at a time
  static inline std::atomic<int> running_ = 0;
  bool taken_;
};

}  // namespace

// A part of what the client has begun to read, or all of it when that is something else. Blobs never change, so only another entity tag or a date
// (nobody gets one from here) does not match. Source: RFC 9110 section 13.1.5
bool Exchange::if_range_holds(const std::string& digest) const {
  const auto condition = trim(request_.headers.get("if-range"));
  return condition.empty() || condition == "\"" + digest + "\"";
}

// Layers that were made here are plain; what was pushed may be compressed already.
codec::Compression Exchange::form_of(const std::string& digest, std::int64_t size) {
  const auto wanted = size < kWorthIt ? codec::Compression::None : choose_encoding(request_.headers.get("accept-encoding"), is_near());
  if (wanted == codec::Compression::None) return wanted;
  std::string beginning;
  auto read = images().content().read(digest, 0, 4, [&](std::string_view bytes) -> Result<void> {
    beginning += bytes;
    return {};
  });
  return read && codec::detect_compression(beginning) == codec::Compression::None ? wanted : codec::Compression::None;
}

// The digest is that of the plain bytes: the client takes the encoding off first (RFC 9110 section 8.4). Nothing of it is kept. A stream that breaks off lacks
// its end, which clients notice.
Exchange::Answer Exchange::send_compressed(const std::string& digest, codec::Compression form, net::Response head) {
  const std::string name = form == codec::Compression::Zstd ? "zstd" : "gzip";
  head.headers.set("content-encoding", name);
  head.headers.set("etag", fmt::format("\"{}-{}\"", digest, name));
  TRY_VOID(writer_.start(head));
  codec::ParallelCompressor out(form, codec::Effort::Fast, [&](std::string_view bytes) { return writer_.write(bytes); });
  TRY_VOID(images().content().read(digest, 0, -1, [&](std::string_view bytes) { return out.write(bytes); }));
  return out.finish();
}

Exchange::Answer Exchange::get_blob() {
  const std::string& digest = route_.last;
  if (!oci::valid_digest(digest)) return refuse({400, "DIGEST_INVALID", digest + " is no digest"});
  auto size = images().content().touch(digest);
  if (!size) return refuse(size.error(), {404, "BLOB_UNKNOWN", ""});
  if (!judged_ && !access_.allows(route_.repository, digest, asking()))
    return refuse({404, "BLOB_UNKNOWN", fmt::format("the repository {} has no blob {}, and the policies of those that have it deny it", route_.repository, digest)});
  net::Response head;
  head.headers.set("content-type", "application/octet-stream");
  head.headers.set("docker-content-digest", digest);
  head.headers.set("etag", "\"" + digest + "\"");
  head.headers.set("accept-ranges", "bytes");
  head.headers.set("docker-distribution-api-version", "registry/2.0");
  head.headers.set("vary", "accept-encoding");
  const bool in_part = is("GET") && if_range_holds(digest);
  const auto selected = select_range(in_part ? request_.headers.get("range") : "", *size);
  if (selected.kind == RangeKind::Unsatisfiable) {
    net::Headers headers;
    headers.set("content-range", fmt::format("bytes */{}", *size));
    return send(416, std::move(headers));
  }
  const auto& range = selected.range;
  if (selected.kind == RangeKind::Whole && is("GET"))
    if (const auto form = form_of(digest, *size); form != codec::Compression::None)
      if (CompressionTurn turn; turn.taken()) return send_compressed(digest, form, std::move(head));
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
  if (auto mount = query("mount"); oci::valid_digest(mount) && images().content().touch(mount) && access_.allows(route_.repository, mount, asking())) {
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
      // Nothing goes on with it before there is space, which it takes itself.
      if (written.error().code == Code::ResourceExhausted) session.remove();
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
  access_.brought(principal_, digest);
  net::Headers headers;
  headers.set("location", path_of("blobs/" + digest));
  headers.set("docker-content-digest", digest);
  return send(201, std::move(headers));
}

}  // namespace watari::registry
