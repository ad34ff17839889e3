// Tags of certificates.
#include "aws/acm/wire.h"
#include "aws/gen/acm/add_tags_to_certificate.h"
#include "aws/gen/acm/list_tags_for_certificate.h"
#include "aws/gen/acm/remove_tags_from_certificate.h"

namespace watari::aws::acm {

namespace {

template <class Change>
Result<void> change_tags(Call& call, const std::string& arn, Change change) {
  return call.platform.control->commit([&]() -> Result<void> {
    TRY(auto certificate, find_certificate(call, arn));
    TRY_VOID(change(certificate.tags));
    call.platform.control->state().certificates.put(arn, certificate);
    return {};
  });
}

}  // namespace

Result<AddTagsToCertificateResponse> add_tags_to_certificate(Call& call, const AddTagsToCertificateRequest& request) {
  TRY_VOID(change_tags(call, request.CertificateArn, [&](auto& tags) { return merge_tags(tags, request.Tags, "TooManyTagsException"); }));
  return AddTagsToCertificateResponse{};
}

// A tag with a value is removed only if it has this value.
Result<RemoveTagsFromCertificateResponse> remove_tags_from_certificate(Call& call, const RemoveTagsFromCertificateRequest& request) {
  TRY_VOID(change_tags(call, request.CertificateArn, [&](std::vector<model::Tag>& tags) -> Result<void> {
    for (const auto& wanted : request.Tags)
      std::erase_if(tags, [&](const model::Tag& tag) { return tag.key == wanted.Key && (!wanted.Value || *wanted.Value == tag.value); });
    return {};
  }));
  return RemoveTagsFromCertificateResponse{};
}

Result<ListTagsForCertificateResponse> list_tags_for_certificate(Call& call, const ListTagsForCertificateRequest& request) {
  TRY(auto certificate, find_certificate(call, request.CertificateArn));
  return ListTagsForCertificateResponse{.Tags = to_wire_tags<Tag>(certificate.tags)};
}

}  // namespace watari::aws::acm
