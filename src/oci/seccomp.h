#pragma once
// The host's seccomp profile (Docker's format) as the runtime specification wants it: what applies to this machine and to the given
// capabilities, nothing else. Used by everything that makes an OCI bundle. Pure but for reading the file.
// Source: https://docs.docker.com/engine/security/seccomp/, https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/json.h"

namespace watari::oci {

// Debian's containers-common installs it (package golang-github-containers-common).
inline constexpr const char* kSeccompProfile = "/usr/share/containers/seccomp.json";

// NotFound says which package brings the file; Corrupt when it is not such a profile.
Result<codec::Json> load_seccomp(const std::vector<std::string>& capabilities, const std::string& path = kSeccompProfile);
// The same from the text of a profile.
Result<codec::Json> convert_seccomp(std::string_view profile, const std::vector<std::string>& capabilities);

// What a container gets unless it asks for something else: podman's list, without CAP_MKNOD, CAP_NET_RAW and CAP_AUDIT_WRITE.
const std::vector<std::string>& default_capabilities();

}  // namespace watari::oci
