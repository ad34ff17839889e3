#pragma once
// The OCI runtime configuration (config.json) of a container. Pure: values in, JSON out.
// Source: https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md; defaults are Docker's, as on ECS.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/json.h"
#include "model/task_definition.h"
#include "oci/image_store.h"

namespace watari::runtime {

// A user as the image's /etc/passwd and /etc/group have it.
struct ImageUser {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;
  std::string home = "/";
};

// "", "web", "web:www", "1000", "1000:1000": what USER and `user` may say. InvalidArgument for a name that the image does not have;
// a number needs no entry. `passwd` and `group` are the contents of the image's files, empty when it has none.
Result<ImageUser> find_user(const std::string& user, const std::string& passwd, const std::string& group);

// Content of a file of the image (topmost layer that has it), or "" when there is none. `path` has no leading slash. Symbolic links within
// the layer are followed only when relative and plain, which is enough for /etc.
std::string read_image_file(const std::vector<std::string>& layers, const std::string& path);

struct BundleMount {
  std::string source, destination;
  bool read_only = false;
};

struct Device {
  std::string path;
  char type = 'c';  // c | b
  std::int64_t major = 0, minor = 0;
};

struct BundleInput {
  model::ContainerDefinition definition;
  oci::ImageConfig image;
  std::map<std::string, std::string> secrets;
  ImageUser user;
  std::string hostname;
  std::string rootfs;       // path of the mounted root file system
  std::string cgroup;       // "watari-1a2b3c4d/<task>/c/<container>"
  std::int64_t first_id = 0;  // host id of root; ignored for privileged containers
  std::vector<BundleMount> mounts;  // volumes and /etc files, in the order in which they are mounted
  codec::Json seccomp;      // of oci::load_seccomp(), null: none
  std::vector<Device> devices;  // of the host, that a privileged container gets
  std::uint64_t available_capabilities = ~0ULL;  // bits by number; what is beyond cannot be given
  std::int64_t open_files = 65535;   // RLIMIT_NOFILE where the definition sets none; 65535 is Fargate's
  std::string init_program;  // path inside the container; empty: the program is process 1
};

// FailedPrecondition "No command specified" when neither image nor definition has one.
Result<codec::Json> make_config(const BundleInput& input);

// Entry point and command, merged as Docker and ECS do: an entry point of the definition drops the image's command.
std::vector<std::string> merged_command(const model::ContainerDefinition& definition, const oci::ImageConfig& image);
// NAME=value; the definition wins over the image, secrets over the definition.
std::vector<std::string> merged_environment(const BundleInput& input);
// CAP_…, sorted. InvalidArgument for a name that Linux does not have.
Result<std::vector<std::string>> capabilities(const model::ContainerDefinition& definition);
// Of an image's StopSignal: "SIGQUIT", "QUIT", "3"; SIGTERM when empty or unknown.
int signal_number(const std::string& name);

}  // namespace watari::runtime
