#include "oci/image_store.h"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/digest.h"
#include "codec/compress.h"
#include "codec/json.h"
#include "oci/layer_tar.h"
#include "tests/support/busybox_image.h"
#include "tests/support/temporary_directory.h"

namespace watari::oci {

namespace fs = std::filesystem;
using tests::TemporaryDirectory;

namespace {

std::unique_ptr<ImageStore> open_store(const TemporaryDirectory& root) {
  auto store = ImageStore::open(root.path());
  EXPECT_TRUE(store) << store.error().message;
  return *std::move(store);
}

fs::path small_layer(ImageStore& store, const std::string& text) {
  auto directory = store.scratch_directory().value();
  std::ofstream(directory / "file") << text;
  const timespec times[2] = {{1'000'000, 0}, {1'000'000, 0}};
  utimensat(AT_FDCWD, (directory / "file").c_str(), times, 0);
  return directory;
}

std::string read_blob(ImageStore& store, const std::string& digest, std::int64_t offset = 0, std::int64_t length = -1) {
  std::string out;
  auto done = store.content().read(digest, offset, length, [&](std::string_view bytes) -> Result<void> {
    out += bytes;
    return {};
  });
  EXPECT_TRUE(done) << done.error().message;
  return out;
}

std::size_t entries_of(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

}  // namespace

TEST(ImageStore, ResolvesWhatWasAddedByEveryName) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto layer = store->add_layer(small_layer(*store, "hello"));
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(layer->digest, layer->diff_id);
  ImageConfig config{.user = "web", .env = {"A=1"}, .cmd = {"/app"}, .exposed_ports = {"80/tcp"}, .labels = {{"a", "b"}}, .health_test = {"CMD", "true"},
                     .health_interval = Seconds(5)};
  auto image = store->add_image({.created = "2026-01-01T00:00:00Z", .config = config, .layers = {*layer}, .history = {{"COPY . .", "", false}}});
  ASSERT_TRUE(image) << image.error().message;
  ASSERT_TRUE(store->tag("web", "1", image->digest));
  ASSERT_TRUE(store->tag("web", "latest", image->digest));
  for (std::string name : {"web", "web:1", "127.0.0.1:4566/web:1", "localhost/web", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1",
                           "docker.io/library/web", "docker.io/web", "[::1]:4566/web"}) {
    auto found = store->resolve(name);
    ASSERT_TRUE(found) << name << ": " << found.error().message;
    EXPECT_EQ(found->digest, image->digest);
  }
  auto found = store->resolve("web@" + image->digest);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->config.user, "web");
  EXPECT_EQ(found->config.health_interval, Seconds(5));
  EXPECT_EQ(found->config.exposed_ports, std::vector<std::string>{"80/tcp"});
  EXPECT_EQ(found->history[0].created_by, "COPY . .");
  EXPECT_EQ(found->layers[0].diff_id, layer->diff_id);
  EXPECT_EQ(found->size, image->size);
  EXPECT_EQ(store->tags().size(), 2u);
  ASSERT_TRUE(store->untag("web", "1"));
  EXPECT_EQ(store->resolve("web:1").error().code, Code::NotFound);
  EXPECT_EQ(store->untag("web", "1").error().code, Code::NotFound);
  EXPECT_TRUE(store->resolve(image->digest));
}

TEST(ImageStore, GivesTheSameDigestsForTheSameInput) {
  TemporaryDirectory one, two;
  auto a = open_store(one), b = open_store(two);
  auto first = import_directory_as_image(*a, small_layer(*a, "x"), {.cmd = {"/x"}}, "x", "1");
  auto second = import_directory_as_image(*b, small_layer(*b, "x"), {.cmd = {"/x"}}, "x", "1");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->digest, second->digest);
}

TEST(ImageStore, KeepsALayerThatIsThereAndRemovesTheSecondDirectory) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto first = store->add_layer(small_layer(*store, "same"));
  auto directory = small_layer(*store, "same");
  auto second = store->add_layer(directory);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->diff_id, second->diff_id);
  EXPECT_FALSE(fs::exists(directory));
  EXPECT_EQ(entries_of(root / "images/layers"), 1u);
}

TEST(ImageStore, ServesALayerMadeHereAsItsTarAndPartsOfIt) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto layer = store->add_layer(small_layer(*store, std::string(100'000, 'q'))).value();
  auto bytes = read_blob(*store, layer.digest);
  EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), layer.size);
  EXPECT_EQ("sha256:" + sha256_hex(bytes), layer.digest);
  EXPECT_EQ(read_blob(*store, layer.digest, 700, 5000), bytes.substr(700, 5000));
  EXPECT_EQ(read_blob(*store, layer.digest, layer.size - 10, 100), bytes.substr(bytes.size() - 10));
}

TEST(ImageStore, UnpacksPushedLayersWhateverTheirCompression) {
  for (auto how : {codec::Compression::None, codec::Compression::Gzip, codec::Compression::Zstd}) {
    TemporaryDirectory one, two;
    auto source = open_store(one), target = open_store(two);
    auto image = tests::add_busybox_image(*source);
    ASSERT_TRUE(image) << image.error().message;
    auto tar = read_blob(*source, image->layers[0].digest);
    std::string blob;
    auto sink = codec::compress(how, [&](std::string_view bytes) -> Result<void> {
      blob += bytes;
      return {};
    });
    ASSERT_TRUE(sink(tar));
    if (how != codec::Compression::None) ASSERT_TRUE(sink({}));
    image->layers[0].digest = target->content().put(blob).value();
    auto again = target->add_image(*image);
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_TRUE(target->tag("bb", "1", again->digest));
    auto directories = target->layer_directories(target->resolve("bb:1").value());
    ASSERT_TRUE(directories) << directories.error().message;
    EXPECT_EQ(fs::read_symlink(directories->at(0) / "bin/sh"), "/bin/busybox");
    EXPECT_EQ(summarize_layer(directories->at(0)).value().diff_id, image->layers[0].diff_id);  // the way back gives the same
  }
}

TEST(ImageStore, RefusesALayerWhoseBytesAreNotWhatTheConfigSays) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto layer = store->add_layer(small_layer(*store, "good")).value();
  Layer lying{.diff_id = "sha256:" + std::string(64, 'a'), .digest = store->content().put(read_blob(*store, layer.digest)).value()};
  auto image = store->add_image({.layers = {lying}});
  ASSERT_TRUE(image);
  auto directories = store->layer_directories(*image);
  ASSERT_FALSE(directories);
  EXPECT_EQ(directories.error().code, Code::Corrupt);
  EXPECT_EQ(entries_of(root / "images/layers"), 1u);
  EXPECT_EQ(entries_of(root / "images/tmp"), 0u);
}

TEST(ImageStore, ChoosesLinuxAmd64FromAnIndex) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = import_directory_as_image(*store, small_layer(*store, "x"), {}, "x", "1").value();
  const auto size = store->content().size(image.digest).value();
  const auto entry = [&](const char* architecture) {
    return codec::Json::object({{"mediaType", "application/vnd.oci.image.manifest.v1+json"}, {"digest", image.digest}, {"size", size},
                                {"platform", codec::Json::object({{"architecture", architecture}, {"os", "linux"}})}});
  };
  auto index = codec::Json::object({{"schemaVersion", 2}, {"manifests", codec::Json::array({entry("arm64"), entry("amd64")})}}).dump();
  auto digest = store->put_manifest("multi", "application/vnd.oci.image.index.v1+json", index);
  ASSERT_TRUE(digest) << digest.error().message;
  ASSERT_TRUE(store->tag("multi", "1", *digest));
  EXPECT_EQ(store->resolve("multi:1").value().digest, image.digest);
  auto other = codec::Json::object({{"schemaVersion", 2}, {"manifests", codec::Json::array({entry("arm64")})}}).dump();
  ASSERT_TRUE(store->tag("multi", "2", store->put_manifest("multi", "", other).value()));
  EXPECT_EQ(store->resolve("multi:2").error().code, Code::FailedPrecondition);
}

TEST(ImageStore, RefusesManifestsThatNameMissingBlobs) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = import_directory_as_image(*store, small_layer(*store, "x"), {}, "x", "1").value();
  auto manifest = store->content().get(image.digest).value();
  manifest.replace(manifest.find(image.config_digest), 71, "sha256:" + std::string(64, 'b'));
  EXPECT_EQ(store->put_manifest("y", "", manifest).error().code, Code::FailedPrecondition);
  EXPECT_FALSE(store->repositories().exists("y"));
}

TEST(ImageStore, RemovesWhatACrashLeftHalfWritten) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = tests::add_busybox_image(*store).value();
  store.reset();
  fs::create_directories(root / "images/tmp/layer-1/fs/deep");
  std::ofstream(root / "images/tmp/blob-1") << "torn";
  // A layer of an earlier boot that was never synced.
  fs::create_directories(root / "images/layers" / std::string(64, 'c') / "fs");
  std::ofstream(root / "images/layers" / std::string(64, 'c') / "layer.json") << R"({"info":{"size":1,"made_here":true},"boot":"another"})";
  store = open_store(root);
  EXPECT_EQ(entries_of(root / "images/tmp"), 0u);
  EXPECT_FALSE(fs::exists(root / "images/layers" / std::string(64, 'c')));
  EXPECT_TRUE(store->layer_directories(store->resolve("busybox").value()));
  EXPECT_EQ(store->resolve("busybox").value().digest, image.digest);
}

TEST(ImageStore, KeepsASmallImageThroughAPowerCutAndMakesItsLayerAgain) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = import_directory_as_image(*store, small_layer(*store, "precious"), {}, "app", "1").value();
  store.reset();
  const fs::path layer = root / "images/layers" / image.layers[0].diff_id.substr(7);
  ASSERT_FALSE(fs::exists(layer / "durable"));
  // What a power cut leaves: the files' bytes were in memory only, and the machine has started anew.
  for (const auto& entry : fs::recursive_directory_iterator(layer / "fs"))
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 0);
  std::ofstream(layer / "layer.json") << R"({"info":{"size":1,"made_here":true},"boot":"another"})";
  store = open_store(root);
  auto directories = store->layer_directories(store->resolve("app:1").value());
  ASSERT_TRUE(directories) << directories.error().message;
  EXPECT_EQ(summarize_layer(directories->at(0)).value().diff_id, image.layers[0].diff_id);
}

TEST(ImageStore, FlushesALayerLaterAndNeedsItsTarNoMore) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = import_directory_as_image(*store, small_layer(*store, "x"), {}, "app", "1").value();
  const auto hex = image.layers[0].diff_id.substr(7);
  const fs::path tar = root / "images/blobs/sha256" / hex;
  EXPECT_TRUE(fs::exists(tar));
  while (fs::exists(tar)) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(fs::exists(root / "images/layers" / hex / "durable"));
  EXPECT_EQ(sha256_hex(read_blob(*store, image.layers[0].digest)), hex);
}

// A child adds images without end and is killed at a random instant; what is left must be whole.
TEST(ImageStore, SurvivesSigkillInTheMiddleOfAdding) {
  TemporaryDirectory root;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = ImageStore::open(root.path());
      for (int i = 0; store; ++i) (void)import_directory_as_image(**store, small_layer(**store, std::to_string(round) + "/" + std::to_string(i)), {}, "crash", "t" + std::to_string(i % 5));
      ::_exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(15 + 7 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    auto store = open_store(root);
    EXPECT_EQ(entries_of(root / "images/tmp"), 0u);
    for (const auto& tag : store->tags()) {
      auto image = store->resolve("crash:" + tag.tag);
      ASSERT_TRUE(image) << image.error().message;
      auto directories = store->layer_directories(*image);
      ASSERT_TRUE(directories) << directories.error().message;
      EXPECT_EQ(summarize_layer(directories->at(0)).value().diff_id, image->layers[0].diff_id);
    }
    for (const auto& blob : fs::directory_iterator(root / "images/blobs/sha256"))
      EXPECT_EQ(sha256_hex(read_blob(*store, "sha256:" + blob.path().filename().string())), blob.path().filename().string());
  }
}

TEST(ImageStore, PrunesWhatNothingLeadsToAndNothingElse) {
  TemporaryDirectory root;
  auto store = open_store(root);
  const auto make = [&](const std::string& text, const std::string& tag) { return import_directory_as_image(*store, small_layer(*store, text), {.cmd = {text}}, "app", tag).value(); };
  auto old = make("old", "1"), kept = make("kept", "2"), tagged = make("tagged", "3");
  make("new one", "1");
  ASSERT_TRUE(store->untag("app", "2"));
  auto cached = store->add_layer(small_layer(*store, "cached")).value();
  auto loose = store->add_layer(small_layer(*store, "loose")).value();
  const Time now = SystemClock().now();

  auto nothing = store->prune({.keep = {kept.digest}}, now);
  ASSERT_TRUE(nothing) << nothing.error().message;
  EXPECT_TRUE(nothing->manifests.empty() && nothing->blobs.empty() && nothing->layers.empty());  // the grace period

  PruneRequest request{.keep = {kept.digest, cached.diff_id}, .dry_run = true};
  const Time later = now + Seconds(7200);
  auto planned = store->prune(request, later).value();
  EXPECT_EQ(planned.manifests, std::vector<std::string>{"app@" + old.digest});
  EXPECT_EQ(planned.blobs.size(), 3u);  // manifest, config, and the tar by which its layer is durable as yet
  EXPECT_EQ(planned.layers.size(), 2u);
  EXPECT_TRUE(store->resolve(old.digest));

  request.dry_run = false;
  auto done = store->prune(request, later).value();
  EXPECT_EQ(done.layers.size(), 2u);
  EXPECT_FALSE(store->resolve(old.digest));
  EXPECT_EQ(store->content().size(loose.digest).error().code, Code::NotFound);
  for (const auto& image : {kept, tagged}) EXPECT_TRUE(store->layer_directories(store->resolve(image.digest).value()));
  EXPECT_TRUE(store->content().size(cached.digest));
  EXPECT_TRUE(store->resolve("app:1") && store->resolve("app:3"));
  EXPECT_EQ(entries_of(root / "images/tmp"), 0u);
}

TEST(ImageStore, KeepsBlobsThatAnImageNames) {
  TemporaryDirectory root;
  auto store = open_store(root);
  auto image = import_directory_as_image(*store, small_layer(*store, "x"), {}, "x", "1").value();
  EXPECT_EQ(store->remove_blob(image.config_digest).error().code, Code::FailedPrecondition);
  auto loose = store->content().put("loose").value();
  EXPECT_TRUE(store->remove_blob(loose));
  EXPECT_EQ(store->remove_blob(loose).error().code, Code::NotFound);
}

TEST(ImageStore, PrunesBesideThreadsThatAddAndTag) {
  TemporaryDirectory root;
  auto store = open_store(root);
  std::atomic<bool> stop = false;
  std::jthread pruner([&] {
    while (!stop) ASSERT_TRUE(store->prune({.grace = Seconds(2)}, SystemClock().now()));
  });
  for (int i = 0; i < 100; ++i) {
    auto image = import_directory_as_image(*store, small_layer(*store, std::to_string(i % 7)), {}, "busy", "t");
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_TRUE(store->layer_directories(store->resolve("busy:t").value()));
  }
  stop = true;
}

TEST(ImageStore, ManyThreadsAddAndUnpackTheSameLayers) {
  TemporaryDirectory root;
  auto store = open_store(root);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        auto image = import_directory_as_image(*store, small_layer(*store, std::to_string(i)), {}, "many", "t" + std::to_string(t));
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_TRUE(store->layer_directories(*image));
      }
    });
  threads.clear();
  EXPECT_EQ(entries_of(root / "images/layers"), 10u);
}

}  // namespace watari::oci
