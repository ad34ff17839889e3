#include "local_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/log.h"
#include "logs/segment.h"

namespace watari::engine {

namespace fs = std::filesystem;

void add_busybox(oci::ImageStore& store) {
  auto base = *store.scratch_directory(), app = *store.scratch_directory();
  for (auto* name : {"bin", "dev", "etc", "proc", "sys", "tmp", "root"}) fs::create_directories(base / name);
  fs::copy_file("/bin/busybox", base / "bin/busybox");
  for (auto* applet : {"sh", "cat", "echo", "sleep", "id", "ls", "true", "false", "hostname", "nc", "httpd", "wget", "mount", "touch", "env",
                       "dd", "stat", "ping", "head", "tr", "grep", "pwd", "tail", "kill", "ps"})
    fs::create_hard_link(base / "bin/busybox", base / "bin" / applet);
  std::ofstream(base / "etc/passwd") << "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\n";
  std::ofstream(base / "etc/group") << "root:x:0:\nweb:x:1001:\nextra:x:2000:web\n";
  fs::create_directories(app / "data");
  std::ofstream(app / "data/seed") << "from the image\n";
  for (const auto& directory : {base, app}) fs::permissions(directory, fs::perms(0755));
  EXPECT_EQ(::chown((app / "data").c_str(), 1000, 1001), 0);
  oci::Image image;
  image.config.cmd = {"/bin/sh", "-c", "echo default command"};
  image.config.env = {"FROM_IMAGE=yes", "PATH=/bin"};
  for (const auto& directory : {base, app}) {
    auto layer = store.add_layer(directory);
    ASSERT_TRUE(layer) << layer.error().message;
    image.layers.push_back(*layer);
  }
  auto added = store.add_image(std::move(image));
  ASSERT_TRUE(added) << added.error().message;
  ASSERT_TRUE(store.tag("busybox", "latest", added->digest));
}

void Observations::add(const model::TaskStatus& status) {
  std::lock_guard lock(mutex_);
  history_[status.task].push_back(status);
  changed_.notify_all();
}

Engine::Observer Observations::observer() {
  return [this](const model::TaskStatus& status) { add(status); };
}

model::TaskStatus Observations::wait(const std::string& task, const std::function<bool(const model::TaskStatus&)>& good, int seconds) {
  std::unique_lock lock(mutex_);
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::size_t looked = 0;
  do {
    auto& all = history_[task];
    for (; looked < all.size(); ++looked)
      if (good(all[looked])) return all[looked];
  } while (changed_.wait_until(lock, deadline) == std::cv_status::no_timeout);
  auto& all = history_[task];
  ADD_FAILURE() << "task " << task << " did not get there in " << seconds << " s; it is "
                << (all.empty() ? "unknown" : std::string(name_of(all.back().state)) + ": " + all.back().stop_reason);
  return all.empty() ? model::TaskStatus{} : all.back();
}

model::TaskStatus Observations::wait_state(const std::string& task, model::TaskState state, int seconds) {
  return wait(task, [state](const auto& status) { return status.state == state; }, seconds);
}

std::vector<model::TaskStatus> Observations::history(const std::string& task) {
  std::lock_guard lock(mutex_);
  return history_[task];
}

void LocalEngineTest::SetUp() {
  if (::getenv("WATARI_TEST_DEBUG")) log::set_level(log::Level::Debug);
  if (::geteuid() != 0 || !fs::exists("/bin/busybox")) GTEST_SKIP() << "needs root and /bin/busybox (package busybox-static)";
  std::string pattern = "/var/tmp/watari-engine-XXXXXX";
  root_ = ::mkdtemp(pattern.data());
  root_id_ = random_hex(8);
  images_ = *oci::ImageStore::open(root_ / "images");
  add_busybox(*images_);
  if (starts_with_engine()) start_engine();
}

void LocalEngineTest::TearDown() {
  if (root_.empty()) return;
  if (!engine_) start_engine();
  if (engine_) engine_->stop_all();
  engine_.reset();
  pool_.reset();
  EXPECT_EQ(find_leaks(root_id_), std::vector<std::string>{});
  fs::remove_all(root_);
}

LocalEngineOptions LocalEngineTest::options() {
  LocalEngineOptions out{.root = root_, .root_id = root_id_, .images = images_.get(), .pool = pool_.get(), .shim = WATARI_BIN_DIR "/watari-shim"};
  if (auto* shim = ::getenv("WATARI_TEST_SHIM")) out.shim = shim;
  if (auto* runtime = ::getenv("WATARI_TEST_RUNTIME")) out.runtime = {runtime};
  return out;
}

void LocalEngineTest::start_engine() {
  if (!pool_) pool_ = std::make_unique<async::Pool>(8);
  auto engine = start_local_engine(options());
  ASSERT_TRUE(engine) << engine.error().message;
  engine_ = *std::move(engine);
  auto recovered = engine_->recover(seen_->observer());
  ASSERT_TRUE(recovered) << recovered.error().message;
  recovered_ = *recovered;
  for (const auto& status : recovered_) seen_->add(status);
}

TaskSpec LocalEngineTest::task(std::vector<model::ContainerDefinition> containers) {
  TaskSpec spec;
  spec.id = random_hex(32);
  for (auto& definition : containers) {
    definition.image = definition.image.empty() ? "busybox" : definition.image;
    ContainerSpec each;
    each.log_directory = (root_ / "logs" / spec.id / definition.name).string();
    each.definition = std::move(definition);
    spec.containers.push_back(std::move(each));
  }
  spec.volume_scope = "123456789012/us-east-1";
  spec.network = {"vpc-test", "172.31.0.0/16", "172.31.5." + std::to_string(addresses_++), ""};
  spec.hostname = "ip-172-31-5-1";
  return spec;
}

model::ContainerDefinition LocalEngineTest::shell(const std::string& name, const std::string& script) {
  model::ContainerDefinition definition;
  definition.name = name;
  definition.command = {"/bin/sh", "-c", script};
  definition.stop_timeout = Seconds(2);
  return definition;
}

model::TaskStatus LocalEngineTest::run_to_end(const TaskSpec& spec) {
  engine_->run(spec);
  return seen_->wait_state(spec.id, model::TaskState::Stopped);
}

model::TaskStatus LocalEngineTest::run_until_running(const TaskSpec& spec) {
  engine_->run(spec);
  return seen_->wait_state(spec.id, model::TaskState::Running);
}

void LocalEngineTest::stop_and_forget(const std::string& id) {
  engine_->stop(id, "UserInitiated", "test");
  seen_->wait_state(id, model::TaskState::Stopped);
  engine_->forget(id);
}

std::string LocalEngineTest::output_of(const TaskSpec& spec, const std::string& name) {
  std::string out;
  auto directory = root_ / "logs" / spec.id / name;
  for (std::uint64_t sequence = 1; fs::exists(directory / logs::segment_name(sequence)); ++sequence) {
    std::ifstream in(directory / logs::segment_name(sequence), std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(in), {});
    std::size_t offset = logs::kSegmentMagic.size();
    while (auto record = logs::read_record(bytes, offset)) out += std::string(record->text) + (record->flags & logs::kPartial ? "" : "\n");
  }
  return out;
}

const model::ContainerStatus& LocalEngineTest::container(const model::TaskStatus& status, const std::string& name) {
  static const model::ContainerStatus none;
  auto found = std::ranges::find(status.containers, name, &model::ContainerStatus::name);
  return found == status.containers.end() ? none : *found;
}

}  // namespace watari::engine
