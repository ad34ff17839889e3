// Real builds on a busybox base: they need root and an OCI runtime, and are skipped, loudly, without.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/id.h"
#include "base/strings.h"
#include "builder/builder.h"
#include "codec/tar.h"
#include "sys/files.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Files = std::map<std::string, std::string>;

class Build : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0 || ::system("command -v crun >/dev/null") != 0) return;
    root_ = fs::temp_directory_path() / ("watari-build-test-" + random_hex(8));
    fs::create_directories(root_);
    open();
    auto base = builder_->start_base({.name = "busybox", .from = "busybox"});
    ASSERT_EQ(wait(*base).status, BuildStatus::Succeeded) << wait(*base).error;
  }
  static void TearDownTestSuite() {
    builder_.reset();
    images_.reset();
    if (!root_.empty()) fs::remove_all(root_);
  }
  void SetUp() override {
    if (!builder_) GTEST_SKIP() << "SKIPPED: building needs root and crun";
  }

  static void open() {
    builder_.reset();
    images_.reset();
    images_ = std::move(*oci::ImageStore::open(root_));
    builder_ = std::move(*Builder::open({.root = root_}, *images_));
  }

  static std::string upload(const Files& files, std::int64_t mtime = 1000) {
    std::string tar;
    codec::TarWriter writer([&](std::string_view bytes) -> Result<void> { tar += bytes; return {}; });
    for (const auto& [name, content] : files) {
      unsigned mode = name.ends_with(".sh") ? 0755 : 0644;
      EXPECT_TRUE(writer.entry({.path = name, .mode = mode, .size = static_cast<std::int64_t>(content.size()), .mtime = mtime}));
      EXPECT_TRUE(writer.data(content));
    }
    EXPECT_TRUE(writer.finish());
    std::size_t at = 0;
    auto id = builder_->add_context([&](std::span<char> into) -> Result<std::size_t> {
      auto count = std::min(into.size(), tar.size() - at);
      std::copy_n(tar.data() + at, count, into.data());
      at += count;
      return count;
    });
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id ? *id : "";
  }

  static BuildReport wait(const std::string& id) {
    for (;;) {
      auto report = builder_->get(id, 0);
      if (!report || report->status != BuildStatus::Running) return report ? *report : BuildReport{};
      std::this_thread::sleep_for(Millis(5));
    }
  }
  static BuildReport build(const Files& files, BuildRequest request = {}) {
    request.context_id = upload(files);
    auto id = builder_->start(request);
    return wait(*id);
  }
  static BuildReport build_ok(const Files& files, BuildRequest request = {}) {
    auto report = build(files, std::move(request));
    EXPECT_EQ(report.status, BuildStatus::Succeeded) << report.error << "\n" << text_of(report);
    return report;
  }
  static std::string text_of(const BuildReport& report) {
    std::string text;
    for (const auto& line : report.lines) text += line.text + "\n";
    return text;
  }
  static std::vector<StepStatus> statuses(const BuildReport& report) {
    std::vector<StepStatus> all;
    for (const auto& step : report.steps) all.push_back(step.status);
    return all;
  }
  static oci::Image image_of(const BuildReport& report) { return *images_->resolve(report.image_digest); }
  // The file as the topmost layer that has it.
  static std::optional<fs::path> find(const BuildReport& report, const std::string& path) {
    auto directories = *images_->layer_directories(image_of(report));
    for (auto it = directories.rbegin(); it != directories.rend(); ++it)
      if (fs::exists(fs::symlink_status(*it / path))) return *it / path;
    return std::nullopt;
  }
  static std::string content(const BuildReport& report, const std::string& path) {
    auto file = find(report, path);
    return file ? sys::read_file(*file).value_or("") : "(none)";
  }
  static struct stat stat_of(const BuildReport& report, const std::string& path) {
    struct stat info{};
    auto file = find(report, path);
    EXPECT_TRUE(file) << path;
    if (file) ::lstat(file->c_str(), &info);
    return info;
  }

  static inline fs::path root_;
  static inline std::unique_ptr<oci::ImageStore> images_;
  static inline std::unique_ptr<Builder> builder_;
};

TEST_F(Build, RunsCommandsAndTagsTheImage) {
  auto report = build_ok({{"Dockerfile", "FROM busybox\nRUN echo hello && echo made > /made\nCMD [\"cat\", \"/made\"]\n"}}, {.tags = {"first", "first:two"}});
  EXPECT_EQ(content(report, "made"), "made\n");
  EXPECT_THAT(text_of(report), HasSubstr("hello\n"));
  EXPECT_EQ(images_->resolve("first:two")->digest, report.image_digest);
  EXPECT_THAT(images_->resolve("first")->config.cmd, ElementsAre("cat", "/made"));
}

TEST_F(Build, LeavesNoTraceOfItsMountsInTheLayer) {
  auto report = build_ok({{"Dockerfile", "FROM busybox\nRUN rm /bin/vi; touch /new; mkdir /d; chown 5:6 /d; chmod 2710 /d\n"}});
  auto layer = images_->layer_directories(image_of(report))->back();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(layer)) names.push_back(entry.path().filename());
  EXPECT_THAT(names, testing::UnorderedElementsAre("bin", "new", "d"));
  EXPECT_TRUE(fs::is_character_file(layer / "bin/vi"));
  auto info = stat_of(report, "d");
  EXPECT_EQ(info.st_uid, 5u);
  EXPECT_EQ(info.st_gid, 6u);
  EXPECT_EQ(info.st_mode & 07777, 02710u);
}

TEST_F(Build, HitsTheCacheUntilAnInputChanges) {
  Files files{{"Dockerfile", "FROM busybox\nCOPY a /a\nRUN cat /a > /b\nLABEL x=y\n"}, {"a", "1"}};
  auto first = build_ok(files);
  auto second = build_ok(files);
  EXPECT_EQ(first.image_digest, second.image_digest);
  EXPECT_THAT(statuses(second), ElementsAre(StepStatus::Done, StepStatus::Cached, StepStatus::Cached, StepStatus::Done));
  files["a"] = "2";
  auto third = build_ok(files);
  EXPECT_THAT(statuses(third), ElementsAre(StepStatus::Done, StepStatus::Done, StepStatus::Done, StepStatus::Done));
  EXPECT_THAT(third.steps[1].reason, HasSubstr("files changed: a"));
  EXPECT_EQ(third.steps[2].reason, "the layer of `COPY a /a` above it is another");
  EXPECT_EQ(content(third, "b"), "2");
}

TEST_F(Build, DoesNotLookAtTimesInTheCacheKey) {
  Files files{{"Dockerfile", "FROM busybox\nCOPY t /t\n"}, {"t", "same"}};
  build_ok(files);
  auto id = builder_->start({.context_id = upload(files, 2000)});
  EXPECT_EQ(wait(*id).steps[1].status, StepStatus::Cached);
}

TEST_F(Build, FindsAContextByTheDigestOfItsArchive) {
  auto id = upload({{"Dockerfile", "FROM busybox\n"}, {"unique", "x"}});
  EXPECT_EQ(*builder_->find_context(id + std::string(32, '0')), id);
  EXPECT_FALSE(builder_->find_context(std::string(64, '0')));
}

TEST_F(Build, ExplainsAMissByTheArgumentThatChanged) {
  Files files{{"Dockerfile", "FROM busybox\nARG V=1\nRUN echo $V > /v\n"}};
  build_ok(files);
  auto other = build_ok(files, {.build_args = {{"V", "2"}}});
  EXPECT_EQ(content(other, "v"), "2\n");
  EXPECT_EQ(other.steps[2].reason, "environment changed: V");
  auto again = build_ok(files, {.build_args = {{"V", "2"}}, .no_cache = true});
  EXPECT_EQ(again.steps[2].status, StepStatus::Done);
}

TEST_F(Build, CopiesBetweenStagesAndBuildsOnlyWhatTheTargetNeeds) {
  auto report = build_ok({{"Dockerfile",
                           "ARG B=busybox\nFROM $B AS one\nRUN echo one > /one; chown 7:8 /one\n"
                           "FROM busybox AS unused\nRUN exit 1\n"
                           "FROM scratch\nCOPY --from=one /one /dir/\nCOPY --from=0 --chown=3:4 /one /two\nCOPY --from=busybox /bin/busybox /b\n"}});
  EXPECT_EQ(content(report, "dir/one"), "one\n");
  EXPECT_EQ(stat_of(report, "dir/one").st_uid, 7u);
  EXPECT_EQ(stat_of(report, "two").st_gid, 4u);
  EXPECT_EQ(report.steps.size(), 6u);
}

TEST_F(Build, RunsIndependentStagesSideBySide) {
  // Each waits for the other: one after the other they would never end.
  std::string meet = "RUN --mount=type=cache,id=meet,target=/c touch /c/ME; for i in $(seq 300); do [ -e /c/OTHER ] && touch /ME && exit 0; sleep 0.1; done; exit 1\n";
  auto side = [&](std::string me, std::string other) {
    auto text = meet;
    for (std::size_t at; (at = text.find("ME")) != std::string::npos;) text.replace(at, 2, me);
    for (std::size_t at; (at = text.find("OTHER")) != std::string::npos;) text.replace(at, 5, other);
    return "FROM busybox AS " + me + "\n" + text;
  };
  build_ok({{"Dockerfile", side("a", "b") + side("b", "a") + "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"}});
}

TEST_F(Build, CopiesLikeDocker) {
  Files files{{"src/x.rb", "x"}, {"src/lib/y.rb", "y"}, {"run.sh", "#!/bin/sh\n"}, {"a.txt", "a"}, {"b.txt", "b"}, {"sp ace", "s"}};
  files["Dockerfile"] =
      "FROM busybox\nWORKDIR /app/deep\nCOPY src .\nCOPY src /tree\nCOPY *.txt /texts/\nCOPY a.txt /renamed\nCOPY a.txt /tmp\n"
      "COPY [\"sp ace\", \"/sp ace\"]\nCOPY --chmod=0600 --chown=nobody run.sh /r\nCOPY run.sh /run.sh\n"
      "RUN ln -s /tmp /link\nCOPY b.txt /link/\n"
      "COPY <<EOF <<'RAW' /docs/\npath $PATH\nEOF\nraw $PATH\nRAW\n";
  auto report = build_ok(files);
  EXPECT_EQ(content(report, "app/deep/x.rb"), "x");
  EXPECT_EQ(content(report, "app/deep/lib/y.rb"), "y");
  EXPECT_EQ(content(report, "tree/lib/y.rb"), "y");
  EXPECT_EQ(content(report, "texts/b.txt"), "b");
  EXPECT_EQ(content(report, "renamed"), "a");
  EXPECT_EQ(content(report, "tmp/a.txt"), "a");
  EXPECT_EQ(content(report, "sp ace"), "s");
  EXPECT_EQ(stat_of(report, "r").st_mode & 07777, 0600u);
  EXPECT_EQ(stat_of(report, "r").st_uid, 65534u);
  EXPECT_EQ(stat_of(report, "run.sh").st_mode & 07777, 0755u);
  EXPECT_EQ(content(report, "tmp/b.txt"), "b");
  EXPECT_THAT(content(report, "docs/EOF"), HasSubstr("path /usr/local/sbin"));
  EXPECT_EQ(content(report, "docs/RAW"), "raw $PATH\n");
  EXPECT_EQ(image_of(report).config.working_dir, "/app/deep");
}

TEST_F(Build, KnowsTheConfigurationInstructions) {
  auto image = image_of(build_ok({{"Dockerfile",
      "FROM busybox\nARG N=5\nENV A=1 B=\"$A x\" C=${N}\nENV A=2 D=$A\nLABEL a.b=\"c d\" e=$D\nEXPOSE 80 53/udp 8000-8001\nVOLUME /data rel\n"
      "USER nobody\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK --interval=5s --timeout=1m30s --retries=2 CMD wget -q localhost\n"
      "ENTRYPOINT [\"a\"]\nCMD b c\nSHELL [\"/bin/ash\", \"-ec\"]\nONBUILD RUN touch /triggered\n"}}));
  const auto& config = image.config;
  EXPECT_THAT(config.env, testing::IsSupersetOf({"A=2", "B= x", "C=5", "D=1"}));
  EXPECT_EQ(config.labels.at("a.b"), "c d");
  EXPECT_EQ(config.labels.at("e"), "1");
  EXPECT_THAT(config.exposed_ports, testing::UnorderedElementsAre("80/tcp", "53/udp", "8000/tcp", "8001/tcp"));
  EXPECT_THAT(config.volumes, testing::UnorderedElementsAre("/data", "rel"));
  EXPECT_EQ(config.user, "nobody");
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_THAT(config.health_test, ElementsAre("CMD-SHELL", "wget -q localhost"));
  EXPECT_EQ(config.health_timeout, Seconds(90));
  EXPECT_THAT(config.entrypoint, ElementsAre("a"));
  EXPECT_THAT(config.cmd, ElementsAre("/bin/sh", "-c", "b c"));
  EXPECT_THAT(config.on_build, ElementsAre("RUN touch /triggered"));
}

TEST_F(Build, CarriesOutTriggersOfTheBase) {
  build_ok({{"Dockerfile", "FROM busybox\nONBUILD RUN touch /triggered\n"}}, {.tags = {"trigger"}});
  auto report = build_ok({{"Dockerfile", "FROM trigger\n"}});
  EXPECT_EQ(content(report, "triggered"), "");
  EXPECT_TRUE(image_of(report).config.on_build.empty());
}

TEST_F(Build, RunsHereDocumentsAndMounts) {
  auto report = build_ok({{"Dockerfile",
      "FROM busybox AS tools\nRUN mkdir /t && echo tool > /t/tool\nFROM busybox\nRUN <<EOF\nset -e\necho one > /one\n\necho two >> /one\nEOF\n"
      "RUN <<EOF\n#!/bin/busybox ash\necho $0 > /script\nEOF\n"
      "RUN cat > /cat <<EOF\nline\nEOF\n"
      "RUN --mount=type=cache,target=/var/cache/x --mount=type=tmpfs,target=/scratch --mount=from=tools,source=/t,target=/t "
      "--mount=target=/ctx,source=data cat /t/tool /ctx/d > /both; touch /var/cache/x/kept /scratch/gone\n"
      "RUN --mount=type=cache,target=/var/cache/x ls /var/cache/x > /cached\n"}, {"data/d", "data\n"}});
  EXPECT_EQ(content(report, "one"), "one\ntwo\n");
  EXPECT_EQ(content(report, "script"), "/dev/pipes/EOF\n");
  EXPECT_EQ(content(report, "cat"), "line\n");
  EXPECT_EQ(content(report, "both"), "tool\ndata\n");
  EXPECT_EQ(content(report, "cached"), "kept\n");
  EXPECT_FALSE(find(report, "var/cache"));
  EXPECT_FALSE(find(report, "scratch"));
}

TEST_F(Build, RunsWithoutPrivilegesAndDevices) {
  auto report = build_ok({{"Dockerfile", "FROM busybox\nUSER nobody\nRUN id -u\nUSER 0\nRUN mknod /tmp/x b 8 0 || echo refused; grep Seccomp: /proc/self/status; ls /sys/fs/cgroup\n"}});
  EXPECT_THAT(text_of(report), HasSubstr("65534\n"));
  EXPECT_THAT(text_of(report), HasSubstr("refused\n"));
  EXPECT_THAT(text_of(report), HasSubstr("Seccomp:\t2"));
}

TEST_F(Build, ShowsTheFailingStepItsLineAndItsOutput) {
  auto report = build({{"Dockerfile", "FROM busybox\n\nRUN echo before && \\\n  no-such-command\n"}});
  EXPECT_EQ(report.status, BuildStatus::Failed);
  EXPECT_THAT(report.error, HasSubstr("Dockerfile:3: the command ended with exit code 127\n  3 | RUN echo before &&"));
  EXPECT_EQ(report.steps[1].status, StepStatus::Failed);
  EXPECT_THAT(text_of(report), HasSubstr("before\n"));
  EXPECT_THAT(text_of(report), HasSubstr("no-such-command: not found"));
}

TEST_F(Build, RefusesWhatItCannotDoByName) {
  auto error = [](const std::string& lines, const Files& more = {}) {
    Files files = more;
    files["Dockerfile"] = lines;
    return build(files).error;
  };
  EXPECT_THAT(error("FROM nowhere\n"), HasSubstr("Dockerfile:1:"));
  EXPECT_THAT(error("FROM --platform=linux/s390x busybox\n"), HasSubstr("platform linux/s390x cannot be built here"));
  EXPECT_THAT(error("FROM busybox\nCOPY missing /\n"), HasSubstr("Dockerfile:2: no file `missing`"));
  EXPECT_THAT(error("FROM busybox\nCOPY ../../etc/passwd /\n"), HasSubstr("no file `../../etc/passwd`"));
  EXPECT_THAT(error("FROM busybox\nCOPY https://example.test/x /\n"), HasSubstr("COPY takes no remote source"));
  EXPECT_THAT(error("FROM busybox\nRUN --mount=type=secret,id=x,required true\n"), HasSubstr("the secret x is required; give it with --secret id=x"));
  EXPECT_THAT(error("FROM busybox\nRUN --mount=type=tmpfs,target=/x,id=y true\n"), HasSubstr("--mount option id has no meaning for type=tmpfs"));
  EXPECT_THAT(error("FROM busybox\nRUN --security=insecure true\n"), HasSubstr("--security=insecure is not supported"));
  EXPECT_THAT(error("FROM busybox\nCOPY a b /c\n", {{"a", ""}, {"b", ""}}), HasSubstr("end the destination with /"));
  EXPECT_THAT(error("FROM busybox\nUSER ghost\nRUN id\n"), HasSubstr("`ghost` is not in the image's /etc/passwd"));
  EXPECT_THAT(error("FROM busybox\nEXPOSE http\n"), HasSubstr("`http` is no port"));
  EXPECT_THAT(build({{"Dockerfile", "FROM busybox AS a\n"}}, {.target = "b"}).error, HasSubstr("no stage named b; its stages are a"));
  EXPECT_THAT(build({{"Dockerfile", "FROM busybox AS builder\n"}}, {.target = "bulder"}).error, HasSubstr("no stage named bulder (did you mean builder?)"));
  EXPECT_THAT(error("FROM busybox AS builder\nFROM busybox\nCOPY --from=bulder /a /b\n"), HasSubstr("(did you mean the stage builder?)"));
  EXPECT_THAT(error("FROM busybx\n"), HasSubstr("(did you mean busybox?)"));
  EXPECT_THAT(build({{"x", ""}}).error, HasSubstr("no Dockerfile in the build context"));
  EXPECT_FALSE(builder_->start({.context_id = "00000000000000000000000000000000"}));
}

// The same layer twice in one image: steps that do the same within a second, or with a fixed date.
TEST_F(Build, MountsALayerThatIsThereTwice) {
  auto report = build_ok({{"Dockerfile", "FROM busybox\nCOPY a /d/a\nRUN rm /d/a\nCOPY a /d/a\nRUN cat /d/a > /seen && touch /d/b\nRUN rm -r /d && mkdir /d\n"
                                         "COPY a /d/a\nRUN ls /d > /listed\n"}, {"a", "text\n"}}, {.build_args = {{"SOURCE_DATE_EPOCH", "1000"}}});
  EXPECT_EQ(content(report, "seen"), "text\n");
  EXPECT_EQ(content(report, "listed"), "a\n");
}

TEST_F(Build, FollowsLinksInsideTheImageOnly) {
  auto report = build_ok({{"Dockerfile", "FROM busybox\nRUN ln -s /../../../../../../tmp/watari-escape /out && ln -s b /a && ln -s a /b\nCOPY f /out/f\n"}, {"f", "x"}});
  EXPECT_FALSE(fs::exists("/tmp/watari-escape"));
  EXPECT_EQ(content(report, "tmp/watari-escape/f"), "x");
  auto circle = build({{"Dockerfile", "FROM busybox\nRUN ln -s b /a && ln -s a /b\nCOPY f /a/f\n"}, {"f", "x"}});
  EXPECT_THAT(circle.error, HasSubstr("leads in circles"));
}

TEST_F(Build, StopsWhenAsked) {
  auto id = *builder_->start({.context_id = upload({{"Dockerfile", "FROM busybox\nRUN echo up; sleep 1000\n"}})});
  while (builder_->get(id, 0)->lines.empty()) std::this_thread::sleep_for(Millis(5));
  ASSERT_TRUE(builder_->stop(id));
  auto report = wait(id);
  EXPECT_EQ(report.status, BuildStatus::Stopped);
  EXPECT_EQ(report.steps[1].status, StepStatus::Cancelled);
}

TEST_F(Build, EndsAStepThatRunsTooLong) {
  auto id = *builder_->start({.context_id = upload({{"Dockerfile", "FROM busybox\nRUN sleep 1000\n"}}), .limits = {.timeout = Seconds(1)}});
  auto report = wait(id);
  EXPECT_THAT(report.error, HasSubstr("Dockerfile:2: it ran longer than 1 s"));
}

TEST_F(Build, GivesAnImageFromScratchAPath) {
  auto report = build_ok({{"Dockerfile", "FROM scratch\nCOPY a /a\n"}, {"a", ""}});
  EXPECT_THAT(image_of(report).config.env, ElementsAre(HasSubstr("PATH=/usr/local/sbin")));
}

TEST_F(Build, UnpacksLocalArchivesOfAddOnly) {
  auto report = build_ok({{"Dockerfile",
                           "FROM busybox AS pack\nRUN mkdir -p /t/d && echo in > /t/d/f && tar czf /a.tgz -C /t .\n"
                           "FROM busybox\nCOPY --from=pack /a.tgz /copied.tgz\nRUN --mount=from=pack,target=/p cat /p/a.tgz > /same && cmp /same /copied.tgz\n"}});
  EXPECT_EQ(content(report, "same").substr(0, 2), "\x1f\x8b");
  auto archive = content(report, "same");
  auto added = build_ok({{"Dockerfile", "FROM busybox\nADD a.tgz /x/\nADD plain /x/\nCOPY a.tgz /y/\n"}, {"a.tgz", archive}, {"plain", "text"}});
  EXPECT_EQ(content(added, "x/d/f"), "in\n");
  EXPECT_EQ(content(added, "x/plain"), "text");
  EXPECT_EQ(content(added, "y/a.tgz"), archive);
}

TEST_F(Build, KeepsReportsAndLogsOverARestart) {
  auto before = build_ok({{"Dockerfile", "FROM busybox\nRUN echo kept\n"}});
  open();
  auto after = builder_->get(before.build_id, 0);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->image_digest, before.image_digest);
  EXPECT_EQ(after->lines.size(), before.lines.size());
  EXPECT_TRUE(builder_->get(before.build_id, after->next_log_position)->lines.empty());
}

TEST_F(Build, LeavesNothingWhenTheServerIsKilledInTheMiddle) {
  auto context = upload({{"Dockerfile", "FROM busybox\nRUN echo done > /step\nRUN sleep 1000\n"}});
  builder_.reset();
  images_.reset();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  auto child = ::fork();
  if (child == 0) {
    open();
    auto id = *builder_->start({.context_id = context});
    while (builder_->get(id, 0)->steps.size() < 3 || builder_->get(id, 0)->steps[2].status != StepStatus::Running) ::usleep(1000);
    ::usleep(100'000);
    (void)!::write(pipe[1], id.data(), id.size());
    ::pause();
  }
  std::string id(16, '\0');
  ASSERT_EQ(::read(pipe[0], id.data(), id.size()), 16);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_THAT(*sys::read_file("/proc/self/mounts"), Not(HasSubstr(root_.string())));
  open();
  auto report = builder_->get(id, 0);
  EXPECT_EQ(report->status, BuildStatus::Failed);
  EXPECT_THAT(report->error, HasSubstr("the server ended while this build ran"));
  EXPECT_TRUE(fs::is_empty(root_ / "builds/work"));
  auto again = builder_->start({.context_id = context});
  while (builder_->get(*again, 0)->steps.size() < 3 || builder_->get(*again, 0)->steps[2].status != StepStatus::Running) ::usleep(1000);
  EXPECT_EQ(builder_->get(*again, 0)->steps[1].status, StepStatus::Cached);
  ASSERT_TRUE(builder_->stop(*again));
  wait(*again);
}

}  // namespace
}  // namespace watari::builder
