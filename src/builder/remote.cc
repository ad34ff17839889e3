#include "builder/remote.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <fstream>
#include <utility>

#include "base/digest.h"
#include "base/strings.h"
#include "builder/dockerfile.h"
#include "builder/rooted.h"
#include "net/client.h"
#include "net/sigv4.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

bool is_http(std::string_view word) { return word.starts_with("http://") || word.starts_with("https://"); }

// "Sun, 06 Nov 1994 08:49:37 GMT". Source: RFC 9110 section 5.6.7
std::optional<std::time_t> http_date(std::string_view text) {
  std::tm parts{};
  if (text.empty() || !::strptime(std::string(text).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts)) return std::nullopt;
  return ::timegm(&parts);
}

Result<net::Response> fetch_to(const std::string& url, int fd, Sha256Stream& hash, Millis timeout, const StopSignal& stop) {
  bool disk_failed = false;
  auto take = [&](std::string_view bytes) {
    hash.update(bytes);
    disk_failed = ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size());
    return !disk_failed && !stop.stopped();
  };
  net::Request request{.method = "GET", .target = url};
  auto response = net::fetch(request, {.timeout = timeout, .on_body = take});
  if (disk_failed) return sys::fail_errno("store what " + url + " answered");
  TRY_VOID(stop.check());
  return response;
}

}  // namespace

bool is_http_source(std::string_view word) { return is_http(word) && !parse_git_source(word); }

namespace {

std::string named(const std::string& name, const std::string& prefix) { return name.starts_with(prefix) ? name : prefix + name; }

// Puts what the query says into `source`; what is wrong with it, or "".
std::string take_query(std::string_view query, GitSource& source) {
  const auto set = [](std::string& member, const std::string& value) {
    const auto before = std::exchange(member, value);
    return before.empty() || before == value;
  };
  for (const auto& [key, value] : net::parse_query(query, true)) {
    const bool may_be_empty = key == "keep-git-dir" || key == "submodules";
    if (value.empty() && !may_be_empty) return fmt::format("{} has no value", key);
    bool once = true;
    if (key == "ref") once = set(source.ref, value);
    else if (key == "tag") once = set(source.ref, named(value, "refs/tags/"));
    else if (key == "branch") once = set(source.ref, named(value, "refs/heads/"));
    else if (key == "subdir") once = set(source.subdirectory, value);
    else if (key == "commit" || key == "checksum") once = set(source.checksum, value);
    else if (may_be_empty) {
      auto on = value.empty() ? std::optional(true) : parse_bool(value);
      if (!on) return fmt::format("{}={} is neither true nor false", key, value);
      if (key == "submodules") source.submodules = *on;
      else source.keep_git_dir = on;
    } else {
      return fmt::format("{} is not known; expected ref, tag, branch, subdir, commit, checksum, keep-git-dir or submodules", key);
    }
    if (!once) return fmt::format("{} says something else than what stands before it", key);
  }
  return {};
}

}  // namespace

std::optional<GitSource> parse_git_source(std::string_view word) {
  auto hash = word.find('#');
  auto question = word.substr(0, hash).find('?');
  auto url = word.substr(0, std::min(hash, question));
  bool ssh = url.starts_with("git@") || url.starts_with("ssh://") || url.starts_with("git+ssh://");
  bool git = url.starts_with("git://") || (is_http(url) && url.ends_with(".git"));
  if (!ssh && !git) return std::nullopt;
  GitSource source{.url = std::string(url), .problem = {}};
  if (hash != std::string_view::npos) {
    auto fragment = word.substr(hash + 1);
    auto colon = fragment.find(':');
    source.ref = fragment.substr(0, colon);
    if (colon != std::string_view::npos) source.subdirectory = fragment.substr(colon + 1);
  }
  if (question != std::string_view::npos) source.problem = take_query(word.substr(question + 1, std::min(hash, word.size()) - question - 1), source);
  return source;
}

Result<std::string> download(const std::string& url, const fs::path& file, const RemoteOptions& options, const StopSignal& stop) {
  sys::Fd out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!out) return sys::fail_errno("create " + file.string());
  Sha256Stream hash;
  auto where = url;
  Result<net::Response> response = fetch_to(where, out.get(), hash, options.timeout, stop);
  for (int redirects = 0; response && response->status >= 300 && response->status < 400; ++redirects) {
    auto location = response->headers.get("location");
    if (redirects == 10 || location.empty()) return fail(Code::Unavailable, "{} leads in circles", url);
    auto host_end = where.find('/', where.find("://") + 3);
    where = location.starts_with('/') ? where.substr(0, host_end) + std::string(location) : std::string(location);
    if (!is_http(where)) return fail(Code::Unavailable, "{} leads to {}, which is not fetched; expected http or https", url, where);
    if (::ftruncate(out.get(), 0) != 0 || ::lseek(out.get(), 0, SEEK_SET) != 0) return sys::fail_errno("empty " + file.string());
    hash = Sha256Stream();
    response = fetch_to(where, out.get(), hash, options.timeout, stop);
  }
  if (!response) return fail(response.error().within("fetch " + url));
  if (response->status != 200) return fail(Code::Unavailable, "fetch {}: the server answered {}", url, response->status);
  auto digest = "sha256:" + hex(hash.finish());
  if (!options.checksum.empty() && options.checksum != digest)
    return fail(Code::InvalidArgument, "{} has the checksum {}, expected {}", url, digest, options.checksum);
  // Without Last-Modified the time is fixed: the same file makes the same layer.
  auto time = http_date(response->headers.get("last-modified")).value_or(0);
  std::array<timespec, 2> times{timespec{time, 0}, timespec{time, 0}};
  ::futimens(out.get(), times.data());
  return digest;
}

// The repository's own, and what points there in submodules: it names a directory of this machine.
static void remove_git_data(const fs::path& directory) {
  fs::remove_all(directory / ".git");
  std::vector<fs::path> pointers;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.path().filename() == ".git" && entry.is_regular_file() && !entry.is_symlink()) pointers.push_back(entry.path());
  for (const auto& each : pointers) fs::remove(each);
}

Result<std::string> check_out(const GitSource& source, const fs::path& directory, const RemoteOptions& options, const StopSignal& stop,
                              const OnLine& on_line) {
  std::string output;
  auto git = [&](std::vector<std::string> words) -> Result<void> {
    std::vector<std::string> argv{"env", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C", "git",
                                  "-c", "core.hooksPath=/dev/null", "-c", "protocol.file.allow=never", "-c", "init.defaultBranch=main",
                                  "-c", "advice.detachedHead=false", "-C", directory};
    std::ranges::copy(words, std::back_inserter(argv));
    output.clear();
    TRY(int code, run_contained(argv, options.timeout, stop, [&](std::string_view line) {
      output.append(line).append("\n");
      on_line(line);
    }));
    if (code == 0) return {};
    return fail(Code::Unavailable, "git {} of {} ended with {}: {}", words[0], source.url, code, trim(output));
  };
  if (source.url.starts_with('-') || source.ref.starts_with('-')) return fail(Code::InvalidArgument, "`{}` is no repository", source.url);
  TRY_VOID(git({"init", "-q"}));
  auto ref = source.ref.empty() ? "HEAD" : source.ref;
  const bool commit_named = ref.size() == 40 && ref.find_first_not_of("0123456789abcdef") == std::string::npos;
  auto fetched = git({"fetch", "-q", "--depth=1", "--no-tags", source.url, ref});
  // Not every server gives a commit that is no branch's end.
  if (!fetched && commit_named && !stop.stopped()) {
    TRY_VOID(git({"fetch", "-q", source.url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"}));
  } else if (!fetched) {
    return fail(fetched.error());
  }
  TRY_VOID(git({"checkout", "-q", fetched ? "FETCH_HEAD" : ref}));
  TRY_VOID(git({"rev-parse", "HEAD"}));
  auto commit = std::string(trim(output));
  if (!options.checksum.empty() && !commit.starts_with(options.checksum))
    return fail(Code::InvalidArgument, "{} is at the commit {}, expected {}", source.url, commit, options.checksum);
  if (source.submodules && fs::exists(fs::symlink_status(directory / ".gitmodules"))) {
    TRY_VOID(git({"remote", "add", "origin", source.url}));  // what relative addresses of submodules are relative to
    TRY_VOID(git({"submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"}));
  }
  if (!options.keep_git_dir) remove_git_data(directory);
  return commit;
}

}  // namespace watari::builder
