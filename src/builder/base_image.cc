#include "builder/base_image.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include "base/strings.h"
#include "builder/base_extras.h"
#include "builder/sbom.h"
#include "codec/reflect.h"
#include "oci/reference.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;

// Times in a base image are cut to this, so that they do not depend on when it was made. 2023-06-10, the release of Debian 12.
constexpr std::int64_t kEpoch = 1686355200;
constexpr const char* kCreated = "2023-06-10T00:00:00Z";
constexpr Millis kTimeout{1'800'000};

bool is_plain(std::string_view word) {
  return !word.empty() && word[0] != '-' && std::ranges::all_of(word, [](unsigned char c) { return std::isalnum(c) || std::string_view("+-.:_").contains(c); });
}

Result<void> check(const BaseRequest& request) {
  if (!oci::valid_repository(request.name)) return fail(Code::InvalidArgument, "`{}` is no image name; expected lower-case letters, digits, - _ . /", request.name);
  if (!is_plain(request.suite)) return fail(Code::InvalidArgument, "`{}` is no suite; expected for example bookworm", request.suite);
  for (const auto& package : request.packages)
    if (!is_plain(package)) return fail(Code::InvalidArgument, "`{}` is no package name", package);
  return {};
}

// The host's own archives that carry the suite; none means mmdebstrap's default for it.
std::vector<std::string> host_sources(const std::string& suite) {
  std::vector<std::string> files;
  auto consider = [&](const fs::path& path) {
    auto extension = path.extension();
    if (extension != ".list" && extension != ".sources") return;
    auto text = sys::read_file(path);
    if (text && text->contains(suite)) files.push_back(path);
  };
  consider("/etc/apt/sources.list");
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/etc/apt/sources.list.d", none)) consider(entry.path());
  std::ranges::sort(files);
  return files;
}

// Where the certificates wait for mmdebstrap; in the /tmp that only it sees.
constexpr const char* kCertificates = "/tmp/certificates";

// Commands for the tree in "$1". Names and numbers were checked (base_extras.h): none needs quoting.
std::vector<std::string> extra_hooks(const BaseExtras& extras) {
  std::vector<std::string> out;
  for (const auto& user : extras.users) {
    out.push_back(fmt::format("cd \"$1\" && if grep -q -e '^{0}:' -e '^[^:]*:[^:]*:{1}:' etc/passwd; then echo 'the system has a user {0} or a uid {1} already'; exit 1; fi",
                              user.name, user.uid));
    out.push_back(fmt::format("cd \"$1\" && {{ grep -q '^[^:]*:[^:]*:{1}:' etc/group || {{ echo '{2}' >> etc/group; echo '{0}:!::' >> etc/gshadow; }}; }} && echo '{3}' >> etc/passwd && "
                              "echo '{4}' >> etc/shadow && mkdir -p home/{0} && chown {5}:{1} home/{0} && chmod 755 home/{0}",
                              user.name, user.gid, group_line(user), passwd_line(user), shadow_line(user, kEpoch / 86400), user.uid));
  }
  if (!extras.certificates.empty())
    out.push_back(fmt::format("mkdir -p \"$1/usr/local/share/ca-certificates\" && cp {}/*.crt \"$1/usr/local/share/ca-certificates/\" && chroot \"$1\" update-ca-certificates", kCertificates));
  return out;
}

std::vector<std::string> mmdebstrap_command(const BaseRequest& request, const BaseExtras& extras, const fs::path& tar, const fs::path& status) {
  auto packages = request.packages;
  if (!extras.certificates.empty() && std::ranges::find(packages, "ca-certificates") == packages.end()) packages.push_back("ca-certificates");
  std::vector<std::string> argv{"env", "SOURCE_DATE_EPOCH=" + std::to_string(kEpoch), "LC_ALL=C", "mmdebstrap", "--mode=root",
                                "--variant=minbase", "--format=tar", "--skip=output/dev",
                                "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
                                "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
                                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                                "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""};
  if (!packages.empty()) argv.push_back("--include=" + join(packages, ","));
  // Services are not started while packages are installed in an image, as in Docker's base images.
  argv.push_back("--customize-hook=printf '#!/bin/sh\\nexit 101\\n' > \"$1/usr/sbin/policy-rc.d\" && chmod 755 \"$1/usr/sbin/policy-rc.d\"");
  for (const auto& hook : extra_hooks(extras)) argv.push_back("--customize-hook=" + hook);
  argv.push_back("--customize-hook=rm -rf \"$1\"/etc/resolv.conf \"$1\"/etc/hostname \"$1\"/var/log/*.log \"$1\"/var/log/apt "
                 "\"$1\"/var/cache/ldconfig/aux-cache \"$1\"/etc/*- \"$1\"/var/lib/dpkg/*-old && : > \"$1/etc/machine-id\"");
  argv.push_back("--customize-hook=cp \"$1/var/lib/dpkg/status\" " + status.string());
  argv.insert(argv.end(), {request.suite, tar});
  std::ranges::copy(host_sources(request.suite), std::back_inserter(argv));
  return argv;
}

std::int64_t available_memory() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("MemAvailable:")) return std::strtoll(line.c_str() + 13, nullptr, 10) * 1024;
  return 0;
}

// mmdebstrap works in /tmp, which apt's own user must be able to reach. While this lives, /tmp is another one for this thread and its
// children: in memory where there is plenty (dpkg flushes every file, which makes a disk ten times slower), else on disk.
class OwnTmp {
 public:
  static Result<OwnTmp> mount(const fs::path& directory) {
    auto memory = available_memory();
    auto options = fmt::format("mode=1777,size={}", memory / 2);
    if (memory >= std::int64_t{4} << 30) {
      if (::mount("tmpfs", "/tmp", "tmpfs", 0, options.c_str()) != 0) return sys::fail_errno("mount a /tmp of its own");
    } else {
      fs::create_directories(directory);
      fs::permissions(directory, fs::perms(01777));
      if (::mount(directory.c_str(), "/tmp", nullptr, MS_BIND, nullptr) != 0) return sys::fail_errno("mount a /tmp of its own");
    }
    return OwnTmp(true);
  }
  OwnTmp(OwnTmp&& other) noexcept : mounted_(std::exchange(other.mounted_, false)) {}
  OwnTmp& operator=(OwnTmp&&) = delete;
  ~OwnTmp() {
    if (mounted_) ::umount2("/tmp", MNT_DETACH);
  }

 private:
  explicit OwnTmp(bool mounted) : mounted_(mounted) {}
  bool mounted_;
};

// How the base was made, as ListBaseImages reads it again. What was not asked for is not named: a base made before there was a choice stays the same.
std::string recipe(const BaseRequest& request) {
  auto all = codec::to_json(request);
  auto out = codec::Json::object();
  for (const auto& [name, value] : all.as_object())
    if ((name != "users" && name != "certificates") || !value.as_array().empty()) out.set(name, value);
  return out.dump();
}

// Also attaches the list of its packages; `dpkg_status` may be empty.
Result<oci::Image> add_base(oci::ImageStore& images, oci::Layer layer, oci::ImageConfig config, const BaseRequest& request, const BaseExtras& extras,
                            std::string_view dpkg_status, const OnLine& on_line) {
  oci::Image image;
  image.created = kCreated;
#if defined(__aarch64__)
  image.architecture = "arm64";
#endif
  image.config = std::move(config);
  image.layers = {std::move(layer)};
  // The comment is read again by ListBaseImages.
  image.history = {{"watari base build " + base_tag(request), recipe(request), false}};
  TRY(auto added, images.add_image(std::move(image)));
  TRY(auto reference, oci::parse_reference(base_tag(request)));
  TRY(auto sbom, images.attach(reference.repository, added.digest, {{std::string(kSpdx), spdx_of_dpkg(base_tag(request), dpkg_status, kCreated, &extras), {}}}));
  TRY_VOID(images.tag(reference.repository, reference.tag, added.digest));
  on_line("the list of its packages (SPDX) is " + sbom.front());
  return added;
}

oci::ImageConfig base_config(std::string shell) {
  oci::ImageConfig config;
  config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  config.cmd = {std::move(shell)};
  return config;
}

// Every file gets the fixed time, so that the layer is the same whenever it is made.
void set_times(const fs::path& directory) {
  const timespec times[2] = {{kEpoch, 0}, {kEpoch, 0}};
  for (const auto& entry : fs::recursive_directory_iterator(directory)) ::utimensat(AT_FDCWD, entry.path().c_str(), times, AT_SYMLINK_NOFOLLOW);
}

Result<std::string> host_busybox() {
  for (std::string path : {"/usr/bin/busybox", "/bin/busybox"}) {
    auto bytes = sys::read_file(path);
    if (!bytes) continue;
    if (bytes->contains("/ld-linux") || bytes->contains("/ld-musl"))
      return fail(Code::FailedPrecondition, "{} is not static; install the package busybox-static", path);
    return path;
  }
  return fail(Code::FailedPrecondition, "no busybox on this machine; install the package busybox-static");
}

void write(const fs::path& path, std::string_view text, unsigned mode = 0644) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
  fs::permissions(path, fs::perms(mode));
}

// Of a busybox base.
Result<void> write_accounts(const fs::path& root, const BaseExtras& extras) {
  std::string passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n", group = "root:x:0:\nnogroup:x:65534:\n";
  std::set<std::uint32_t> groups{0, 65534};
  for (const auto& user : extras.users) {
    if (user.name == "nobody" || user.uid == 65534) return fail(Code::InvalidArgument, "the system has a user nobody with the uid 65534 already");
    passwd += passwd_line(user) + "\n";
    if (groups.insert(user.gid).second) group += group_line(user) + "\n";
    auto home = root / "home" / user.name;
    fs::create_directory(home);
    fs::permissions(home, fs::perms(0755));
    if (::chown(home.c_str(), user.uid, user.gid) != 0) return sys::fail_errno("set owner of " + home.string());
  }
  write(root / "etc/passwd", passwd);
  write(root / "etc/group", group);
  return {};
}

}  // namespace

std::string base_tag(const BaseRequest& request) { return request.name + ":" + (request.from == "busybox" ? "latest" : request.suite); }

Result<oci::Image> make_debian_base(const BaseRequest& request, oci::ImageStore& images, const fs::path& scratch, const StopSignal& stop,
                                    const OnLine& on_line) {
  TRY_VOID(check(request));
  TRY(auto extras, extras_of(request));
  int code = 0;
  std::ifstream tar;
  std::string packages;
  {
    // The archive is opened while it has a name; the server's root may lie in the real /tmp, which is back after this block.
    TRY(auto tmp, OwnTmp::mount(scratch / "tmp"));
    if (!extras.certificates.empty()) fs::create_directories(kCertificates);
    for (const auto& each : extras.certificates) write(fs::path(kCertificates) / each.file, each.pem);
    TRY(code, run_contained(mmdebstrap_command(request, extras, "/tmp/base.tar", "/tmp/dpkg-status"), kTimeout, stop, on_line));
    tar.open("/tmp/base.tar", std::ios::binary);
    packages = sys::read_file("/tmp/dpkg-status").value_or("");
  }
  if (code == 125 || code == 127) return fail(Code::FailedPrecondition, "mmdebstrap is not there; install the package mmdebstrap");
  if (code != 0) return fail(Code::FailedPrecondition, "mmdebstrap ended with exit code {}; its last lines say why", code);
  on_line("importing the root file system");
  auto source = [&](std::span<char> into) -> Result<std::size_t> {
    tar.read(into.data(), static_cast<std::streamsize>(into.size()));
    return static_cast<std::size_t>(tar.gcount());
  };
  TRY(auto layer, oci::import_layer(images, source));
  return add_base(images, std::move(layer), base_config("bash"), request, extras, packages, on_line);
}

Result<oci::Image> make_busybox_base(const BaseRequest& request, oci::ImageStore& images, const StopSignal& stop, const OnLine& on_line) try {
  TRY_VOID(check(request));
  TRY(auto extras, extras_of(request));
  if (!request.packages.empty()) return fail(Code::InvalidArgument, "a busybox base has no packages; make a debian base");
  TRY(auto busybox, host_busybox());
  std::vector<std::string> applets;
  TRY(int code, run_contained({busybox, "--list"}, Millis{10'000}, stop, [&](std::string_view name) { applets.emplace_back(name); }));
  if (code != 0) return fail(Code::FailedPrecondition, "{} --list ended with exit code {}", busybox, code);
  TRY(auto root, images.scratch_directory());
  fs::permissions(root, fs::perms(0755));
  for (const char* directory : {"bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "sbin", "var/tmp"})
    fs::create_directories(root / directory);
  for (const char* directory : {"tmp", "var/tmp"}) fs::permissions(root / directory, fs::perms(01777));
  fs::permissions(root / "root", fs::perms(0700));
  fs::copy_file(busybox, root / "bin/busybox");
  fs::permissions(root / "bin/busybox", fs::perms(0755));
  for (const auto& applet : applets)
    if (applet != "busybox") fs::create_symlink("busybox", root / "bin" / applet);
  TRY_VOID(write_accounts(root, extras));
  std::string trusted;
  for (const auto& each : extras.certificates) trusted += each.pem;
  if (!trusted.empty()) write(root / "etc/ssl/certs/ca-certificates.crt", trusted);
  set_times(root);
  TRY(auto layer, images.add_layer(root));
  on_line(fmt::format("{} with {} applets", busybox, applets.size()));
  return add_base(images, std::move(layer), base_config("sh"), request, extras, "", on_line);
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "make the busybox base: {}", e.what());
}

}  // namespace watari::builder
