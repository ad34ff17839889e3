// Ways into the store that are made of its other operations.
#include "codec/compress.h"
#include "oci/files.h"
#include "oci/image_store.h"
#include "oci/layer_tar.h"

namespace watari::oci {

Result<Layer> import_layer(ImageStore& store, codec::Source tar) {
  TRY(auto directory, store.scratch_directory());
  auto done = unpack_layer_tar(codec::decompress(std::move(tar)), directory);
  if (!done) {
    remove_tree(directory);
    return fail(std::move(done).error());
  }
  return store.add_layer(directory);
}

Result<Image> import_directory_as_image(ImageStore& store, const std::filesystem::path& directory, ImageConfig config,
                                        const std::string& repository, const std::string& tag) {
  TRY(auto layer, store.add_layer(directory));
  TRY(auto image, store.add_image({.config = std::move(config), .layers = {std::move(layer)}}));
  TRY_VOID(store.tag(repository, tag, image.digest));
  return image;
}

}  // namespace watari::oci
