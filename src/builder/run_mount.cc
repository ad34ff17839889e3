#include "builder/run_mount.h"

#include <charconv>

#include "base/strings.h"

namespace watari::builder {
namespace {

Result<std::uint32_t> number(std::string_view name, std::string_view text, int base) {
  std::uint32_t value = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem != std::errc{} || end != text.data() + text.size())
    return fail(Code::InvalidArgument, "--mount {}={} is no number", name, text);
  return value;
}

Result<void> set_option(RunMount& mount, const std::string& name, const std::string& value, bool given) {
  bool on = !given || value == "true" || value == "1";
  if (name == "target" || name == "dst" || name == "destination") mount.target = value;
  else if (name == "source" || name == "src") mount.source = value;
  else if (name == "from") mount.from = to_lower(value);
  else if (name == "id") mount.id = value;
  else if (name == "ro" || name == "readonly") mount.read_only = on;
  else if (name == "rw" || name == "readwrite") mount.read_only = !on;
  else if (name == "sharing" && (value == "shared" || value == "locked" || value == "private")) mount.locked = value != "shared";
  else if (name == "mode") { TRY(mount.mode, number(name, value, 8)); }
  else if (name == "uid") { TRY(mount.uid, number(name, value, 10)); }
  else if (name == "gid") { TRY(mount.gid, number(name, value, 10)); }
  else return fail(Code::InvalidArgument, "--mount option {}={} is not supported; expected target, source, from, id, ro, rw, sharing, mode, uid or gid", name, value);
  return {};
}

Result<RunMount> parse_mount(const std::string& text) {
  RunMount mount;
  bool bind = !text.contains("type=cache") && !text.contains("type=tmpfs");
  mount.read_only = bind;  // caches are there to be written
  for (const auto& option : split(text, ',')) {
    auto equals = option.find('=');
    auto name = to_lower(trim(std::string_view(option).substr(0, equals)));
    auto value = equals == std::string::npos ? "" : std::string(trim(std::string_view(option).substr(equals + 1)));
    if (name != "type") {
      TRY_VOID(set_option(mount, name, value, equals != std::string::npos));
      continue;
    }
    if (value == "cache") mount.type = RunMount::Type::Cache;
    else if (value == "tmpfs") mount.type = RunMount::Type::Tmpfs;
    else if (value != "bind")
      return fail(Code::InvalidArgument, "--mount=type={} is not supported; expected bind, cache or tmpfs", value);
  }
  if (mount.target.empty()) return fail(Code::InvalidArgument, "--mount={} has no target", text);
  if (mount.type == RunMount::Type::Cache && !mount.from.empty())
    return fail(Code::InvalidArgument, "--mount=type=cache with from= is not supported; copy the files in a step before");
  if (mount.id.empty()) mount.id = mount.target;
  return mount;
}

}  // namespace

Result<std::vector<RunMount>> run_mounts_of(const Instruction& run) {
  std::vector<RunMount> mounts;
  for (const auto& flag : run.flags) {
    if (flag.name != "mount") continue;
    TRY(auto mount, parse_mount(flag.value));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace watari::builder
