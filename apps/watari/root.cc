#include "watari/root.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "base/id.h"
#include "base/strings.h"
#include "sys/files.h"

namespace watari {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return std::string(trim(line));
}

// All or nothing, also when the power fails in between.
Result<void> write_file(const fs::path& file, const std::string& text, mode_t mode) {
  return sys::replace_file(file, text, mode, true);
}

Result<void> make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) return fail(Code::Unavailable, "create {}: {}", path.parent_path().string(), error.message());
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return fail(Code::InvalidArgument, "{} is not a directory", path.string());
  }
  return sys::fail_errno("create " + path.string());
}

Result<sys::Fd> take_lock(const fs::path& root) {
  auto file = root / "lock";
  sys::Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return sys::fail_errno("open " + file.string());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return sys::fail_errno("lock " + file.string());
    return fail(Code::Unavailable, "{} is in use by another server (pid {}): stop it with `watari stop --root {}`, or choose "
                "another --root", root.string(), first_line(file), root.string());
  }
  auto pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0)
    return sys::fail_errno("write " + file.string());
  return fd;
}

}  // namespace

Result<Root> Root::open(const std::string& directory) {
  Root root;
  root.path = fs::absolute(directory).lexically_normal();
  if (root.path.filename().empty()) root.path = root.path.parent_path();
  TRY_VOID(make_directory(root.path));
  // A root made by hand (`mktemp -d` and `mkdir` differ) holds keys from now on.
  if (::chmod(root.path.c_str(), 0700) != 0) return sys::fail_errno("chmod " + root.path.string());
  TRY(root.lock, take_lock(root.path));
  auto id = read_root_id(root.path);
  if (!id) {
    id = random_hex(8);
    TRY_VOID(write_file(root.path / "root-id", *id + "\n", 0644));
  }
  root.id = *id;
  return root;
}

Result<void> Root::write_endpoint(const std::string& url) const { return write_file(path / "endpoint", url + "\n", 0644); }

Result<void> Root::write_trust(const std::string& authority) const {
  auto host = sys::read_file("/etc/ssl/certs/ca-certificates.crt");  // Debian's and Ubuntu's; a host without it trusts nobody
  const auto text = host.value_or("") + authority;
  if (sys::read_file(path / "ca-bundle.pem").value_or("") == text) return {};  // a full disk does not keep the server from starting
  return write_file(path / "ca-bundle.pem", text, 0644);
}

void Root::remove_endpoint() const { ::unlink((path / "endpoint").c_str()); }

Result<std::string> read_root_id(const fs::path& root) {
  auto id = first_line(root / "root-id");
  if (id.size() == 8 && id.find_first_not_of("0123456789abcdef") == std::string::npos) return id;
  return fail(Code::NotFound, "{} is no root directory of a server (no root-id in it)", root.string());
}

Result<pid_t> serving_process(const fs::path& root) {
  auto file = root / "lock";
  sys::Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? Result<pid_t>(0) : Result<pid_t>(sys::fail_errno("open " + file.string()));
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return 0;
  if (errno != EWOULDBLOCK) return sys::fail_errno("lock " + file.string());
  auto pid = parse_number<pid_t>(first_line(file));
  if (!pid) return fail(Code::Corrupt, "{} names no process", file.string());
  return *pid;
}

}  // namespace watari
