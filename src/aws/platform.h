#pragma once
// What handlers can reach. Filled by apps/watari/main.cc, which owns all of it; forward declarations only, so that a handler
// includes the headers of the rooms it uses and no others. Null: this server was started without that room.
#include <string>

namespace watari {
class Clock;
namespace async {
class Loop;
class Pool;
}  // namespace async
namespace builder {
class Builder;
}  // namespace builder
namespace control {
class Control;
}  // namespace control
namespace oci {
class ImageStore;
}  // namespace oci
namespace registry {
class Registry;
}  // namespace registry
namespace logs {
class LogStore;
}  // namespace logs
namespace vault {
class Vault;
}  // namespace vault
}  // namespace watari

namespace watari::aws {

class Credentials;

struct Platform {
  const Clock& clock;
  async::Loop& control_loop;
  async::Pool& pool;
  control::Control* control = nullptr;
  oci::ImageStore* images = nullptr;
  ::watari::registry::Registry* registry = nullptr;
  const Credentials* credentials = nullptr;  // that may log in to the registry
  std::string endpoint;                      // address and port of this server as clients on this host reach it: "127.0.0.1:4566"
  builder::Builder* builder = nullptr;
  vault::Vault* vault = nullptr;
  ::watari::logs::LogStore* logs = nullptr;
};

}  // namespace watari::aws
