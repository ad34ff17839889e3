#include "model/tls_policy.h"

#include <algorithm>

namespace watari::model {

namespace {

// Built of the groups that AWS's tables repeat.
#define TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GCM128 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define GCM256 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define CBC128_SHA256 "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
#define CBC256_SHA384 "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"
#define CBC128_SHA "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
#define CBC256_SHA "ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA"
#define RSA_SHA256 "AES128-GCM-SHA256:AES128-SHA256:AES256-GCM-SHA384:AES256-SHA256"
#define RSA_ALL "AES128-GCM-SHA256:AES128-SHA256:AES128-SHA:AES256-GCM-SHA384:AES256-SHA256:AES256-SHA"

#define FS_RESTRICTED_2020 GCM128 ":" GCM256
#define FS_SHA2 GCM128 ":" CBC128_SHA256 ":" GCM256 ":" CBC256_SHA384
#define FS_ALL GCM128 ":" CBC128_SHA256 ":" CBC128_SHA ":" GCM256 ":" CBC256_SHA384 ":" CBC256_SHA
#define EVERYTHING FS_ALL ":" RSA_ALL

constexpr TlsPolicy kPolicies[] = {
    {"ELBSecurityPolicy-2016-08", "TLSv1.0", "TLSv1.2", EVERYTHING},
    {"ELBSecurityPolicy-TLS13-1-2-2021-06", "TLSv1.2", "TLSv1.3", TLS13 ":" FS_SHA2},
    {"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "TLSv1.2", "TLSv1.3", TLS13 ":" FS_RESTRICTED_2020},
    {"ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", "TLSv1.2", "TLSv1.3", TLS13 ":" FS_SHA2 ":" RSA_SHA256},
    {"ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", "TLSv1.2", "TLSv1.3", TLS13 ":" EVERYTHING},
    {"ELBSecurityPolicy-TLS13-1-1-2021-06", "TLSv1.1", "TLSv1.3", TLS13 ":" EVERYTHING},
    {"ELBSecurityPolicy-TLS13-1-0-2021-06", "TLSv1.0", "TLSv1.3", TLS13 ":" EVERYTHING},
    {"ELBSecurityPolicy-TLS13-1-3-2021-06", "TLSv1.3", "TLSv1.3", TLS13},
    {"ELBSecurityPolicy-TLS-1-2-2017-01", "TLSv1.2", "TLSv1.2", FS_SHA2 ":" RSA_SHA256},
    {"ELBSecurityPolicy-TLS-1-2-Ext-2018-06", "TLSv1.2", "TLSv1.2", EVERYTHING},
    {"ELBSecurityPolicy-TLS-1-1-2017-01", "TLSv1.1", "TLSv1.2", EVERYTHING},
    {"ELBSecurityPolicy-FS-2018-06", "TLSv1.0", "TLSv1.2", FS_ALL},
    {"ELBSecurityPolicy-FS-1-1-2019-08", "TLSv1.1", "TLSv1.2", FS_ALL},
    {"ELBSecurityPolicy-FS-1-2-2019-08", "TLSv1.2", "TLSv1.2", FS_ALL},
    {"ELBSecurityPolicy-FS-1-2-Res-2019-08", "TLSv1.2", "TLSv1.2", FS_SHA2},
    {"ELBSecurityPolicy-FS-1-2-Res-2020-10", "TLSv1.2", "TLSv1.2", FS_RESTRICTED_2020},
};

}  // namespace

std::span<const TlsPolicy> tls_policies() { return kPolicies; }

const TlsPolicy* find_tls_policy(std::string_view name) {
  auto found = std::ranges::find(kPolicies, name, &TlsPolicy::name);
  return found == std::end(kPolicies) ? nullptr : found;
}

}  // namespace watari::model
