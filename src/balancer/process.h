#pragma once
// One HAProxy process, in a session of its own, so that it outlives the daemon. Processes of a run directory are numbered:
// each has haproxy-N.cfg, haproxy-N.pid and its own command socket admin-N.sock.
//
// Why not HAProxy's master and SIGUSR2: a worker that was told to stop closes its network namespaces (netns_sig_stop in
// src/namespace.c), and the last request on a keep-alive connection fails with 503. So a reload starts process N+1, which
// listens on the same sockets (listening.h); then N stops listening, and relays what still comes over its connections to N+1
// until the last one has closed. Used by the balancer thread only.
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::balancer {

class Process {
 public:
  // Starts it with the sockets of ListeningSockets::inherited(); returns when it accepts connections.
  // Unavailable with HAProxy's words when it refuses the text: nothing has changed then.
  static Result<std::unique_ptr<Process>> start(const std::string& directory, const std::string& haproxy, int number,
                                                const std::string& configuration,
                                                const std::vector<std::pair<std::string, int>>& sockets);
  // Those that pid files in the directory name and that run its configurations, by number.
  static std::vector<std::unique_ptr<Process>> find(const std::string& directory);
  // Of the newest configuration, whether or not its process came up.
  static int last_number(const std::string& directory);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int number() const { return number_; }
  int pidfd() const { return pidfd_; }  // readable when it has ended
  bool ended(Millis wait = Millis(0)) const;
  Result<std::string> command(const std::string& text, int interrupt = -1) const;  // as balancer::command
  std::string generation() const;  // the description of its configuration; empty when it does not answer

  // It is no longer the newest: stops listening; requests on its connections are relayed and the connections closed.
  Result<void> retire(const std::vector<int>& ports);
  bool idle();  // retired and without a client's connection; retires it, as far as that failed
  void terminate();   // ends it at once, and waits for that up to two seconds
  // Files that it leaves behind.
  void remove_files();

 private:
  Process(std::string directory, int number, int pidfd) : directory_(std::move(directory)), number_(number), pidfd_(pidfd) {}
  static std::unique_ptr<Process> open(const std::string& directory, int number);

  Result<void> bid_farewell();

  std::string directory_;
  int number_, pidfd_;
  std::vector<std::string> farewell_;  // commands that are still to be given
};

// Replaces the file in one step.
Result<void> write_file(const std::string& path, const std::string& content);
Result<std::string> read_file(const std::string& path);
// The ports of a configuration that this room made.
std::vector<int> ports_of(const std::string& configuration);

}  // namespace watari::balancer
