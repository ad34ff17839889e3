// The balancer against a real HAProxy: targets in a network namespace of the test, listeners on free loopback ports.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <set>

#include "balancer/balancer.h"
#include "balancer/compile.h"
#include "balancer/process.h"
#include "balancer/socket.h"
#include "base/id.h"
#include "base/strings.h"
#include "sys/netns.h"
#include "support.h"

namespace watari::balancer {
namespace {

using namespace std::chrono_literals;
using testing::Client;
using testing::Edit, testing::edit, testing::put;
using testing::HttpServer;
using testing::Load;
using model::TargetState;

int free_port() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  ::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  ::close(fd);
  return ntohs(name.sin_port);
}

class HaproxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::Namespace::possible()) GTEST_SKIP() << "needs root and network namespaces";
    auto id = random_hex(8);
    space_.emplace("watari-test-" + id);
    directory_ = "/tmp/watari-balancer-" + id;
    port_ = free_port();
    start();
    snapshot_.namespace_of_vpc["vpc-1"] = space_->name();
    add_balancer("web", port_, {"blue", "green"});
  }
  void TearDown() override {
    if (!balancer_ && space_) start();
    if (balancer_) {
      balancer_->stop_all();
      EXPECT_TRUE(std::filesystem::is_empty(directory_));
    }
    balancer_.reset();
    servers_.clear();
    space_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start() {
    auto balancer = Balancer::start({.run_directory = directory_}, [this](std::vector<model::TargetHealth> healths) {
      std::scoped_lock lock(mutex_);
      healths_ = std::move(healths);
    });
    ASSERT_TRUE(balancer) << balancer.error().message;
    balancer_ = std::move(*balancer);
  }

  void add_balancer(const std::string& name, int port, std::vector<std::string> groups) {
    put(snapshot_.load_balancers, {.arn = "lb/" + name, .name = name, .dns_name = name + "-1.us-east-1.elb.localhost"});
    put(snapshot_.listeners, {.arn = "listener/" + name, .load_balancer = "lb/" + name, .port = port});
    model::Rule rule{.arn = "rule/" + name, .listener = "listener/" + name};
    for (const auto& group : groups) {
      rule.action.forward.push_back({group, group == groups.front() ? 1 : 0});
      if (snapshot_.target_groups.contains(group)) continue;
      put(snapshot_.target_groups, {.arn = group, .name = group, .vpc = "vpc-1",
          .health_check = {.path = "/health", .interval = 1s, .timeout = 1s, .healthy_threshold = 2, .unhealthy_threshold = 2}});
    }
    put(snapshot_.rules, rule);
  }

  HttpServer& add_server(const std::string& group, const std::string& name) {
    auto port = 8000 + static_cast<int>(servers_.size());
    servers_.push_back(std::make_unique<HttpServer>(*space_, "127.0.0.1", port, name));
    put(snapshot_.targets, {.target_group = group, .address = "127.0.0.1", .port = port});
    return *servers_.back();
  }
  std::string key_of(const HttpServer& server) {
    for (const auto& [key, target] : snapshot_.targets)
      if (target.port == server.port) return key;
    throw std::runtime_error("no such target");
  }
  Edit<model::Target> target(const HttpServer& server) { return edit(snapshot_.targets, key_of(server)); }

  void apply() {
    balancer_->apply(snapshot_);
    std::promise<void> effective;
    balancer_->flush([&] { effective.set_value(); });
    ASSERT_EQ(effective.get_future().wait_for(15s), std::future_status::ready);
  }
  model::TargetHealth health(const HttpServer& server) {
    std::scoped_lock lock(mutex_);
    for (const auto& health : healths_)
      if (health.port == server.port) return health;
    return {};
  }
  bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 8s) {
    for (auto end = std::chrono::steady_clock::now() + limit; std::chrono::steady_clock::now() < end;
         std::this_thread::sleep_for(20ms))
      if (condition()) return true;
    return condition();
  }
  bool becomes(const HttpServer& server, TargetState state) {
    return eventually([&] { return health(server).state == state; });
  }
  int haproxy_pid() {
    for (int number = 50; number > 0; --number)
      if (auto pid = read_file(fmt::format("{}/haproxy-{}.pid", directory_, number)))
        return parse_number<int>(trim(*pid)).value_or(-1);
    return -1;
  }
  std::map<std::string, int> sample(int count, const std::string& host = "x", int port = 0) {
    std::map<std::string, int> seen;
    Client client(port ? port : port_);
    for (int i = 0; i < count; ++i) {
      auto answer = client.get("/", host);
      ++seen[!answer ? "broken" : answer->status == 200 ? answer->body : "status " + std::to_string(answer->status)];
    }
    return seen;
  }

  std::optional<testing::Namespace> space_;
  std::string directory_;
  int port_ = 0;
  Snapshot snapshot_;
  std::unique_ptr<Balancer> balancer_;
  std::vector<std::unique_ptr<HttpServer>> servers_;
  std::mutex mutex_;
  std::vector<model::TargetHealth> healths_;
};

TEST_F(HaproxyTest, ServesFromInsideANamespaceAsSoonAsTheFirstProbeIsGood) {
  auto& server = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(server, TargetState::Healthy));
  auto answer = Client(port_).get("/echo", "shop.example:80", "X-Forwarded-For: 1.2.3.4\r\n");
  ASSERT_TRUE(answer);
  auto echo = to_lower(answer->body);
  EXPECT_THAT(echo, ::testing::HasSubstr("x-forwarded-for: 1.2.3.4, 127.0.0.1\r\n"));
  EXPECT_THAT(echo, ::testing::HasSubstr("x-forwarded-proto: http\r\n"));
  EXPECT_THAT(echo, ::testing::HasSubstr("x-forwarded-port: " + std::to_string(port_) + "\r\n"));
  EXPECT_THAT(echo, ::testing::ContainsRegex("x-amzn-trace-id: root=1-[0-9a-f]{8}-[0-9a-f]{24}\r\n"));
  EXPECT_THAT(echo, ::testing::HasSubstr("host: shop.example:80\r\n"));
}

TEST_F(HaproxyTest, GivesATargetNoTrafficWhileItsProbesFailUntilAllOthersFailToo) {
  auto& good = add_server("blue", "good");
  apply();
  ASSERT_TRUE(becomes(good, TargetState::Healthy));
  auto& bad = add_server("blue", "bad");
  bad.health = 503;
  apply();
  EXPECT_EQ(sample(50)["good"], 50);
  EXPECT_EQ(health(bad).state, TargetState::Initial);
  ASSERT_TRUE(becomes(bad, TargetState::Unhealthy));
  EXPECT_EQ(health(bad).reason, "Target.ResponseCodeMismatch");
  EXPECT_THAT(health(bad).description, ::testing::HasSubstr("HTTP status 503"));
  EXPECT_EQ(sample(50)["good"], 50);
  good.health = 500;
  ASSERT_TRUE(becomes(good, TargetState::Unhealthy));
  auto open = sample(50);  // fail-open: both serve rather than nobody
  EXPECT_GT(open["good"], 0);
  EXPECT_GT(open["bad"], 0);
  good.health = 200;
  ASSERT_TRUE(becomes(good, TargetState::Healthy));
  EXPECT_EQ(sample(50)["good"], 50);
}

TEST_F(HaproxyTest, AnswersAsAlbDoesWhenThereIsNoTarget) {
  apply();
  auto answer = Client(port_).get("/");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, ::testing::HasSubstr("503 Service Temporarily Unavailable"));
}

TEST_F(HaproxyTest, AnswersAsAlbDoesWhenNoTargetTakesTheConnection) {
  auto& server = add_server("blue", "blue");
  apply();
  ASSERT_TRUE(becomes(server, TargetState::Healthy));
  server.kill();
  for (auto state : {TargetState::Healthy, TargetState::Unhealthy}) {  // ALB sends requests to unhealthy targets when there are no others
    ASSERT_TRUE(becomes(server, state));
    auto answer = Client(port_).get("/");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 502);
    EXPECT_THAT(answer->body, ::testing::HasSubstr("<h1>502 Bad Gateway</h1>"));
    EXPECT_EQ(answer->headers["server"], "awselb/2.0");
  }
}

TEST_F(HaproxyTest, ProbesANewTargetAtOnceHoweverLongTheInterval) {
  for (auto group : {"blue", "green"}) edit(snapshot_.target_groups, group)->health_check.interval = 300s;
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  auto& two = add_server("blue", "two");  // into a running HAProxy
  apply();
  EXPECT_TRUE(becomes(two, TargetState::Healthy));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/haproxy-1.cfg")) << "there was a reload";
  EXPECT_GT(sample(50)["two"], 10);
}

TEST_F(HaproxyTest, MovesWeightsWithoutAReloadAndWithoutAStaleAnswer) {
  auto& blue = add_server("blue", "blue");
  auto& green = add_server("green", "green");
  apply();
  ASSERT_TRUE(becomes(blue, TargetState::Healthy) && becomes(green, TargetState::Healthy));
  EXPECT_EQ(sample(100)["blue"], 100);
  auto configuration = std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg");
  auto weigh = [&](int blue_weight, int green_weight) {
    edit(snapshot_.rules, "rule/web")->action.forward = {{"blue", blue_weight}, {"green", green_weight}};
    apply();
  };
  weigh(90, 10);
  EXPECT_NEAR(sample(3000)["green"], 300, 80);
  weigh(0, 10);
  EXPECT_EQ(sample(300)["green"], 300);
  EXPECT_EQ(std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg"), configuration);
}

TEST_F(HaproxyTest, TakesAShortcutWhileOneTargetGroupHasAllTheTraffic) {
  auto& blue = add_server("blue", "blue");
  auto& green = add_server("green", "green");
  auto port = free_port();
  add_balancer("www", port, {"third"});  // its target group is known when the one below needs it
  auto& third = add_server("third", "third");
  edit(snapshot_.rules, "rule/web")->action.forward = {{"third", 1}, {"blue", 0}, {"green", 0}};  // keeps all three in use
  edit(snapshot_.rules, "rule/www")->action.forward = {{"blue", 1}, {"green", 0}};
  apply();
  ASSERT_TRUE(becomes(blue, TargetState::Healthy) && becomes(green, TargetState::Healthy) && becomes(third, TargetState::Healthy));
  auto configuration = std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg");
  auto haproxy = [&](const std::string& text) { return command(directory_ + "/admin-1.sock", text).value_or(""); };
  auto name = [&](const std::string& group) { return shortcut_name(rule_key("rule/www"), backend_name(group)); };
  auto taken = [&] {
    std::set<std::string> up;
    for (const auto& stat : parse_stat(haproxy("show stat -1 4 -1")))
      if (stat.backend == kShortcuts && stat.server.starts_with(rule_key("rule/www")) && !stat.status.starts_with("MAINT")) up.insert(stat.server);
    return up;
  };
  auto weigh = [&](int blue_weight, int green_weight) {
    edit(snapshot_.rules, "rule/www")->action.forward = {{"blue", blue_weight}, {"green", green_weight}};
    apply();
  };
  EXPECT_EQ(taken(), std::set{name("blue")});
  weigh(50, 50);
  EXPECT_EQ(taken(), std::set<std::string>{});
  EXPECT_NEAR(sample(400, "x", port)["green"], 200, 80);
  weigh(0, 1);
  EXPECT_EQ(taken(), std::set{name("green")});
  // A daemon that is killed between a map and its shortcut: the next one takes neither for done.
  balancer_.reset();
  haproxy(fmt::format("set server {0}/{1} state maint; set server {0}/{2} state ready", kShortcuts, name("green"), name("blue")));
  EXPECT_EQ(sample(20, "x", port)["blue"], 20);
  start();
  apply();
  EXPECT_EQ(taken(), std::set{name("green")});
  EXPECT_EQ(sample(20, "x", port), (std::map<std::string, int>{{"green", 20}}));
  // A target group that the running configuration has no shortcut for: no reload is needed.
  edit(snapshot_.rules, "rule/www")->action.forward = {{"third", 1}};
  apply();
  EXPECT_EQ(taken(), std::set<std::string>{});
  EXPECT_EQ(sample(20, "x", port)["third"], 20);
  EXPECT_EQ(std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg"), configuration);
}

TEST_F(HaproxyTest, FollowsRulesByPriorityAndAnswersFixedResponsesAndRedirects) {
  auto& blue = add_server("blue", "blue");
  auto& green = add_server("green", "green");
  auto rule = [&](int priority, model::Condition condition, model::Action action) {
    put(snapshot_.rules, {.arn = "rule/" + std::to_string(priority), .listener = "listener/web", .priority = priority,
                               .conditions = {condition}, .action = action});
  };
  model::Action to_green{.forward = {{"green", 1}}};
  rule(50, {"path-pattern", "", {"/api/*", "/v?/x"}}, to_green);
  rule(10, {"path-pattern", "", {"/api/gone"}},
       {.type = model::ActionType::FixedResponse, .status_code = "410", .content_type = "text/plain", .body = "it's \"gone\"\n#{x}"});
  rule(20, {"host-header", "", {"*.green.test"}}, to_green);
  rule(30, {"http-header", "X-Color", {"gr*"}}, to_green);
  rule(31, {"query-string", "", {"color=Gr?en", "verdant"}}, to_green);
  rule(32, {"http-request-method", "", {"OPTIONS", "QUERY"}}, to_green);
  rule(33, {"path-pattern", "", {"/old*"}},
       {.type = model::ActionType::Redirect, .status_code = "HTTP_301", .protocol = "HTTPS", .host = "new.#{host}", .port = "443",
        .path = "/moved/#{path}", .query = ""});
  apply();
  ASSERT_TRUE(becomes(blue, TargetState::Healthy) && becomes(green, TargetState::Healthy));
  Client client(port_);
  auto body = [&](const std::string& path, const std::string& host = "x", const std::string& headers = "") {
    auto answer = client.get(path, host, headers);
    return answer ? answer->body : "broken";
  };
  EXPECT_EQ(body("/"), "blue");
  EXPECT_EQ(body("/api/1"), "green");
  EXPECT_EQ(body("/v1/x"), "green");
  EXPECT_EQ(body("/v12/x"), "blue");
  EXPECT_EQ(body("/API/1"), "blue");
  EXPECT_EQ(body("/", "A.Green.TEST:80"), "green");
  EXPECT_EQ(body("/", "green.test"), "blue");
  EXPECT_EQ(body("/", "x", "x-color: Grey\r\n"), "green");
  EXPECT_EQ(body("/?a=b&color=green"), "green");
  EXPECT_EQ(body("/?verdant"), "green");
  EXPECT_EQ(body("/?color=greenish"), "blue");
  EXPECT_EQ(client.send("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")->body, "green");
  auto gone = client.get("/api/gone");
  EXPECT_EQ(gone->status, 410);
  EXPECT_EQ(gone->body, "it's \"gone\"\n#{x}");
  auto moved = client.get("/older?a=1", "Shop.test:80");
  EXPECT_EQ(moved->status, 301);
  EXPECT_EQ(moved->headers["location"], "https://new.shop.test:443/moved/older?a=1");
}

TEST_F(HaproxyTest, TellsLoadBalancersOnOnePortApartByTheHost) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  EXPECT_EQ(sample(1, "whatever")["one"], 1);
  add_balancer("second", port_, {"other"});
  auto& two = add_server("other", "two");
  apply();
  ASSERT_TRUE(becomes(two, TargetState::Healthy));
  EXPECT_EQ(sample(20, "web-1.us-east-1.elb.localhost")["one"], 20);
  EXPECT_EQ(sample(20, "Second-1.us-east-1.elb.localhost:80")["two"], 20);
  EXPECT_EQ(sample(1, "whatever")["status 404"], 1);
}

TEST_F(HaproxyTest, DrainsATargetWithoutNewRequestsWhileItsOldOnesFinish) {
  auto& one = add_server("blue", "one");
  auto& two = add_server("blue", "two");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy) && becomes(two, TargetState::Healthy));
  Load load(port_, 4);
  // Requests in flight on both.
  one.slow_ms = two.slow_ms = 3000;
  std::vector<std::future<std::string>> slow;
  for (int i = 0; i < 6; ++i)
    slow.push_back(std::async(std::launch::async, [&] {
      auto answer = Client(port_).get("/slow");
      return answer ? answer->body : "broken";
    }));
  std::this_thread::sleep_for(300ms);
  target(one)->draining_until = Time::max();
  apply();
  ASSERT_TRUE(eventually([&] { return health(one).state == TargetState::Draining; }));
  std::this_thread::sleep_for(60ms);
  EXPECT_GT(health(one).in_flight, 0);
  int before = one.requests;
  // A reload in the middle: the old worker still serves them, and they still count.
  edit(snapshot_.target_groups, "green")->health_check.path = "/";
  apply();
  std::this_thread::sleep_for(300ms);
  EXPECT_GT(health(one).in_flight, 0);
  EXPECT_EQ(one.requests, before);
  std::set<std::string> answers;
  for (auto& answer : slow) answers.insert(answer.get());
  EXPECT_THAT(answers, ::testing::UnorderedElementsAre("one", "two"));
  EXPECT_TRUE(eventually([&] { return health(one).in_flight == 0; }));
  EXPECT_EQ(one.requests, before);
  one.kill();
  snapshot_.targets.erase(key_of(one));
  apply();
  std::this_thread::sleep_for(200ms);
  load.stop();
  EXPECT_EQ(load.failed, 0) << ::testing::PrintToString(load.answers());
}

// What is asked when the deregistration delay is over is ended by whoever runs then: `between` happens before the target is removed.
struct Overdue : HaproxyTest {
  void cuts(const std::function<void(HttpServer& one)>& between, Time draining_until = Time{Millis(1)}) {
    auto& one = add_server("blue", "one");
    apply();
    ASSERT_TRUE(becomes(one, TargetState::Healthy));
    one.slow_ms = 60'000;
    auto held = std::async(std::launch::async, [&] { return Client(port_).get("/slow"); });
    ASSERT_TRUE(eventually([&] { return one.requests == 1; }));
    target(one)->draining_until = draining_until;
    apply();
    between(one);
    EXPECT_EQ(held.wait_for(0s), std::future_status::timeout) << "cut too early";
    snapshot_.targets.erase(key_of(one));
    if (!balancer_) start();
    apply();
    EXPECT_EQ(held.wait_for(8s), std::future_status::ready);
    one.kill();
    auto answer = held.get();
    EXPECT_TRUE(!answer || answer->status >= 500);
  }
};

TEST_F(Overdue, IsCutInTheProcessThatServes) {
  cuts([](HttpServer&) {});
}

TEST_F(Overdue, IsCutInAReplacedProcess) {
  cuts([&](HttpServer&) {
    auto before = haproxy_pid();
    edit(snapshot_.target_groups, "green")->health_check.path = "/";
    apply();
    EXPECT_NE(haproxy_pid(), before);
  });
}

TEST_F(Overdue, IsCutByTheNextDaemonWhenOneIsKilledBeforeItLearnsThatTheTargetIsGone) {
  cuts([&](HttpServer&) { balancer_.reset(); });
}

TEST_F(Overdue, IsCutByTheNextDaemonInAReplacedProcess) {
  cuts([&](HttpServer&) {
    edit(snapshot_.target_groups, "green")->health_check.path = "/";
    apply();
    balancer_.reset();
  });
}

TEST_F(Overdue, IsCutByTheNextDaemonWhenOneIsKilledBetweenTakingTheTargetOutAndTheCut) {
  cuts([&](HttpServer& one) {
    auto key = key_of(one);
    auto target = *snapshot_.targets.find(key);
    snapshot_.targets.erase(key);
    apply();  // before its time: taken out, not cut
    balancer_.reset();
    snapshot_.targets.put(key, target);
  }, Time::max());
}

TEST_F(HaproxyTest, ANewTargetServesFromItsFirstGoodProbeWhenNobodyElseDoes) {
  edit(snapshot_.target_groups, "blue")->health_check.interval = 60s;
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  target(one)->draining_until = Time::max();
  add_server("blue", "two");
  apply();
  balancer_.reset();  // nobody says that it is healthy
  EXPECT_TRUE(eventually([&] { return sample(1)["two"] == 1; }));
}

TEST_F(HaproxyTest, ReloadsUnderKeepAliveLoadWithoutAFailure) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  Load load(port_, 8);
  for (int i = 0; i < 12; ++i) {
    edit(snapshot_.target_groups, "green")->health_check.path = "/" + std::to_string(i);
    apply();
    std::this_thread::sleep_for(100ms);
  }
  load.stop();
  EXPECT_GT(load.sent, 1000);
  EXPECT_EQ(load.failed, 0) << ::testing::PrintToString(load.answers());
}

TEST_F(HaproxyTest, ReplacesTargetsOverAndOverWithoutAFailure) {
  add_server("blue", "0");
  apply();
  ASSERT_TRUE(becomes(*servers_.back(), TargetState::Healthy));
  Load load(port_, 8);
  for (int i = 1; i < 12; ++i) {
    auto& old = *servers_.back();
    auto& fresh = add_server("blue", std::to_string(i));
    apply();
    ASSERT_TRUE(becomes(fresh, TargetState::Healthy));
    target(old)->draining_until = Time::max();
    apply();
    ASSERT_TRUE(eventually([&] { return health(old).state == TargetState::Draining && health(old).in_flight == 0; }));
    old.kill();
    snapshot_.targets.erase(key_of(old));
    apply();
  }
  load.stop();
  EXPECT_EQ(load.failed, 0) << ::testing::PrintToString(load.answers());
}

TEST_F(HaproxyTest, LosesNoGetRequestWhenATargetIsKilledAbruptly) {
  auto& one = add_server("blue", "one");
  auto& two = add_server("blue", "two");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy) && becomes(two, TargetState::Healthy));
  Load load(port_, 8);
  std::this_thread::sleep_for(200ms);
  one.kill();
  ASSERT_TRUE(becomes(one, TargetState::Unhealthy));
  load.stop();
  EXPECT_EQ(load.failed, 0) << ::testing::PrintToString(load.answers());
}

TEST_F(HaproxyTest, SendsPostsElsewhereWhenATargetTakesNoConnections) {
  auto& one = add_server("blue", "one");
  auto& two = add_server("blue", "two");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy) && becomes(two, TargetState::Healthy));
  one.kill();  // HAProxy believes in it until two probes have failed
  Load load(port_, 8, "POST");
  ASSERT_TRUE(becomes(one, TargetState::Unhealthy));
  load.stop();
  EXPECT_EQ(load.failed, 0) << ::testing::PrintToString(load.answers());
}

TEST_F(HaproxyTest, ServesAgainWithinASecondAfterHaproxyIsKilled) {
  auto& one = add_server("blue", "one");
  auto& bad = add_server("blue", "bad");
  bad.health = 500;
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy) && becomes(bad, TargetState::Unhealthy));
  auto pid = haproxy_pid();
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGKILL);
  auto died = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([&] { return haproxy_pid() != pid && sample(1)["one"] == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - died, 1500ms);
  EXPECT_EQ(sample(50)["one"], 50);  // it knows which ones were healthy
}

TEST_F(HaproxyTest, StartsAgainWithTheTargetsOfNowWhileTheDaemonIsDown) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  auto& two = add_server("blue", "two");  // into a running HAProxy: its own configuration does not know
  apply();
  ASSERT_TRUE(becomes(two, TargetState::Healthy));
  ASSERT_TRUE(eventually([&] { return read_file(directory_ + "/haproxy-1.now").value_or("").contains(fmt::format(":{} ", two.port)); }));
  balancer_.reset();
  for (int kills = 0; kills < 2; ++kills) {
    auto pid = haproxy_pid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    auto seen = sample(40);  // what connects meanwhile waits
    EXPECT_EQ(seen["one"], 20);
    EXPECT_EQ(seen["two"], 20);
    EXPECT_TRUE(eventually([&] { return haproxy_pid() != pid; }));
  }
  auto pid = haproxy_pid();
  start();
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy) && becomes(two, TargetState::Healthy));
  EXPECT_EQ(haproxy_pid(), pid) << "it is adopted";
  ::kill(pid, SIGKILL);  // and when it dies now, one starts it again, not two
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(directory_ + "/haproxy-2.pid") && sample(2)["two"] == 1; }));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/haproxy-1.pid"));
}

TEST_F(HaproxyTest, LosesNoConnectionWhenHaproxyIsKilledWhileADaemonStarts) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  int unready = 0;
  for (int round = 0; round < 12; ++round) {
    balancer_.reset();
    healths_.clear();  // until the next daemon has looked, its keeper does not stand by either
    std::map<std::string, int> seen;
    auto starting = std::async(std::launch::async, [&] {
      start();
      apply();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(round * 2));
    auto pid = haproxy_pid();
    ASSERT_GT(pid, 1);
    ::kill(pid, SIGKILL);
    for (int i = 0; i < 100; ++i)
      for (auto& [what, count] : sample(1)) seen[what] += count;
    starting.get();
    // One request at a time: only one can have been in the killed process.
    EXPECT_LE(seen["broken"], 1) << ::testing::PrintToString(seen);
    unready += seen["status 503"] > 0;
    ASSERT_TRUE(becomes(one, TargetState::Healthy));
  }
  // A keeper that is ended in the very moment in which it would have learned of the kill takes what it knew of the target with it.
  EXPECT_LE(unready, 2);
}

TEST_F(HaproxyTest, AdoptsARunningHaproxyWithoutTouchingIt) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  auto pid = haproxy_pid();
  auto configuration = std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg");
  Load load(port_, 4);
  balancer_.reset();
  std::this_thread::sleep_for(200ms);
  start();
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  edit(snapshot_.rules, "rule/web")->action.forward[0].weight = 7;
  auto& two = add_server("blue", "two");
  apply();
  ASSERT_TRUE(becomes(two, TargetState::Healthy));
  load.stop();
  EXPECT_EQ(load.failed, 0);
  EXPECT_EQ(haproxy_pid(), pid);
  EXPECT_EQ(std::filesystem::last_write_time(directory_ + "/haproxy-1.cfg"), configuration);
}

TEST_F(HaproxyTest, ServesTasksInsideItsVpcAtTheNodeAddress) {
  space_->add_address("10.99.0.1");
  edit(snapshot_.load_balancers, "lb/web")->vpc = "vpc-1";
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  auto ask_inside = [&] {
    std::string body;
    auto space = sys::open_netns(space_->name());
    EXPECT_TRUE(space && sys::run_in_netns(*space, [&]() -> Result<void> {
      if (auto answer = Client(port_, "10.99.0.1").get("/")) body = answer->body;
      return {};
    }));
    return body;
  };
  EXPECT_EQ(ask_inside(), "one");
  EXPECT_EQ(sample(1)["one"], 1) << "and outside as before";
  auto pid = haproxy_pid();
  balancer_.reset();
  EXPECT_EQ(ask_inside(), "one") << "without the daemon";
  start();
  apply();
  EXPECT_EQ(haproxy_pid(), pid) << "the sockets inside are taken over as well";
  put(snapshot_.listeners, {.arn = "listener/other", .load_balancer = "lb/web", .port = free_port()});
  put(snapshot_.rules, {.arn = "rule/other", .listener = "listener/other", .action = {.forward = {{"blue", 1}}}});
  apply();
  EXPECT_NE(haproxy_pid(), pid);
  EXPECT_EQ(ask_inside(), "one") << "after a reload";
}

TEST_F(HaproxyTest, RefusesAPortThatSomeoneHoldsAndKeepsTheOthers) {
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  EXPECT_TRUE(balancer_->check_port(port_));
  int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ::listen(taken, 1);
  ::getsockname(taken, reinterpret_cast<sockaddr*>(&name), &size);
  int port = ntohs(name.sin_port);
  auto check = balancer_->check_port(port);
  ASSERT_FALSE(check);
  EXPECT_EQ(check.error().code, Code::AlreadyExists);
  EXPECT_THAT(check.error().message, ::testing::HasSubstr("(process " + std::to_string(::getpid()) + ")"));
  add_balancer("late", port, {"blue"});
  apply();
  EXPECT_EQ(sample(10)["one"], 10);
  ::close(taken);  // it is taken up as soon as it is free
  EXPECT_TRUE(eventually([&] { return sample(1, "x", port)["one"] == 1; }));
}

TEST_F(HaproxyTest, CountsItsOwnErrorsByKindAlsoAcrossAReload) {
  edit(snapshot_.load_balancers, "lb/web")->attributes = {{"idle_timeout.timeout_seconds", "1"}};
  apply();
  auto status = [&](const std::string& path) {
    auto answer = Client(port_).get(path);
    return answer ? answer->status : 0;
  };
  EXPECT_EQ(status("/"), 503);
  auto& one = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(one, TargetState::Healthy));
  one.slow_ms = 5000;
  EXPECT_EQ(status("/slow"), 504);
  auto counted = [&] {
    for (const auto& group : balancer_->counters())
      if (group.target_group == "blue")
        return std::vector<std::uint64_t>{group.total.refused, group.total.refused_502, group.total.refused_503, group.total.refused_504};
    return std::vector<std::uint64_t>{};
  };
  using Counts = std::vector<std::uint64_t>;
  EXPECT_TRUE(eventually([&] { return counted() == Counts{2, 0, 1, 1}; })) << ::testing::PrintToString(counted());
  edit(snapshot_.target_groups, "green")->health_check.path = "/other";
  apply();  // a reload
  one.kill();
  EXPECT_EQ(status("/"), 502);
  EXPECT_EQ(status("/"), 502);
  EXPECT_TRUE(eventually([&] { return counted() == Counts{4, 2, 1, 1}; })) << ::testing::PrintToString(counted());
}

TEST_F(HaproxyTest, CountsAnswersByTargetAndKeepsCountingAcrossAReload) {
  auto& server = add_server("blue", "one");
  apply();
  ASSERT_TRUE(becomes(server, TargetState::Healthy));
  auto blue = [&] {
    for (auto& group : balancer_->counters())
      if (group.target_group == "blue") return group;
    return TargetGroupCounters{};
  };
  sample(20);
  server.health = 503;  // what /health answers
  Client(port_).get("/health");
  EXPECT_TRUE(eventually([&] { return blue().total.responses_5xx == 1; }));
  auto before = blue();
  EXPECT_EQ(before.total.requests, 21u);
  EXPECT_EQ(before.total.responses_2xx, 20u);
  EXPECT_EQ(before.total.failures(), 1u);
  ASSERT_EQ(before.targets.size(), 1u);
  EXPECT_EQ(before.targets[0].port, server.port);
  EXPECT_TRUE(eventually([&] { return blue().total.latency.total() == 21; }));
  edit(snapshot_.target_groups, "green")->health_check.path = "/other";
  apply();  // a reload
  sample(5);
  // HAProxy counts a request when it comes and its answer when that is out.
  EXPECT_TRUE(eventually([&] { return blue().total.since(before.total).responses_2xx == 5; }));
  EXPECT_EQ(blue().total.requests, 26u);
  EXPECT_EQ(blue().targets[0].counters.requests, 26u);
}

}  // namespace
}  // namespace watari::balancer
