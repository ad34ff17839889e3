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

#include "base/id.h"
#include "base/strings.h"

namespace watari::aws {
namespace {

constexpr std::string_view kAccount = "123456789012";

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
    id = "AKIA";
    for (char c : random_hex(16)) id += c >= 'a' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c - '0' + 'G');
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

}  // namespace watari::aws
