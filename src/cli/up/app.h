#pragma once
// An application as watari.yml describes it, for one environment: variables are replaced, the environment's changes are
// applied, defaults are filled in, and everything that is named exists. docs/watari-yml.md is the description for people.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::cli::up {

struct Image {
  std::string name;     // as the containers name it
  std::string context;  // a directory, relative to that of watari.yml
  std::string dockerfile = "Dockerfile";
  std::string target;
  std::map<std::string, std::string> args;
};

struct HealthCheck {
  std::vector<std::string> command;  // CMD … | CMD-SHELL …
  Seconds interval{5}, timeout{5}, start_period{0};
  int retries = 3;
};

struct Mount {
  std::string volume, path;
  bool read_only = false;
};

struct ContainerDependency {
  std::string container;
  std::string condition = "START";  // START | HEALTHY | COMPLETE | SUCCESS
};

struct Container {
  std::string name;
  std::string image;  // a name of App::images, or a reference into the image store
  std::vector<std::string> command, entrypoint;
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> secrets;  // variable -> parameter name
  std::vector<int> ports;
  std::optional<HealthCheck> health_check;
  std::vector<ContainerDependency> depends_on;
  std::vector<Mount> volumes;
  std::optional<std::int64_t> cpu, memory;  // units, MiB
  std::optional<Seconds> stop_timeout;
  std::string user, working_directory;
  bool essential = true;
};

struct LoadBalancer {
  int port = 0;           // on which the balancer listens
  std::string container;
  int container_port = 0;
  std::string health_path = "/";
  std::string health_codes = "200-399";
  Seconds health_interval{3}, health_timeout{2};
  int healthy = 1, unhealthy = 3;
  Seconds deregistration_delay{30};
  Seconds idle_timeout{60};
};

enum class Strategy { BlueGreen, Rolling, Recreate };

struct Before {
  std::string container;
  std::vector<std::string> command;
};

struct Release {
  Strategy strategy = Strategy::Rolling;
  std::optional<Before> before;
  Seconds timeout{600};
  Seconds bake{0};
};

struct Service {
  std::string name;
  int replicas = 1;
  std::optional<std::int64_t> cpu, memory;
  std::vector<Container> containers;
  std::optional<LoadBalancer> load_balancer;
  Release release;
  std::vector<std::string> depends_on;
};

struct App {
  std::filesystem::path directory;
  std::string name, environment;
  std::vector<Image> images;
  std::vector<Service> services;  // each after those that it depends on

  std::string cluster() const { return name + "-" + environment; }
  std::string full_name(const std::string& service) const { return cluster() + "-" + service; }
};

// Reads DIRECTORY/watari.yml. `environment` may be empty when the file has at most one. InvalidArgument with one line a mistake:
// "watari.yml:14:7: unknown key replica: did you mean replicas? …".
Result<App> read_app(const std::filesystem::path& directory, const std::string& environment);
// The same from text, for tests.
Result<App> parse_app(std::string_view text, const std::string& file, const std::filesystem::path& directory,
                      const std::string& environment);

}  // namespace watari::cli::up
