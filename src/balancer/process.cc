#include "balancer/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "balancer/socket.h"
#include "base/log.h"
#include "base/strings.h"
#include "sys/fd.h"

extern char** environ;

namespace watari::balancer {

namespace {

std::string file(const std::string& directory, const char* kind, int number, const char* end) {
  return fmt::format("{}/{}-{}{}", directory, kind, number, end);
}

// Runs a command with its output in `output` and the sockets under the numbers that their environment variables tell; waits
// for its end.
Result<int> run_command(std::vector<std::string> argv, const std::string& output,
                        const std::vector<std::pair<std::string, int>>& sockets) {
  constexpr int kFirst = 3;
  const int end = kFirst + static_cast<int>(sockets.size());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::vector<std::string> variables;
  std::vector<sys::Fd> copies;  // above the numbers that the child gives them, so that no copy overwrites another's source
  for (const auto& [name, socket] : sockets) {
    int number = kFirst + static_cast<int>(copies.size());
    copies.emplace_back(::fcntl(socket, F_DUPFD_CLOEXEC, end));
    posix_spawn_file_actions_adddup2(&actions, copies.back().get(), number);
    variables.push_back(fmt::format("{}={}", name, number));
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, end);
  std::vector<char*> arguments, environment;
  for (auto& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  for (char** variable = environ; *variable; ++variable) environment.push_back(*variable);
  for (auto& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  pid_t pid = 0;
  int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(Code::FailedPrecondition, "run {}: {}; install the haproxy package", argv[0], std::strerror(error));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<void> write_file(const std::string& path, const std::string& content) {
  auto temporary = path + ".new";
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::Internal, "create {}: {}", temporary, std::strerror(errno));
  std::size_t written = 0;
  while (written < content.size()) {
    auto n = ::write(fd, content.data() + written, content.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  int error = errno;
  ::close(fd);
  if (written < content.size()) return fail(Code::Internal, "write {}: {}", temporary, std::strerror(error));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(Code::Internal, "rename {} to {}: {}", temporary, path, std::strerror(errno));
  return {};
}

Result<std::string> read_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(Code::NotFound, "open {}: {}", path, std::strerror(errno));
  std::string content;
  char buffer[16384];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) content.append(buffer, static_cast<std::size_t>(n));
  ::close(fd);
  return content;
}

std::vector<int> ports_of(const std::string& configuration) {
  std::vector<int> ports;
  for (const auto& line : split(configuration, '\n'))
    if (line.starts_with("frontend port-"))
      if (auto port = parse_number<int>(line.substr(14))) ports.push_back(*port);
  return ports;
}

Process::~Process() { ::close(pidfd_); }

std::unique_ptr<Process> Process::open(const std::string& directory, int number) {
  auto pid = parse_number<int>(trim(read_file(file(directory, "haproxy", number, ".pid")).value_or("")));
  if (!pid || *pid <= 0) return nullptr;
  int fd = static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0));
  if (fd < 0) return nullptr;
  // The pid may have been given to another process since: ask whose configuration it runs.
  auto command_line = read_file("/proc/" + std::to_string(*pid) + "/cmdline").value_or("");
  // One that is being killed has none, and may take milliseconds to be gone: only then its keeper, too, knows.
  if (pollfd ended{fd, POLLIN, 0}; command_line.empty()) ::poll(&ended, 1, 1000);
  if (!command_line.contains(file(directory, "haproxy", number, ".cfg"))) {
    ::close(fd);
    return nullptr;
  }
  return std::unique_ptr<Process>(new Process(directory, number, fd));
}

int Process::last_number(const std::string& directory) {
  int last = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    auto name = entry.path().filename().string();
    if (name.starts_with("haproxy-") && name.ends_with(".cfg"))
      last = std::max(last, parse_number<int>(name.substr(8, name.size() - 12)).value_or(0));
  }
  return last;
}

std::vector<std::unique_ptr<Process>> Process::find(const std::string& directory) {
  std::map<int, std::unique_ptr<Process>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    auto name = entry.path().filename().string();
    if (!name.starts_with("haproxy-") || !name.ends_with(".pid")) continue;
    auto number = parse_number<int>(name.substr(8, name.size() - 12));
    if (!number) continue;
    if (auto process = open(directory, *number)) found[*number] = std::move(process);
  }
  std::vector<std::unique_ptr<Process>> processes;
  for (auto& [number, process] : found) processes.push_back(std::move(process));
  return processes;
}

Result<std::unique_ptr<Process>> Process::start(const std::string& directory, const std::string& haproxy, int number,
                                                const std::string& configuration,
                                                const std::vector<std::pair<std::string, int>>& sockets) {
  auto text = file(directory, "haproxy", number, ".cfg"), log = file(directory, "haproxy", number, ".log");
  TRY_VOID(write_file(text, configuration));
  std::vector<std::string> argv = {haproxy, "-D", "-f", text, "-p", file(directory, "haproxy", number, ".pid")};
  // With -D it returns when the process in the background listens, or with the reason why it cannot.
  TRY(int started, run_command(std::move(argv), log, sockets));
  auto words = [&] { return std::string(trim(read_file(log).value_or(""))); };
  if (started != 0) {
    auto refused = fail(Code::Unavailable, "HAProxy does not start with {}/refused.cfg: {}", directory, words());
    ::rename(text.c_str(), (directory + "/refused.cfg").c_str());
    return refused;
  }
  auto process = open(directory, number);
  if (!process) return fail(Code::Unavailable, "HAProxy ended right after its start with {}: {}", text, words());
  return process;
}

bool Process::ended(Millis wait) const {
  pollfd ended{pidfd_, POLLIN, 0};
  return ::poll(&ended, 1, static_cast<int>(wait.count())) > 0;
}

Result<std::string> Process::command(const std::string& text, int interrupt) const {
  return balancer::command(file(directory_, "admin", number_, ".sock"), text, interrupt);
}

std::string Process::generation() const {
  for (const auto& line : split(command("show info").value_or(""), '\n'))
    if (to_lower(line).starts_with("description: ")) return std::string(trim(line.substr(13)));
  return "";
}

Result<void> Process::retire(const std::vector<int>& ports) {
  std::vector<std::string> commands;
  for (int port : ports) commands.push_back(fmt::format("set server relay-{0}/next state ready; shutdown frontend port-{0}", port));
  farewell_ = batches(commands);
  return bid_farewell();
}

Result<void> Process::bid_farewell() {
  for (; !farewell_.empty(); farewell_.pop_back()) TRY_VOID(command(farewell_.back()));
  return {};
}

bool Process::idle() {
  if (!bid_farewell()) return ended();
  auto stats = command("show stat -1 1 -1");  // frontends
  if (!stats) return ended();
  for (const auto& stat : parse_stat(*stats))
    if (stat.sessions > 0) return false;
  return true;
}

void Process::terminate() {
  ::syscall(SYS_pidfd_send_signal, pidfd_, SIGTERM, nullptr, 0);
  pollfd ended{pidfd_, POLLIN, 0};
  if (::poll(&ended, 1, 2000) == 0) ::syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
  remove_files();
}

void Process::remove_files() {
  for (const char* end : {".cfg", ".now", ".pid", ".log"}) ::unlink(file(directory_, "haproxy", number_, end).c_str());
  ::unlink(file(directory_, "admin", number_, ".sock").c_str());
}

}  // namespace watari::balancer
