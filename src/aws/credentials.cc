#include "aws/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"
#include "codec/json.h"

namespace watari::aws {
namespace {

constexpr std::string_view kAccount = "123456789012";

std::string new_key_id(std::string id) {
  for (char c : random_hex(16)) id += c >= 'a' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c - '0' + 'G');
  return id;
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Written beside and renamed, so that the file is never half there.
Result<void> write_private(const std::string& path, const std::string& text) {
  auto temporary = path + ".new";
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::Unavailable, "cannot write {}: {}", temporary, std::strerror(errno));
  bool written = ::fchmod(fd, 0600) == 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  int reason = errno;
  ::close(fd);
  if (!written) return fail(Code::Unavailable, "cannot write {}: {}", temporary, std::strerror(reason));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(Code::Unavailable, "cannot write {}: {}", path, std::strerror(errno));
  if (int folder = ::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

Result<Credentials> parse(const std::string& path, const std::string& text) {
  std::string section, id, secret;
  for (const auto& raw : split(text, '\n')) {
    auto line = trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      section = std::string(line);
      continue;
    }
    auto equals = line.find('=');
    if (section != "[default]" || equals == std::string_view::npos) continue;
    auto name = trim(line.substr(0, equals));
    auto value = std::string(trim(line.substr(equals + 1)));
    if (name == "aws_access_key_id") id = value;
    if (name == "aws_secret_access_key") secret = value;
  }
  if (id.empty() || secret.empty())
    return fail(Code::Corrupt, "{}: no aws_access_key_id and aws_secret_access_key below [default]; repair it, or remove it to get a new key",
                path);
  return Credentials(id, secret);
}

}  // namespace

Result<Credentials> Credentials::open(const std::string& root) {
  auto path = root + "/credentials";
  if (std::ifstream file(path); file) {
    std::ostringstream text;
    text << file.rdbuf();
    return parse(path, text.str());
  }
  if (std::filesystem::exists(path)) return fail(Code::PermissionDenied, "cannot read {}: start as the user who made it", path);
  auto id = from_environment("WATARI_ROOT_ACCESS_KEY_ID"), secret = from_environment("WATARI_ROOT_SECRET_ACCESS_KEY");
  if (id.empty() != secret.empty())
    return fail(Code::InvalidArgument, "set both WATARI_ROOT_ACCESS_KEY_ID and WATARI_ROOT_SECRET_ACCESS_KEY, or neither");
  if (id.empty()) {
    id = new_key_id("AKIA");
    secret = random_hex(40);
  }
  TRY_VOID(write_private(path, fmt::format("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", id, secret)));
  return Credentials(id, secret);
}

std::optional<Credentials::Key> Credentials::find(std::string_view access_key_id) const {
  if (access_key_id != access_key_id_) return std::nullopt;
  std::string account(kAccount);
  return Key{secret_, Principal{account, account, "arn:aws:iam::" + account + ":root"}};
}

std::string Credentials::seal(std::string_view purpose, std::string_view text) const {
  std::span key(reinterpret_cast<const std::uint8_t*>(secret_.data()), secret_.size());
  return hex(hmac_sha256(key, fmt::format("watari-session-{}\n{}", purpose, text)));
}

Credentials::Session Credentials::make_session(const Principal& principal, Time expires_at) const {
  Session out{.access_key_id = new_key_id("ASIA"), .expires_at = expires_at};
  auto claims = codec::Json::object({{"key", out.access_key_id}, {"account", principal.account}, {"user", principal.user_id},
                                     {"arn", principal.arn}, {"until", expires_at.time_since_epoch().count()}});
  auto body = base64(claims.dump());
  out.secret = seal("secret", body).substr(0, 40);
  out.token = body + "." + seal("token", body);
  return out;
}

Result<Credentials::Key> Credentials::find_session(std::string_view access_key_id, std::string_view token, Time now) const {
  auto refuse = [](const char* reason, const char* message) { return fail(Error{Code::Unauthenticated, message, reason}); };
  constexpr auto kInvalid = "The security token included in the request is invalid.";
  auto dot = token.find('.');
  std::string text;
  if (dot == std::string_view::npos || seal("token", token.substr(0, dot)) != token.substr(dot + 1) ||
      !base64_decode(token.substr(0, dot), text))
    return refuse("InvalidClientTokenId", kInvalid);
  TRY(auto claims, codec::parse_json(text));
  if (claims["key"].as_string() != access_key_id) return refuse("InvalidClientTokenId", kInvalid);
  if (now >= Time(Millis(claims["until"].as_int()))) return refuse("ExpiredToken", "The security token included in the request is expired");
  return Key{seal("secret", token.substr(0, dot)).substr(0, 40),
             Principal{claims["account"].as_string(), claims["user"].as_string(), claims["arn"].as_string()}};
}

}  // namespace watari::aws
