#include "net/client.h"

#include <cstdio>
#include <cstring>
#include <memory>

#include "base/strings.h"
#include "net/curl_library.h"
#include "net/plain_client.h"

namespace watari::net {
namespace {

const CurlLibrary& lib() { return curl_library(); }

// One handle a thread: its connections are kept and used again.
CURL* thread_handle() {
  struct Handle {
    CURL* curl = lib().curl_easy_init();
    ~Handle() { lib().curl_easy_cleanup(curl); }
  };
  thread_local Handle handle;
  lib().curl_easy_reset(handle.curl);
  return handle.curl;
}

struct Transfer {
  const FetchOptions& options;
  Response response;
  std::string piece;      // of body_source, not yet sent
  std::size_t sent = 0;   // of piece or of the request's body
  std::string_view body;  // the request's, when there is no body_source
  bool aborted = false;
  int status = 0;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string_view line = trim({data, size});
  if (line.starts_with("HTTP/")) {
    transfer.response.headers = {};  // the final answer's headers count, not those of a 100 before it
    if (auto space = line.find(' '); space != line.npos) transfer.status = parse_number<int>(line.substr(space + 1, 3)).value_or(0);
  } else if (line.empty()) {
    if (transfer.options.on_head && transfer.status >= 200) transfer.options.on_head(transfer.status, transfer.response.headers);
  } else if (auto colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return size;
}

std::size_t on_data(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.options.on_body) {
    transfer.response.body.append(data, size);
    return size;
  }
  if (transfer.options.on_body({data, size})) return size;
  transfer.aborted = true;
  return 0;
}

std::size_t on_send(char* into, std::size_t, std::size_t room, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.options.body_source && transfer.sent == transfer.piece.size()) {
    transfer.piece = transfer.options.body_source();
    transfer.sent = 0;
  }
  std::string_view from = transfer.options.body_source ? std::string_view(transfer.piece) : transfer.body;
  auto count = std::min(room, from.size() - transfer.sent);
  std::memcpy(into, from.data() + transfer.sent, count);
  transfer.sent += count;
  return count;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.aborted = transfer.options.cancelled->load();
  return transfer.aborted ? 1 : 0;
}

// A connection that was kept may turn out to be closed; curl then starts the body again on a new one.
int on_seek(void* user, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.options.body_source || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer.sent = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

// A server on this machine is never behind a proxy, whatever the environment says.
bool is_loopback(std::string_view url) {
  auto start = url.find("://");
  auto host = url.substr(start == std::string_view::npos ? 0 : start + 3);
  host = host.substr(0, host.find('/'));
  auto name = host.starts_with('[') ? host.substr(0, host.find(']') + 1) : host.substr(0, host.find(':'));
  return name.starts_with("127.") || name == "localhost" || name.ends_with(".localhost") || name == "[::1]";
}

using HeaderList = std::unique_ptr<curl_slist, void (*)(curl_slist*)>;

HeaderList header_list(const Headers& headers) {
  curl_slist* list = nullptr;
  for (const auto& [name, value] : headers.items())  // "name;" is curl's way to send an empty value
    list = lib().curl_slist_append(list, (value.empty() ? name + ";" : name + ": " + value).c_str());
  if (!headers.find("expect")) list = lib().curl_slist_append(list, "Expect:");
  return {list, lib().curl_slist_free_all};
}

void set_method(CURL* curl, const Request& request, const FetchOptions& options, Transfer& transfer) {
  bool has_body = options.body_source || !request.body.empty() || request.method == "POST" || request.method == "PUT" ||
                  request.method == "PATCH";
  if (request.method == "HEAD") {
    lib().curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (has_body) {
    lib().curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    lib().curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    lib().curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
    lib().curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
    lib().curl_easy_setopt(curl, CURLOPT_SEEKDATA, &transfer);
    auto size = options.body_source ? options.body_size : static_cast<std::int64_t>(request.body.size());
    lib().curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
  }
  lib().curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method == "HEAD" ? nullptr : request.method.c_str());
}

Error error_of(CURLcode code, const Request& request, const FetchOptions& options, const Transfer& transfer,
               const char* detail) {
  auto what = std::string(*detail ? detail : lib().curl_easy_strerror(code));
  if (transfer.aborted) return {Code::Cancelled, request.method + " " + request.target + ": cancelled"};
  if (code == CURLE_OPERATION_TIMEDOUT)
    return {Code::DeadlineExceeded,
            fmt::format("{} {}: no answer within {} ms", request.method, request.target, options.timeout.count())};
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
    return {Code::InvalidArgument, fmt::format("{}: {}", request.target, what)};
  // "refused": it never got there, so it may be sent again whatever it asks for.
  auto reason = code == CURLE_COULDNT_CONNECT ? "refused" : "";
  return {Code::Unavailable, fmt::format("{} {}: {}", request.method, request.target, what), reason};
}

}  // namespace

Result<Response> fetch(const Request& request, const FetchOptions& options) {
  bool simple = !options.on_head && !options.on_body && !options.cancelled && options.unix_socket.empty() && options.stall.count() == 0 &&
                (!options.body_source || options.body_size >= 0);
  if (simple && is_plain_and_local(request.target)) return fetch_plainly(request, options);
  TRY_VOID(lib().library.ready());
  CURL* curl = thread_handle();
  Transfer transfer{.options = options, .body = request.body};
  char detail[CURL_ERROR_SIZE] = "";
  auto headers = header_list(request.headers);
  lib().curl_easy_setopt(curl, CURLOPT_URL, request.target.c_str());
  lib().curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);  // what was signed is what is sent
  lib().curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  lib().curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  lib().curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (options.stall.count() > 0) {
    lib().curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.stall.count()));
    lib().curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib().curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::chrono::ceil<Seconds>(options.stall).count()));
  } else {
    lib().curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  }
  lib().curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  lib().curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  lib().curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  lib().curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  lib().curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
  lib().curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (options.accept_compressed) lib().curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "zstd, gzip");  // what this libcurl lacks it leaves out
  if (is_loopback(request.target)) lib().curl_easy_setopt(curl, CURLOPT_PROXY, "");
  if (options.cancelled) {
    lib().curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    lib().curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib().curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  }
  if (!options.ca_file.empty()) lib().curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
  if (!options.unix_socket.empty()) lib().curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
  set_method(curl, request, options, transfer);

  auto code = lib().curl_easy_perform(curl);
  if (code != CURLE_OK) return fail(error_of(code, request, options, transfer, detail));
  long status = 0;
  lib().curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

}  // namespace watari::net
