// Manifests, indexes, configs and references, as registries and clients send them.
#include "input.h"
#include "oci/manifest.h"
#include "oci/reference.h"

using namespace watari;
using namespace watari::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = text_of(data, size);
  for (auto type : {std::string_view(), kOciManifest, kOciIndex, kDockerManifest, kDockerIndex}) {
    auto manifest = parse_manifest(text, type);
    if (manifest && manifest->is_index) (void)select_platform(*manifest);
  }
  for (std::size_t layers = 0; layers < 3; ++layers) {
    Image image;
    image.layers.resize(layers);
    if (read_config(text, image)) must(!write_config(image).empty());
  }
  (void)parse_reference(std::string(text.substr(0, 512)));
  return 0;
}
