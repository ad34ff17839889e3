#pragma once
// Outbound HTTP(S) over libcurl. Blocking: call it on a pool thread or in the CLI.
#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "base/clock.h"
#include "net/http.h"

namespace watari::net {

struct FetchOptions {
  Millis timeout{60'000};     // for everything; not used with `stall`
  Millis stall{0};             // when set, how long nothing may arrive or be sent; the whole may take as long as it does
  std::string ca_file;      // trust this CA besides the system's
  const std::atomic<bool>* cancelled = nullptr;  // looked at about once a second; true ends it (Cancelled)
  std::string unix_socket;  // connect here instead of to the URL's host
  bool accept_compressed = false;  // asks for zstd or gzip as the transfer's encoding, and takes it off; `content-length` is not the body's then
  // When set, gets status and headers before the body.
  std::function<void(int, const Headers&)> on_head;
  // When set, gets the body piece by piece and Response::body stays empty; returning false aborts (Cancelled).
  std::function<bool(std::string_view)> on_body;
  // When set, is asked for the request body piece by piece (an empty piece ends it); Request::body is not used.
  std::function<std::string()> body_source;
  std::int64_t body_size = -1;  // of body_source; -1 sends it chunked
};

// `request.target` is the whole URL. Any status is a success; Unavailable when no answer came (with the reason "refused" when there
// was no connection, so nothing was sent), DeadlineExceeded on timeout.
Result<Response> fetch(const Request& request, const FetchOptions& options = {});

}  // namespace watari::net
