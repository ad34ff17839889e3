// Base images that were made here, and what builds on them.
#include <algorithm>
#include <map>
#include <set>

#include "async/loop.h"
#include "aws/gen/watari/list_base_images.h"
#include "builder/builder.h"
#include "codec/json.h"
#include "codec/reflect.h"
#include "control/control.h"
#include "oci/image_store.h"

namespace watari::aws::watari {

namespace {

// How a base was made stands in the comment of its only history entry (builder/base_image.cc); images built on it have more entries.
std::optional<builder::BaseRequest> request_of(const oci::Image& image) {
  if (image.history.size() != 1 || image.layers.size() != 1) return std::nullopt;
  auto json = codec::parse_json(image.history.front().comment);
  if (!json || !json->is_object() || !json->has("suite")) return std::nullopt;
  auto request = codec::from_json<builder::BaseRequest>(*json);
  return request ? std::optional(*std::move(request)) : std::nullopt;
}

// "cluster/service" -> the digests of its images.
std::map<std::string, std::set<std::string>> images_of_services(Call& call) {
  std::map<std::string, std::set<std::string>> out;
  if (!call.platform.control) return out;
  call.platform.control_loop.call([&] {
    call.platform.control->state().services.each("", [&](const std::string&, const model::Service& service) {
      if (service.status == "INACTIVE") return;
      for (const auto& [container, digest] : service.target.pinned_images) out[service.cluster + "/" + service.name].insert(digest);
    });
  });
  return out;
}

}  // namespace

Result<ListBaseImagesResponse> list_base_images(Call& call, const ListBaseImagesRequest&) {
  if (!call.platform.images) return fail(Code::Unavailable, "this server was started without its image store");
  std::map<std::string, oci::Image> tagged;
  for (const auto& tag : call.platform.images->tags())
    if (auto image = call.platform.images->resolve(tag.digest)) tagged.emplace(tag.repository + ":" + tag.tag, *std::move(image));
  const auto services = images_of_services(call);
  ListBaseImagesResponse out;
  for (const auto& [name, image] : tagged) {
    auto request = request_of(image);
    if (!request) continue;
    BaseImage base;
    base.image = name;
    base.digest = image.digest;
    base.suite = request->suite;
    base.from = request->from;
    base.packages = request->packages;
    base.users = request->users;
    base.certificates = request->certificates;
    std::set<std::string> digests{image.digest};
    for (const auto& [other, built] : tagged) {
      if (built.digest == image.digest || built.layers.empty() || built.layers.front().diff_id != image.layers.front().diff_id) continue;
      base.images.push_back(other);
      digests.insert(built.digest);
    }
    for (const auto& [service, used] : services)
      if (std::ranges::any_of(used, [&](const auto& digest) { return digests.contains(digest); })) base.services.push_back(service);
    out.bases.push_back(std::move(base));
  }
  return out;
}

}  // namespace watari::aws::watari
