// Tags of certificates.
#include <algorithm>

#include "aws/acm/wire.h"
#include "aws/gen/acm/add_tags_to_certificate.h"
#include "aws/gen/acm/list_tags_for_certificate.h"
#include "aws/gen/acm/remove_tags_from_certificate.h"

namespace watari::aws::acm {

namespace {

template <class Change>
Result<void> change_tags(Call& call, const std::string& arn, Change&& change) {
  return call.platform.control->commit([&]() -> Result<void> {
    TRY(auto certificate, find_certificate(call, arn));
    change(certificate.tags);
    if (certificate.tags.size() > 50) return error("TooManyTagsException", "A certificate can have at most 50 tags.");
    call.platform.control->state().certificates.put(arn, certificate);
    return {};
  });
}

}  // namespace

Result<AddTagsToCertificateResponse> add_tags_to_certificate(Call& call, const AddTagsToCertificateRequest& request) {
  TRY_VOID(change_tags(call, request.CertificateArn, [&](std::vector<model::Tag>& tags) {
    for (const auto& tag : request.Tags) {
      auto old = std::ranges::find(tags, tag.Key, &model::Tag::key);
      if (old != tags.end()) old->value = tag.Value.value_or("");
      else tags.push_back({tag.Key, tag.Value.value_or("")});
    }
  }));
  return AddTagsToCertificateResponse{};
}

// A tag with a value is removed only if it has this value.
Result<RemoveTagsFromCertificateResponse> remove_tags_from_certificate(Call& call, const RemoveTagsFromCertificateRequest& request) {
  TRY_VOID(change_tags(call, request.CertificateArn, [&](std::vector<model::Tag>& tags) {
    for (const auto& wanted : request.Tags)
      std::erase_if(tags, [&](const model::Tag& tag) { return tag.key == wanted.Key && (!wanted.Value || *wanted.Value == tag.value); });
  }));
  return RemoveTagsFromCertificateResponse{};
}

Result<ListTagsForCertificateResponse> list_tags_for_certificate(Call& call, const ListTagsForCertificateRequest& request) {
  TRY(auto certificate, find_certificate(call, request.CertificateArn));
  ListTagsForCertificateResponse response;
  for (const auto& tag : certificate.tags) response.Tags.push_back({.Key = tag.key, .Value = tag.value});
  return response;
}

}  // namespace watari::aws::acm
