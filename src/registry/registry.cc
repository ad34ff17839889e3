#include "registry/registry.h"

#include "registry/exchange.h"
#include "registry/uploads.h"

namespace watari::registry {

namespace {

class RegistryImpl final : public Registry {
 public:
  RegistryImpl(Options options, std::unique_ptr<PullThrough> pull_through)
      : options_(std::move(options)), uploads_(options_.uploads, options_.clock), access_(options_.images), pull_through_(std::move(pull_through)) {}

  net::StreamHandler handler() override {
    return [this](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
      Exchange(options_, uploads_, access_, *pull_through_, request, body, writer).run();
    };
  }

  Result<Sources> sources(const RemoteName& name, const std::string& region) override { return pull_through_->sources(name, region); }
  Uploads& uploads() override { return uploads_; }
  BlobAccess& access() override { return access_; }
  PullThrough& pull_through() override { return *pull_through_; }
  Transfers& transfers() override { return transfers_; }

 private:
  const Options options_;
  Uploads uploads_;
  BlobAccess access_;
  std::unique_ptr<PullThrough> pull_through_;
  Transfers transfers_;
};

}  // namespace

Result<std::unique_ptr<Registry>> Registry::open(Options options) {
  std::error_code error;
  std::filesystem::create_directories(options.uploads, error);
  if (error) return fail(Code::Internal, "mkdir {}: {}", options.uploads.string(), error.message());
  TRY(auto through, PullThrough::open(options.uploads.parent_path() / "pull-through.json", options.images, options.clock, options.login_of, options.mirrors));
  auto registry = std::make_unique<RegistryImpl>(std::move(options), std::move(through));
  registry->uploads().expire();
  return registry;
}

}  // namespace watari::registry
