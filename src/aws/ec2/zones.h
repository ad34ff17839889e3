#pragma once
// Names of availability zones.
#include <string>

namespace watari::aws::ec2 {

// "us-east-1a" -> "use1-az1", as AWS abbreviates its regions.
std::string zone_id(const std::string& zone);

}  // namespace watari::aws::ec2
