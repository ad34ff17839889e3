#include "base/clock.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace watari {

std::string iso8601(Time time) {
  auto seconds = std::chrono::floor<Seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (time - seconds).count());
}

}  // namespace watari
