#pragma once
// Changes of snapshots; small HTTP servers inside network namespaces, and a client that counts what goes wrong, for tests against a
// real HAProxy.
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "balancer/balancer.h"

namespace watari::balancer::testing {

// Entries of snapshots, under the keys that the state has for them.
template <class T>
void put(SharedMap<T>& map, T value) {
  if constexpr (requires { value.arn; }) map.put(std::string(value.arn), std::move(value));
  else map.put(fmt::format("{}/{}:{}", value.target_group, value.address, value.port), std::move(value));
}
// `edit(snapshot.rules, "rule/1")->priority = 2;` puts the entry anew.
template <class T>
class Edit {
 public:
  Edit(SharedMap<T>& map, std::string key) : map_(map), key_(std::move(key)), value_(*map.find(key_)) {}
  ~Edit() { map_.put(key_, std::move(value_)); }
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;
  T* operator->() { return &value_; }

 private:
  SharedMap<T>& map_;
  std::string key_;
  T value_;
};
template <class T>
Edit<T> edit(SharedMap<T>& map, const std::string& key) { return {map, key}; }

// A network namespace below /run/netns with its loopback up; removed at the end.
class Namespace {
 public:
  explicit Namespace(std::string name);
  void add_address(const std::string& address);  // to its loopback
  ~Namespace();
  const std::string& name() const { return name_; }
  static bool possible();  // root, and namespaces can be made

 private:
  std::string name_;
};

// Answers every request with its name; /slow waits before it does; /health answers `health`; /echo with the request.
class HttpServer {
 public:
  HttpServer(const Namespace& space, std::string address, int port, std::string name);
  ~HttpServer() { kill(); }
  void kill();  // listening socket and connections end at once, as when a process is killed

  std::atomic<int> health{200}, requests{0}, slow_ms{500};
  const std::string address;
  const int port;

 private:
  void accept_loop();
  void serve(int fd);
  std::string name_;
  int listener_ = -1;
  std::atomic<bool> dead_{false};
  std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::thread> threads_;
};

struct Answer {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // names in lower case
};

// One keep-alive connection. An answer that did not come whole is nullopt, and the connection is closed.
class Client {
 public:
  explicit Client(int port, std::string address = "127.0.0.1") : port_(port), address_(std::move(address)) {}
  ~Client() { close(); }
  void close();
  std::optional<Answer> send(const std::string& request);
  std::optional<Answer> get(const std::string& path, const std::string& host = "x", const std::string& headers = "");

 private:
  bool connect();
  int port_, fd_ = -1;
  std::string address_;
};

// Keep-alive connections that ask without pause until stop().
class Load {
 public:
  Load(int port, int connections, std::string method = "GET");
  ~Load() { stop(); }
  void stop();
  std::atomic<int> sent{0}, failed{0};
  std::map<std::string, int> answers();  // body or "status N" -> count

 private:
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::map<std::string, int> answers_;
  std::vector<std::thread> threads_;
};

}  // namespace watari::balancer::testing
