#pragma once
// Security groups compiled to the VPC's nftables table. Pure: text in, text out.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/network.h"

namespace watari::engine {

// The link by which a VPC's router reaches the outside.
inline constexpr const char* kUplink = "uplink";

// The whole table as one transaction for nft(8): drops and makes again. A connection may begin when a rule of one of the
// source's groups lets it out AND a rule of one of the destination's groups lets it in; what is established goes on.
// Addresses in no group, and groups that a rule names but that do not exist, match nothing.
// InvalidArgument when a group, address or rule cannot be expressed (never a partial table).
Result<std::string> compile_security(const std::vector<model::SecurityGroup>& groups,
                                     const std::map<std::string, std::vector<std::string>>& groups_of_address);

// The table before any groups are known: everything is dropped. Leaves existing rules as they are.
std::string closed_table();

}  // namespace watari::engine
