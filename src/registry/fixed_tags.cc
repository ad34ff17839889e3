#include "registry/fixed_tags.h"

namespace watari::registry {

Result<void> may_tag(oci::ImageStore& images, const std::string& repository, const std::string& tag, const std::string& digest) {
  const auto there = images.repositories().tagged(repository, tag);
  if (!there || *there == digest) return {};
  const auto settings = images.repositories().settings(repository);
  if (!settings || !is_immutable(*settings, tag)) return {};
  return fail(Error{Code::FailedPrecondition,
                    fmt::format("The image tag '{}' already exists in the '{}' repository and cannot be overwritten because the repository is immutable.", tag, repository),
                    "ImageTagAlreadyExistsException"});
}

}  // namespace watari::registry
