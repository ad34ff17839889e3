#include "cli/up/patience.h"

#include <thread>

namespace watari::cli::up {

Result<codec::Json> patiently(Client& client, const std::string& service, const std::string& operation, const codec::Json& request) {
  auto deadline = std::chrono::steady_clock::now() + Seconds(60);
  while (true) {
    auto answer = client.call(service, operation, request);
    if (answer || answer.error().code != Code::Unavailable || std::chrono::steady_clock::now() > deadline) return answer;
    std::this_thread::sleep_for(Millis(300));
  }
}

}  // namespace watari::cli::up
