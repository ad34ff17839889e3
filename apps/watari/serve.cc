// watari serve: the platform in the foreground. The rooms are opened by named passes, in order, and closed in reverse.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>

#include "async/loop.h"
#include "async/pool.h"
#include "aws/api.h"
#include "aws/cloudwatch/action_calls.h"
#include "aws/docker.h"
#include "aws/ecs/hook_calls.h"
#include "aws/watari/contexts.h"
#include "balancer/start.h"
#include "base/log.h"
#include "base/strings.h"
#include "builder/builder.h"
#include "cli/options.h"
#include "cli/output.h"
#include "codec/json.h"
#include "control/control.h"
#include "control/hook_networks.h"
#include "control/images.h"
#include "engine/local/local_engine.h"
#include "engine/sessions.h"
#include "engine/volumes.h"
#include "logs/store.h"
#include "net/authority.h"
#include "net/server.h"
#include "net/tls.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "registry/lifecycle.h"
#include "registry/registry.h"
#include "sys/netns.h"
#include "vault/vault.h"
#include "version.h"
#include "watari/checks.h"
#include "watari/root.h"
#include "watari/runtime_copies.h"
#include "watari/verbs.h"

namespace watari {
namespace {

struct Options {
  std::string root = cli::default_root();
  std::string listen = "127.0.0.1:4566";
  std::string https_listen;
  std::string balancer_address = "127.0.0.1";
  double time_scale = 1;
  std::int64_t images_unused_hours = 7 * 24;
  std::int64_t images_min_free = 10;  // per cent
  std::int64_t build_caches_max = 20;  // per cent
  std::vector<std::string> registry_mirrors;  // REGISTRY=HOST[:PORT][/PREFIX]
  bool stop_all = false;
  bool verbose = false;
};

// Everything a running server owns. A member may use those above it; the destructor closes from below.
class Host {
 public:
  explicit Host(Options options) : options_(std::move(options)) {}

  Result<void> open() {
    struct Pass {
      const char* name;
      Result<void> (Host::*run)();
    };
    constexpr Pass passes[] = {
        {"check the host", &Host::check},          {"open the root", &Host::open_root},
        {"listen", &Host::listen},                 {"prepare for the runtime", &Host::prepare_runtime},
        {"open the images", &Host::open_images},
        {"open the state", &Host::open_state},     {"open the vault", &Host::open_vault},
        {"open the logs", &Host::open_logs},
        {"open the builder", &Host::open_builder}, {"start the engine", &Host::start_engine},
        {"start the load balancer", &Host::start_balancer}, {"start control", &Host::start_control},
        {"serve the APIs", &Host::serve_apis},     {"announce", &Host::announce},
    };
    for (const auto& pass : passes) {
      auto start = std::chrono::steady_clock::now();
      TRY_VOID((this->*pass.run)());
      log::debug("{}: {} ms", pass.name,
                 std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - start).count());
    }
    return {};
  }

  // Stops answering, then what decides, then (with `all`) what runs.
  void close(bool all) {
    log::info("stopping; tasks and load balancers {}", all ? "too" : "keep running");
    if (root_) root_->remove_endpoint();
    quiet();
    if (!all) return;
    if (engine_) engine_->stop_all();
    if (balancer_) balancer_->stop_all();
    std::error_code ignored;
    std::filesystem::remove_all(run_directory(), ignored);
  }

  ~Host() { quiet(); }

 private:
  Result<void> check() {
    for (const auto& mirror : options_.registry_mirrors) TRY_VOID(registry::add_mirror(mirrors_, mirror));
    return check_host(options_.root);
  }

  Result<void> open_root() {
    TRY(root_, Root::open(options_.root));
    return {};
  }

  // When nothing that is often wrong can fail any more, since it makes a directory outside of the root.
  Result<void> prepare_runtime() { return keep_runtime_copies_in(run_directory() + "/runtime"); }

  // The port is taken first, so that a wrong one costs nothing; connections wait until start().
  Result<void> listen() {
    TRY(auto address, cli::parse_address(options_.listen));
    TRY(authority_, net::Authority::open(root_->path, clock_.now()));
    TRY_VOID(root_->write_trust(authority_->certificate()));
    TRY(auto certificates, net::TlsCertificates::make({authority_.get(), &clock_, own_names(address.host)}));
    TRY(server_, net::Server::listen({.address = address.host, .port = address.port, .certificates = certificates, .threads = 2}));
    if (!options_.https_listen.empty()) {
      TRY(auto https, cli::parse_address(options_.https_listen));
      TRY_VOID(server_->also_listen(https.host, https.port, "--https-listen"));
    }
    // Clients on this host need an address to go to, not "all of them".
    auto host = address.host == "0.0.0.0" ? "127.0.0.1" : address.host == "::" ? "::1" : address.host;
    url_ = fmt::format("http://{}:{}", host.find(':') == std::string::npos ? host : "[" + host + "]", server_->port());
    return {};
  }

  // In the certificate for clients that ask for an address or this machine's name.
  std::vector<std::string> own_names(const std::string& listening) const {
    std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
    char host[256] = "";
    if (::gethostname(host, sizeof host - 1) == 0 && net::is_certificate_name(host)) names.emplace_back(host);
    for (auto address : {listening, options_.https_listen.empty() ? "" : cli::parse_address(options_.https_listen)->host})
      if (!address.empty() && address != "0.0.0.0" && address != "::" && std::ranges::find(names, address) == names.end()) names.push_back(address);
    return names;
  }

  Result<void> open_images() {
    TRY(images_, oci::ImageStore::open(root_->path));
    platform_.images = images_.get();
    return {};
  }

  Result<void> open_state() {
    TRY(control_, control::Control::open({.root = root_->path, .time_scale = options_.time_scale}, clock_, scheduler_));
    platform_.control = control_.get();
    return {};
  }

  Result<void> open_vault() {
    TRY(vault_, vault::Vault::open(root_->path.string(), control_->database()));
    platform_.vault = vault_.get();
    return {};
  }

  Result<void> open_logs() {
    TRY(logs_, logs::LogStore::open((root_->path / "logs").string()));
    platform_.logs = logs_.get();
    sweep_logs();
    return {};
  }

  // Retention, on the pool; again and again.
  void sweep_logs() {
    constexpr Millis kEvery{10 * 60'000};
    pool_.post([this] { logs_->sweep(clock_.now()); });
    loop_.after(kEvery, [this] { sweep_logs(); });
  }

  // Lifecycle policies of repositories and what nothing needs any more, on the pool; again and again.
  void sweep_images() {
    constexpr Millis kEvery{10 * 60'000};
    pool_.post([this] {
      registry::expire_images(*images_, clock_.now());
      registry_->uploads().expire();
      prune_images();
      // What a server that was killed had put aside and not erased yet.
      if (auto erased = engine::erase_volumes_aside(root_->path); !erased) log::warn("{}", erased.error().message);
    });
    loop_.after(kEvery, [this] { sweep_images(); });
  }

  void prune_images() {
    std::error_code unknown;
    const auto space = std::filesystem::space(root_->path, unknown);
    const auto per_cent = [&](std::int64_t count) { return space.capacity / 100 * static_cast<std::uintmax_t>(count); };
    const bool full = !unknown && space.available < per_cent(options_.images_min_free);
    const bool by_age = full || options_.images_unused_hours > 0;
    const Seconds age(full ? 3600 : by_age ? options_.images_unused_hours * 3600 : 100L * 365 * 24 * 3600);
    if (by_age) prune_unneeded_images(age, full);
    if (!builder_) return;
    builder::CacheLimits limits{.age = age};
    if (!unknown && options_.build_caches_max > 0) limits.bytes = static_cast<std::int64_t>(per_cent(options_.build_caches_max));
    if (auto caches = builder_->collect_cache(limits); !caches.mounts.empty())
      log::info("pruned {} caches of RUN steps that were used longest ago: {} MB", caches.mounts.size(), caches.bytes / 1'000'000);
  }

  // What no tag, task, service or task definition leads to, once it is old; when the disk runs full, all of it but what is just being used.
  void prune_unneeded_images(Seconds age, bool full) {
    oci::PruneRequest request{.grace = age};
    for (const auto& reference : loop_.call([this] { return control::images_in_use(control_->state()); })) {
      if (auto name = oci::parse_reference(reference); name && !name->digest.empty()) request.keep.push_back(name->digest);  // of an index, perhaps
      if (auto image = images_->resolve(reference)) request.keep.push_back(image->digest);
    }
    auto pruned = images_->prune(request, clock_.now());
    if (!pruned) log::warn("prune images: {}", pruned.error().message);
    else if (pruned->bytes > 0)
      log::info("pruned {} images, {} blobs and {} layers that nothing needs: {} MB{}", pruned->manifests.size(), pruned->blobs.size(), pruned->layers.size(),
                pruned->bytes / 1'000'000, full ? ", because the disk runs full" : "");
  }

  Result<void> open_builder() {
    TRY(builder_, builder::Builder::open({.root = root_->path, .group = "watari-" + root_->id + "-build-"}, *images_));
    platform_.builder = builder_.get();
    return {};
  }

  Result<void> start_engine() {
    TRY(engine_, engine::start_local_engine(
                     {.root = root_->path, .root_id = root_->id, .images = images_.get(), .pool = &engine_pool_}));
    return {};
  }

  Result<void> start_balancer() {
    auto observe = [this](std::vector<model::TargetHealth> health) { control_->observe(std::move(health)); };
    auto log_access = [this](const balancer::AccessLogEntries& entries) { write_access_log(entries); };
    TRY(balancer_, balancer::start(
                       {.run_directory = run_directory() + "/haproxy", .address = options_.balancer_address}, observe, log_access));
    return {};
  }

  // Group /watari/elb/<name>, stream <kind>/<name>/<id>: where S3 would have a bucket.
  void write_access_log(const balancer::AccessLogEntries& entries) {
    const auto& balancer = entries.load_balancer;
    auto scope = balancer.scope.key(), group = "/watari/elb/" + balancer.name;
    auto stream = balancer.arn.substr(balancer.arn.find(":loadbalancer/") + 14);
    std::vector<logs::NewEvent> events;
    for (const auto& [time, text] : entries.lines) events.push_back({time, text});
    auto written = logs_->append(scope, group, stream, events);
    if (!written && written.error().code == Code::NotFound) {
      (void)logs_->create_group(scope, group, {});  // it may be the stream that is missing
      (void)logs_->create_stream(scope, group, stream);
      written = logs_->append(scope, group, stream, events);
    }
    if (!written) log::error("access log {}: {}", group, written.error().message);
  }

  // The network namespace to call a hook from; null for the host's. In it, names are addresses. On the loop.
  std::shared_ptr<sys::Fd> hook_namespace(control::HookCall& call) {
    auto place = control::place_inside(control_->state(), call);
    if (!place) return nullptr;
    call.url = place->url;
    auto open = [&]() -> Result<sys::Fd> {
      TRY(auto name, engine_->vpc_namespace(place->vpc.id, place->vpc.cidr));
      return sys::open_netns(name);
    };
    auto space = open();
    if (space) return std::make_shared<sys::Fd>(std::move(*space));
    log::error("lifecycle hook {}: {}; it is called from the host", call.run.id, space.error().message);
    return nullptr;
  }

  // What a former server left is taken over here; from now on the loop owns the state.
  Result<void> start_control() {
    control::Ports ports{.engine = engine_.get(), .balancer = balancer_.get()};
    ports.image_digest = [this](const std::string& image) -> Result<std::string> {
      TRY(auto found, images_->resolve(image));
      return found.digest;
    };
    ports.unseal = [this](const std::string& sealed, const std::string& context) { return vault_->unseal(sealed, context); };
    ports.secret = [this](const model::Scope& scope, const std::string& from) { return vault_->read_secret(scope, from); };
    ports.call_hook = [this](control::HookCall call, std::function<void(control::HookAnswer)> done) {
      auto space = hook_namespace(call);
      hook_pool_.post([this, call = std::move(call), done = std::move(done), space = std::move(space)] {
        control::HookAnswer answer;
        auto make = [&]() -> Result<void> {
          answer = aws::ecs::call_hook(call, stopping_);
          return {};
        };
        auto made = space ? sys::run_in_netns(*space, make) : make();
        done(made ? std::move(answer) : control::HookAnswer{.kind = control::HookAnswer::Kind::Unreachable, .reason = made.error().message});
      });
    };
    ports.call_alarm_action = [this](model::Alarm alarm, model::AlarmCall call, std::string url, std::function<void(std::string)> done) {
      hook_pool_.post([this, alarm = std::move(alarm), call = std::move(call), url = std::move(url), done = std::move(done)] {
        done(aws::cloudwatch::call_action(alarm, call, url, stopping_));
      });
    };
    loop_.start();
    return loop_.call([&] { return control_->start(std::move(ports)); });
  }

  Result<void> serve_apis() {
    TRY(credentials_, aws::Credentials::open(root_->path.string()));
    platform_.credentials = &*credentials_;
    platform_.endpoint = url_.substr(url_.find("//") + 2);
    auto secret_of = [this](std::string_view key) {
      auto found = credentials_->find(key);
      return found ? std::optional(found->secret) : std::nullopt;
    };
    const auto user = credentials_->find(credentials_->access_key_id())->principal;
    auto login_of = [this, account = user.account](const std::string& region, const std::string& host) -> Result<std::pair<std::string, std::string>> {
      auto login = loop_.call([&] { return vault_->read_secret({account, region}, registry::login_parameter(host)); });
      if (!login && login.error().reason == "ParameterNotFound") return std::pair<std::string, std::string>{};
      if (!login) return fail(std::move(login).error());
      const auto colon = login->find(':');
      return std::pair(login->substr(0, colon), colon == login->npos ? "" : login->substr(colon + 1));
    };
    TRY(registry_, registry::Registry::open({*images_, root_->path / "images/uploads", clock_, secret_of, login_of, user.arn, user.account, mirrors_}));
    platform_.registry = registry_.get();
    sweep_images();
    server_->route_stream("/v2", registry_->handler());
    server_->route_stream("/watari/contexts", aws::make_context_upload(*builder_, *credentials_));
    server_->route_stream("/watari/cache-mounts", aws::make_cache_transfer(*builder_, *credentials_));
    for (const auto& prefix : aws::docker_prefixes()) server_->route_stream(prefix, aws::make_docker_api(*builder_, *images_, *credentials_, mirrors_));
    if (auto* terminals = dynamic_cast<engine::Terminals*>(engine_.get()))
      server_->route_websocket(std::string(engine::Sessions::kPath), terminals->sessions().handler());
    server_->route("/", aws::make_api(platform_, *credentials_));
    server_->route("/healthz", [](net::Request, net::Reply reply) {
      net::Response response{.body = codec::Json::object({{"status", "ok"}, {"version", kVersion}, {"commit", kCommit}}).dump()};
      response.headers.set("content-type", "application/json");
      reply(std::move(response));
    });
    server_->start();
    return {};
  }

  Result<void> announce() {
    TRY_VOID(root_->write_endpoint(url_));
    fmt::print("watari ready on {}\n", url_);
    std::fflush(stdout);
    return {};
  }

  std::string run_directory() const { return "/run/watari-" + root_->id; }

  // No request, then no job on the pool and the loop: what the rooms below still say afterwards is dropped.
  void quiet() {
    if (auto* terminals = dynamic_cast<engine::Terminals*>(engine_.get())) terminals->sessions().stop();
    stopping_ = true;
    if (registry_) registry_->pull_through().cancel();  // its requests would keep the server waiting
    if (server_) server_->stop();
    pool_.stop();
    hook_pool_.stop();
    loop_.stop();
  }

  Options options_;
  std::optional<Root> root_;
  std::string url_;
  SystemClock clock_;
  std::unique_ptr<logs::LogStore> logs_;  // jobs on the pool use it
  async::Pool pool_{4};         // of API handlers
  async::Pool engine_pool_{4};  // the engine's own, so that neither waits for the other
  async::Pool hook_pool_{8};    // lifecycle hooks may take minutes to answer
  std::atomic<bool> stopping_ = false;
  async::Loop loop_;
  control::LoopScheduler scheduler_{loop_};
  aws::Platform platform_{clock_, loop_, pool_};  // what the API's handlers reach: each room's pass adds itself
  std::unique_ptr<oci::ImageStore> images_;
  std::unique_ptr<control::Control> control_;
  std::unique_ptr<vault::Vault> vault_;
  std::unique_ptr<builder::Builder> builder_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<balancer::Balancer> balancer_;
  std::optional<aws::Credentials> credentials_;
  registry::Mirrors mirrors_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<net::Authority> authority_;
  std::unique_ptr<net::Server> server_;
};

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(const Options& options) {
  if (options.verbose) log::set_level(log::Level::Debug);
  ::umask(022);
  raise_file_limit();
  // Blocked before there is any thread, so that only sigwait() below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Host host(options);
  auto opened = host.open();
  if (!opened) return cli::finish(std::move(opened));
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0 || signal == SIGHUP) {
  }
  host.close(options.stop_all || signal == SIGUSR2);
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, cli::Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = cli::add_verb(app, "serve", "Run the platform in the foreground");
  verb->add_option("--root", options->root, "Directory of everything this server keeps")->capture_default_str();
  verb->add_option("--listen", options->listen, "ADDRESS:PORT of the APIs; port 0 takes a free one")->capture_default_str();
  verb->add_option("--https-listen", options->https_listen,
                   "One more ADDRESS:PORT, for clients that reach <account>.dkr.ecr.<region>.amazonaws.com on port 443 (docs/images.md)");
  verb->add_option("--balancer-address", options->balancer_address, "Address on which load balancers listen")
      ->capture_default_str();
  verb->add_option("--images-unused", options->images_unused_hours, "Hours after which images that nothing needs are pruned; 0 keeps them until the disk runs full")
      ->check(CLI::Range(0, 87600))
      ->capture_default_str();
  verb->add_option("--images-min-free", options->images_min_free, "Per cent of the disk that shall be free; below, all images that nothing needs are pruned")
      ->check(CLI::Range(0, 90))
      ->capture_default_str();
  verb->add_option("--build-caches-max", options->build_caches_max,
                   "Per cent of the disk that caches of RUN --mount=type=cache may take together; above, those used longest ago are removed; 0: no limit")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  verb->add_option("--registry-mirror", options->registry_mirrors,
                   "REGISTRY=HOST[:PORT][/PREFIX]: where images of that registry are asked for first; give it again for more, which are tried in this order")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        registry::Mirrors ignored;
        auto added = registry::add_mirror(ignored, text);
        return added ? std::string() : added.error().message;
      });
  verb->add_option("--time-scale", options->time_scale, "Divide the waits of deployments by this, for rehearsals")
      ->check(CLI::Range(1.0, 100000.0))
      ->capture_default_str();
  verb->add_flag("--stop-all", options->stop_all, "When stopped, take tasks and load balancers down too");
  verb->add_flag("--verbose", options->verbose, "Log what the server does in detail");
  verb->footer("Prints one line on stdout when every API answers:\n  watari ready on http://127.0.0.1:4566\n"
               "Example:\n  watari serve --root /tmp/rehearsal --listen 127.0.0.1:0 --stop-all");
  verb->callback([options, &run] { run = [options] { return serve(*options); }; });
}

}  // namespace watari
