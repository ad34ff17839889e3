#pragma once
// Base images made on this machine: a minimal Debian by mmdebstrap from the host's signed archives, or the host's static busybox.
// Blocking; needs root. Call them on a thread that has own_mounts().
#include <filesystem>

#include "builder/builder.h"
#include "builder/contained.h"

namespace watari::builder {

// Both import and tag the image; the same packages give the same image. `scratch` is an empty directory for their use.
// InvalidArgument for a name, suite or package that is none; FailedPrecondition tells what the host lacks.
Result<oci::Image> make_debian_base(const BaseRequest& request, oci::ImageStore& images, const std::filesystem::path& scratch,
                                    const StopSignal& stop, const OnLine& on_line);
Result<oci::Image> make_busybox_base(const BaseRequest& request, oci::ImageStore& images, const StopSignal& stop, const OnLine& on_line);

// "name:suite", or "name:latest" for busybox.
std::string base_tag(const BaseRequest& request);

}  // namespace watari::builder
