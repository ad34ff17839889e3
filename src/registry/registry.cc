#include "registry/registry.h"

#include "registry/exchange.h"
#include "registry/uploads.h"

namespace watari::registry {

namespace {

class RegistryImpl final : public Registry {
 public:
  explicit RegistryImpl(Options options) : options_(std::move(options)), uploads_(options_.uploads, options_.clock) {}

  void expire() { uploads_.expire(Seconds(24 * 60 * 60)); }

  net::StreamHandler handler() override {
    return [this](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
      Exchange(options_, uploads_, request, body, writer).run();
    };
  }

  Uploads& uploads() override { return uploads_; }
  Transfers& transfers() override { return transfers_; }

 private:
  const Options options_;
  Uploads uploads_;
  Transfers transfers_;
};

}  // namespace

Result<std::unique_ptr<Registry>> Registry::open(Options options) {
  std::error_code error;
  std::filesystem::create_directories(options.uploads, error);
  if (error) return fail(Code::Internal, "mkdir {}: {}", options.uploads.string(), error.message());
  auto registry = std::make_unique<RegistryImpl>(std::move(options));
  registry->expire();
  return registry;
}

}  // namespace watari::registry
