#pragma once
// Lifecycle policies of repositories: which images a policy expires. Pure, but for expire_images().
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html and …/LifecyclePolicies.html
#include <string>
#include <vector>

#include "base/clock.h"
#include "oci/image_store.h"

namespace watari::registry {

struct LifecycleRule {
  int priority = 0;  // the lowest is applied first
  enum class Status { Tagged, Untagged, Any } status = Status::Any;
  std::vector<std::string> patterns;  // an image is selected when each of them matches one of its tags; prefixes end in "*"
  bool by_age = false;                // sinceImagePushed, else imageCountMoreThan
  std::int64_t count = 0;             // days or images
};
using LifecyclePolicy = std::vector<LifecycleRule>;  // by priority

// InvalidArgument with what is wrong; what Watari does not act upon (transition, sinceImagePulled) is refused by name.
Result<LifecyclePolicy> parse_lifecycle(std::string_view json);

struct LifecycleImage {
  std::string digest;
  std::vector<std::string> tags;
  Time pushed_at{};
};
struct Expiring {
  LifecycleImage image;
  int rule_priority = 0;
};

// The first rule that selects an image decides about it; a rule counts all images that it selects, the newest first.
std::vector<Expiring> expiring(const LifecyclePolicy& policy, std::vector<LifecycleImage> images, Time now);

// What the repository holds, as policies see it: images that an index of the repository names, and artifacts that speak about an image
// which is there (signatures), go with those and are left out. Source: the first page above ("Evaluation rules").
std::vector<LifecycleImage> lifecycle_images(oci::ImageStore& images, const std::string& repository);

// Removes what the policies of all repositories, or of one, expire; returns "repository@digest". What fails is logged and tried the next time.
std::vector<std::string> expire_images(oci::ImageStore& images, Time now, const std::string& only = {});

}  // namespace watari::registry
