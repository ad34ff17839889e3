#pragma once
// Another registry, as a client: finds out how it wants to be logged in to, repeats what fails for a moment, follows redirects.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, https://distribution.github.io/distribution/spec/auth/token/
#include <mutex>
#include <string>

#include "base/result.h"
#include "net/client.h"

namespace watari::registry {

// "ghcr.io/team/web:1", "127.0.0.1:5000/web@sha256:…", "docker.io/library/debian".
struct RemoteName {
  std::string host;        // with port, as it is connected to
  std::string repository;
  std::string reference;   // tag or digest; "latest" when none is given
};
// InvalidArgument when no registry is named or the rest is no image name.
Result<RemoteName> parse_remote(const std::string& text);

struct RemoteOptions {
  std::string user, password;  // empty: anonymous
  std::string ca_file;
  Millis stall{30'000};        // a transfer that stands still for longer is broken off and resumed
  int attempts = 6;            // of one request, or of a transfer without progress
};

// Of a connection that may be better the next time.
bool is_passing(const Error& error);

// One repository of it. Thread-safe: layers go in parallel.
class Remote {
 public:
  Remote(RemoteName name, RemoteOptions options);

  // `path` is below /v2/<repository>/, or a URL that the registry has answered. Any final status is a success; 401, 429 and 5xx are only
  // returned when logging in or waiting did not help. With `on_body` a connection that breaks is the caller's to repeat, who knows what has come.
  // `push`: the login must allow writing.
  Result<net::Response> request(const std::string& method, const std::string& path, net::Headers headers, const net::FetchOptions& options, bool push = false);
  // Once, without repeating: for bodies that cannot be sent twice.
  Result<net::Response> once(const std::string& method, const std::string& path, net::Headers headers, net::FetchOptions options);

  // Answers a challenge (WWW-Authenticate of a 401); the requests after it carry what came of it.
  Result<void> log_in(std::string_view challenge, bool push);

  const RemoteName& name() const { return name_; }
  const RemoteOptions& options() const { return options_; }
  // What a status means that the caller cannot go on with.
  Error refusal(const std::string& what, const net::Response& response) const;
  static void back_off(int attempt, const net::Response* response);

 private:
  std::string url_of(const std::string& path) const;
  Result<std::string> fetch_token(std::string_view challenge, bool push) const;

  RemoteName name_;
  RemoteOptions options_;
  std::string base_;  // "https://host"
  std::mutex mutex_;
  std::string authorization_;  // the header's value, once a challenge was answered
};

}  // namespace watari::registry
