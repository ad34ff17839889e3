#include "builder/run_mount.h"

#include <charconv>
#include <filesystem>

#include "base/nearest.h"
#include "base/strings.h"

namespace watari::builder {
namespace {

using Type = RunMount::Type;

struct Option {
  std::string name, value;
  bool given = false;  // it had a '='
};

// Fields are separated by commas; one in double quotes may hold them (RFC 4180).
Result<std::vector<Option>> options_of(const std::string& text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (char c : text) {
    if (c == '"') quoted = !quoted;
    else if (c == ',' && !quoted) fields.emplace_back();
    else fields.back() += c;
  }
  if (quoted) return fail(Code::InvalidArgument, "--mount={}: a double quote is not closed", text);
  std::vector<Option> options;
  for (const auto& field : fields) {
    auto equals = field.find('=');
    options.push_back({to_lower(trim(std::string_view(field).substr(0, equals))),
                       equals == std::string::npos ? "" : std::string(trim(std::string_view(field).substr(equals + 1))),
                       equals != std::string::npos});
  }
  return options;
}

Result<std::uint32_t> number(const Option& option, int base) {
  std::uint32_t value = 0;
  const auto& text = option.value;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem != std::errc{} || end != text.data() + text.size())
    return fail(Code::InvalidArgument, "--mount {}={} is no {} number", option.name, text, base == 8 ? "octal" : "decimal");
  return value;
}

// "512m" as bytes, as Docker reads sizes.
Result<std::int64_t> size_of(const Option& option) {
  auto text = to_lower(option.value);
  if (text.ends_with('b')) text.pop_back();
  auto unit = std::string_view("kmgt").find(text.empty() ? '?' : text.back());
  if (unit != std::string_view::npos) text.pop_back();
  auto count = parse_number<std::int64_t>(text);
  auto shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  if (!count || *count < 0 || *count > (std::int64_t{1} << 62 >> shift))
    return fail(Code::InvalidArgument, "--mount size={} is no size; expected for example 64m", option.value);
  return *count << shift;
}

Result<bool> flag_of(const Option& option) {
  if (!option.given) return true;
  if (auto value = parse_bool(option.value)) return *value;
  return fail(Code::InvalidArgument, "--mount {}={} is neither true nor false", option.name, option.value);
}

Result<Type> type_of(const std::string& name) {
  auto lower = to_lower(name);
  if (lower == "bind") return Type::Bind;
  if (lower == "cache") return Type::Cache;
  if (lower == "tmpfs") return Type::Tmpfs;
  if (lower == "secret") return Type::Secret;
  if (lower == "ssh") return Type::Ssh;
  static const std::vector<std::string> kKnown{"bind", "cache", "tmpfs", "secret", "ssh"};
  return fail(Code::InvalidArgument, "--mount=type={} is not known{}; expected bind, cache, tmpfs, secret or ssh", name, did_you_mean(lower, kKnown));
}

Result<void> set_sharing(RunMount& mount, const std::string& value) {
  if (value == "shared") mount.sharing = RunMount::Sharing::Shared;
  else if (value == "private") mount.sharing = RunMount::Sharing::Private;
  else if (value == "locked") mount.sharing = RunMount::Sharing::Locked;
  else return fail(Code::InvalidArgument, "--mount sharing={} is not known{}; expected shared, private or locked", value,
                   did_you_mean(value, std::vector<std::string>{"shared", "private", "locked"}));
  return {};
}

const std::vector<std::string> kOptions{"type", "target", "source", "from", "id", "readonly", "readwrite", "sharing", "required", "env", "size", "mode", "uid", "gid"};

Result<void> set_option(RunMount& mount, const Option& option) {
  const auto& [name, value, given] = option;
  bool plain = name == "ro" || name == "readonly" || name == "rw" || name == "readwrite" || name == "required";
  if (!given && !plain) return fail(Code::InvalidArgument, "--mount option `{}` has no value; expected {}=value", name, name);
  if (name == "target" || name == "dst" || name == "destination") mount.target = value;
  else if (name == "source" || name == "src") mount.source = value;
  else if (name == "from") mount.from = value;
  else if (name == "id") mount.id = value;
  else if (name == "env") mount.env = value;
  else if (name == "ro" || name == "readonly") { TRY(mount.read_only, flag_of(option)); }
  else if (name == "rw" || name == "readwrite") { TRY(bool on, flag_of(option)); mount.read_only = !on; }
  else if (name == "required") { TRY(mount.required, flag_of(option)); }
  else if (name == "sharing") { TRY_VOID(set_sharing(mount, to_lower(value))); }
  else if (name == "size") { TRY(mount.size, size_of(option)); }
  else if (name == "mode") { TRY(mount.mode, number(option, 8)); }
  else if (name == "uid") { TRY(mount.uid, number(option, 10)); mount.owned = true; }
  else if (name == "gid") { TRY(mount.gid, number(option, 10)); mount.owned = true; }
  else return fail(Code::InvalidArgument, "--mount option {} is not known{}; expected type, target, source, from, id, ro, rw, sharing, "
                                          "required, env, size, mode, uid or gid", name, did_you_mean(name, kOptions));
  return {};
}

// Which options have a meaning for a type. Source: the tables of the Dockerfile reference
Result<void> check_options(Type type, const std::vector<Option>& options) {
  static constexpr std::string_view kMeaning[] = {
      " target dst destination source src from ro readonly rw readwrite ",
      " id target dst destination ro readonly rw readwrite sharing from source src mode uid gid ",
      " target dst destination size ro readonly rw readwrite ",
      " id target dst destination source src required mode uid gid env ro readonly rw readwrite ",
      " id target dst destination required mode uid gid ro readonly rw readwrite "};
  static constexpr std::string_view kNames[] = {"bind", "cache", "tmpfs", "secret", "ssh"};
  auto index = static_cast<std::size_t>(type);
  for (const auto& option : options)
    if (option.name != "type" && !kMeaning[index].contains(" " + option.name + " "))
      return fail(Code::InvalidArgument, "--mount option {} has no meaning for type={}; expected one of{}", option.name, kNames[index], kMeaning[index]);
  return {};
}

// A secret: src is another word for id; the file is /run/secrets/<id> unless a target or a variable is named.
Result<void> complete_secret(RunMount& mount, bool has_source, bool has_target) {
  if (has_source && !mount.id.empty()) return fail(Code::InvalidArgument, "--mount=type=secret has both id and source; give one");
  if (mount.id.empty()) mount.id = has_source ? mount.source : std::filesystem::path(mount.target).filename().string();
  if (mount.id.empty()) return fail(Code::InvalidArgument, "--mount=type=secret has no id");
  if (mount.env && mount.env->empty()) return fail(Code::InvalidArgument, "--mount=type=secret has env= without a name; expected for example env={}", mount.id);
  if (!has_target && !mount.env) mount.target = "/run/secrets/" + std::filesystem::path(mount.id).filename().string();
  return {};
}

Result<RunMount> parse_mount(const std::string& text, const ExpandWord& expand) {
  TRY(auto options, options_of(text));
  RunMount mount;
  bool writable_said = false;
  for (auto& option : options) {
    if (option.name != "from") {
      TRY(option.value, expand(option.value));
    }
    if (option.name == "type") {
      TRY(mount.type, type_of(option.value));
    } else {
      TRY_VOID(set_option(mount, option));
      writable_said = writable_said || option.name.starts_with("r");
    }
  }
  TRY_VOID(check_options(mount.type, options));
  if (!writable_said || mount.type == Type::Secret || mount.type == Type::Ssh) mount.read_only = mount.type != Type::Cache && mount.type != Type::Tmpfs;
  if (mount.type == Type::Secret) {
    TRY_VOID(complete_secret(mount, mount.source != "/", !mount.target.empty()));
  } else if (mount.type == Type::Ssh) {
    if (mount.id.empty()) mount.id = "default";
  } else if (mount.target.empty()) {
    return fail(Code::InvalidArgument, "--mount={} has no target", text);
  }
  if (mount.id.empty()) mount.id = mount.target;
  return mount;
}

}  // namespace

Result<std::vector<RunMount>> run_mounts_of(const Instruction& run, const ExpandWord& expand) {
  std::vector<RunMount> mounts;
  for (const auto& flag : run.flags) {
    if (flag.name != "mount") continue;
    TRY(auto mount, parse_mount(flag.value, expand));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<std::vector<std::string>> mount_origins_of(const Instruction& run) {
  std::vector<std::string> names;
  for (const auto& flag : run.flags) {
    if (flag.name != "mount") continue;
    TRY(auto options, options_of(flag.value));
    for (const auto& option : options)
      if (option.name == "from" && !option.value.empty()) names.push_back(option.value);
  }
  return names;
}

}  // namespace watari::builder
