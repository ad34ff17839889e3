#pragma once
// What a base image gets besides its packages: users, and certificates of authorities. Pure.
#include <string>
#include <vector>

#include "builder/builder.h"

namespace watari::builder {

struct BaseUser {
  std::string name;
  std::uint32_t uid = 0, gid = 0;
};
struct BaseCertificate {
  std::string file, sha256, pem;  // "watari-<part of the digest>.crt"; the digest is that of the encoded certificate
};
struct BaseExtras {
  std::vector<BaseUser> users;                // by name
  std::vector<BaseCertificate> certificates;  // by file, each once
};

// InvalidArgument for what is no user or no certificate, for names and ids that come twice, and for private keys.
Result<BaseExtras> extras_of(const BaseRequest& request);

// Lines of /etc/passwd, /etc/group and /etc/shadow; the password is locked. `day`: days since 1970, of the last change.
std::string passwd_line(const BaseUser& user);
std::string group_line(const BaseUser& user);
std::string shadow_line(const BaseUser& user, std::int64_t day);

}  // namespace watari::builder
