#pragma once
// Whether a push may set a tag, asked before anything of it is stored: a refused one would leave an image without a tag.
#include <string>

#include "oci/image_store.h"

namespace watari::registry {

// FailedPrecondition with the sentence of ImageTagAlreadyExistsException when the tag is there, may not be moved and leads elsewhere. ImageStore::tag()
// has the last word, should another push come in between.
Result<void> may_tag(oci::ImageStore& images, const std::string& repository, const std::string& tag, const std::string& digest);

}  // namespace watari::registry
