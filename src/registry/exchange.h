#pragma once
// One request to the registry and its answer; for this room only. Lives on the handler's stack.
#include <map>
#include <string>

#include "codec/compress.h"
#include "codec/json.h"
#include "net/server.h"
#include "registry/blob_access.h"
#include "registry/registry.h"
#include "registry/route.h"
#include "registry/uploads.h"

namespace watari::registry {

// Names of the errors. Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
struct ApiError {
  int status = 500;
  const char* code = "UNKNOWN";
  std::string message;
};

class Exchange {
 public:
  Exchange(const Options& options, Uploads& uploads, BlobAccess& access, PullThrough& through, const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer)
      : options_(options), uploads_(uploads), access_(access), through_(through), request_(request), query_(parse_query(request.query)), body_(body), writer_(writer) {}

  // Always answers; what the client broke off is not answered.
  void run();

 private:
  using Answer = Result<void>;  // the error: the client went away

  bool authenticated();
  bool is_near() const;
  bool anonymous_allowed() const;
  bool denied_by_policy();
  PolicyRequest asking(const std::string& action = {}) const;
  Answer dispatch();

  Answer catalog();
  Answer tags();
  Answer referrers();

  Answer get_manifest();
  Answer put_manifest();
  Answer delete_manifest();
  Result<std::string> manifest_digest();

  Answer get_blob();
  codec::Compression form_of(const std::string& digest, std::int64_t size);
  Answer send_compressed(const std::string& digest, codec::Compression form, net::Response head);
  bool if_range_holds(const std::string& digest) const;
  Answer delete_blob();

  Answer start_upload();
  Answer upload_status();
  Answer patch_upload();
  Answer put_upload();
  Answer cancel_upload();
  Answer finish_upload(Uploads::Session& session, const std::string& digest);
  Answer upload_progress(int status, const Uploads::Session& session);
  // False after an answer has been given (wrong range, disk full).
  Result<bool> receive(Uploads::Session& session, bool check_range);

  bool is(std::string_view method) const { return request_.method == method; }
  std::string query(const std::string& name) const;
  oci::ImageStore& images() { return options_.images; }
  std::string path_of(std::string_view rest) const { return "/v2/" + route_.repository + "/" + std::string(rest); }

  Answer send(int status, net::Headers headers = {}, std::string body = {});
  Answer send_json(const codec::Json& json, std::string media_type, net::Headers headers = {});
  Answer refuse(const ApiError& error);
  Answer refuse(const Error& error, ApiError as);  // keeps ResourceExhausted and Internal apart from `as`
  Answer method_not_allowed(std::string_view allowed);
  // A page of names by ?n= and ?last=, with the Link header of the next one.
  Answer send_page(const char* member, const std::vector<std::string>& names, codec::Json document, const std::string& path);

  const Options& options_;
  Uploads& uploads_;
  BlobAccess& access_;
  PullThrough& through_;
  const net::Request& request_;
  std::map<std::string, std::string> query_;
  net::BodyReader& body_;
  net::ResponseWriter& writer_;
  Route route_;
  std::string principal_;  // ARN of who asks, once authenticated() has found out
  bool judged_ = false;    // a policy has been asked already
};

}  // namespace watari::registry
