#include "builder/base_extras.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::builder {

namespace {

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----", kEnd = "-----END CERTIFICATE-----";

// Debian's rule for names. Source: https://manpages.debian.org/bookworm/passwd/useradd.8.en.html#CAVEATS
bool is_user_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && (std::islower(static_cast<unsigned char>(name[0])) || name[0] == '_') &&
         std::ranges::all_of(name, [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '_' || c == '-'; });
}

Result<BaseUser> user_of(const std::string& text) {
  const auto parts = split(text, ':');
  BaseUser out{.name = parts[0]};
  auto uid = parts.size() > 1 ? parse_number<std::uint32_t>(parts[1]) : std::nullopt;
  auto gid = parts.size() > 2 ? parse_number<std::uint32_t>(parts[2]) : uid;
  constexpr std::uint32_t kMost = 4'294'967'293;  // the two above mean "none"
  if (parts.size() > 3 || !is_user_name(out.name) || !uid || !gid || *uid == 0 || *uid > kMost || *gid > kMost)
    return fail(Code::InvalidArgument, "`{}` is no user; expected name:uid or name:uid:gid, for example app:1000, with a name of lower-case letters, digits, _ and -, and a uid above 0", text);
  out.uid = *uid;
  out.gid = *gid;
  return out;
}

Result<void> take_certificates(std::string_view text, std::map<std::string, BaseCertificate>& out) {
  if (text.contains("PRIVATE KEY")) return fail(Code::InvalidArgument, "a private key does not belong into an image; give the file with the certificate only");
  bool any = false;
  for (auto at = text.find(kBegin); at != text.npos; at = text.find(kBegin, at)) {
    auto end = text.find(kEnd, at);
    if (end == text.npos) return fail(Code::InvalidArgument, "a certificate has no line `{}`", kEnd);
    std::string base;
    for (char c : text.substr(at + kBegin.size(), end - at - kBegin.size()))
      if (!std::isspace(static_cast<unsigned char>(c))) base += c;
    std::string der;
    // A certificate is an ASN.1 sequence.
    if (!base64_decode(base, der) || der.size() < 64 || der[0] != 0x30) return fail(Code::InvalidArgument, "what stands after `{}` is no certificate", kBegin);
    auto digest = sha256_hex(der);
    std::string pem(kBegin);
    for (std::size_t i = 0; i < base.size(); i += 64) pem += "\n" + base.substr(i, 64);
    pem += "\n" + std::string(kEnd) + "\n";
    auto file = "watari-" + digest.substr(0, 16) + ".crt";
    out.insert_or_assign(file, BaseCertificate{file, digest, std::move(pem)});
    at = end;
    any = true;
  }
  if (!any) return fail(Code::InvalidArgument, "no certificate in PEM there; expected a file with `{}`", kBegin);
  return {};
}

}  // namespace

Result<BaseExtras> extras_of(const BaseRequest& request) {
  BaseExtras out;
  std::set<std::uint32_t> ids;
  for (const auto& text : request.users) {
    TRY(auto user, user_of(text));
    if (std::ranges::find(out.users, user.name, &BaseUser::name) != out.users.end() || !ids.insert(user.uid).second)
      return fail(Code::InvalidArgument, "the user {} or its uid {} is given twice", user.name, user.uid);
    out.users.push_back(std::move(user));
  }
  std::ranges::sort(out.users, {}, &BaseUser::name);
  std::map<std::string, BaseCertificate> certificates;
  for (const auto& text : request.certificates) TRY_VOID(take_certificates(text, certificates));
  for (auto& [file, certificate] : certificates) out.certificates.push_back(std::move(certificate));
  return out;
}

std::string passwd_line(const BaseUser& user) { return fmt::format("{0}:x:{1}:{2}::/home/{0}:/bin/sh", user.name, user.uid, user.gid); }
std::string group_line(const BaseUser& user) { return fmt::format("{}:x:{}:", user.name, user.gid); }
std::string shadow_line(const BaseUser& user, std::int64_t day) { return fmt::format("{}:!:{}:0:99999:7:::", user.name, day); }

}  // namespace watari::builder
