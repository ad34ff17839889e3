#include "runtime/bundle.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

namespace watari::runtime {
namespace {

constexpr auto kPasswd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\nbroken line\n";
constexpr auto kGroup = "root:x:0:\nweb:x:1001:\nlogs:x:2000:other,web\n";

using Words = std::vector<std::string>;

TEST(FindUser, TakesNamesNumbersAndGroupsAsDockerDoes) {
  auto root = find_user("", kPasswd, kGroup);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->uid, 0U);
  EXPECT_EQ(root->home, "/root");
  auto web = find_user("web", kPasswd, kGroup);
  ASSERT_TRUE(web);
  EXPECT_EQ(web->uid, 1000U);
  EXPECT_EQ(web->gid, 1001U);
  EXPECT_EQ(web->groups, std::vector<std::uint32_t>{2000});
  EXPECT_EQ(web->home, "/home/web");
  auto number = find_user("1000", kPasswd, kGroup);
  ASSERT_TRUE(number);
  EXPECT_EQ(number->gid, 1001U);
  auto both = find_user("4242:logs", kPasswd, kGroup);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->uid, 4242U);
  EXPECT_EQ(both->gid, 2000U);
  EXPECT_EQ(find_user("5:6", "", "")->gid, 6U);
  EXPECT_FALSE(find_user("nobody", kPasswd, kGroup));
  EXPECT_FALSE(find_user("web:nogroup", kPasswd, kGroup));
  EXPECT_FALSE(find_user("-1", kPasswd, kGroup));
}

TEST(MergedCommand, AnEntryPointOfTheDefinitionDropsTheImagesCommand) {
  oci::ImageConfig image;
  image.entrypoint = {"/entry"};
  image.cmd = {"serve", "--fast"};
  model::ContainerDefinition definition;
  EXPECT_EQ(merged_command(definition, image), (Words{"/entry", "serve", "--fast"}));
  definition.command = {"console"};
  EXPECT_EQ(merged_command(definition, image), (Words{"/entry", "console"}));
  definition.entry_point = {"/bin/sh"};
  EXPECT_EQ(merged_command(definition, image), (Words{"/bin/sh", "console"}));
  definition.command.clear();
  EXPECT_EQ(merged_command(definition, image), (Words{"/bin/sh"}));
}

TEST(MergedEnvironment, SecretsWinOverTheDefinitionAndThatOverTheImage) {
  BundleInput input;
  input.hostname = "ip-10-0-0-1";
  input.image.env = {"PATH=/opt/bin", "A=image", "B=image", "C=image", "EMPTY"};
  input.definition.environment = {{"B", "definition"}, {"C", "definition"}};
  input.secrets = {{"C", "secret"}};
  auto env = merged_environment(input);
  for (auto* entry : {"PATH=/opt/bin", "A=image", "B=definition", "C=secret", "HOSTNAME=ip-10-0-0-1", "HOME=/", "EMPTY="})
    EXPECT_TRUE(std::ranges::find(env, entry) != env.end()) << entry;
  EXPECT_EQ(env.size(), 7U);
}

TEST(Capabilities, AreDockersAndCanBeAddedAndDropped) {
  model::ContainerDefinition definition;
  EXPECT_EQ(capabilities(definition)->size(), 14U);
  definition.linux_parameters = model::LinuxParameters{.add_capabilities = {"SYS_PTRACE"}, .drop_capabilities = {"ALL"}};
  EXPECT_EQ(*capabilities(definition), Words{"CAP_SYS_PTRACE"});
  definition.linux_parameters = model::LinuxParameters{.drop_capabilities = {"NET_RAW"}};
  EXPECT_EQ(capabilities(definition)->size(), 13U);
  definition.linux_parameters = model::LinuxParameters{.add_capabilities = {"FLYING"}};
  EXPECT_FALSE(capabilities(definition));
  definition.linux_parameters.reset();
  definition.privileged = true;
  EXPECT_EQ(capabilities(definition)->size(), 41U);
}

TEST(SignalNumber, KnowsNamesAndNumbers) {
  EXPECT_EQ(signal_number(""), SIGTERM);
  EXPECT_EQ(signal_number("SIGQUIT"), SIGQUIT);
  EXPECT_EQ(signal_number("WINCH"), SIGWINCH);
  EXPECT_EQ(signal_number("9"), SIGKILL);
  EXPECT_EQ(signal_number("SIGRTMIN+3"), 37);
  EXPECT_EQ(signal_number("nonsense"), SIGTERM);
}

BundleInput input() {
  BundleInput out;
  out.definition.name = "web";
  out.definition.command = {"serve"};
  out.rootfs = "/run/x/rootfs";
  out.cgroup = "watari-1/t/c/web";
  out.first_id = 1048576;
  return out;
}

TEST(Config, GivesAContainerItsOwnUserNamespaceUnlessItIsPrivileged) {
  auto has_user = [](const codec::Json& config) {
    const auto& list = config["linux"]["namespaces"].as_array();
    return std::ranges::any_of(list, [](const auto& each) { return each["type"].as_string() == "user"; });
  };
  auto given = input();
  auto config = make_config(given);
  ASSERT_TRUE(config);
  EXPECT_TRUE(has_user(*config));
  EXPECT_EQ((*config)["linux"]["uidMappings"].as_array()[0]["hostID"].as_int(), 1048576);
  EXPECT_TRUE((*config)["process"]["noNewPrivileges"].as_bool());
  EXPECT_FALSE((*config)["linux"]["maskedPaths"].as_array().empty());
  given.definition.privileged = true;
  config = make_config(given);
  ASSERT_TRUE(config);
  EXPECT_FALSE(has_user(*config));
  EXPECT_TRUE((*config)["linux"]["maskedPaths"].as_array().empty());
}

TEST(Config, CarriesLimits) {
  auto given = input();
  given.definition.cpu = 256;
  given.definition.memory_mib = 64;
  given.definition.memory_reservation_mib = 32;
  given.definition.ulimits = {{"nofile", 10, 20}, {"core", 0, 0}};
  auto config = make_config(given);
  ASSERT_TRUE(config);
  const auto& resources = (*config)["linux"]["resources"];
  EXPECT_EQ(resources["memory"]["limit"].as_int(), 64 * 1024 * 1024);
  EXPECT_EQ(resources["memory"]["reservation"].as_int(), 32 * 1024 * 1024);
  EXPECT_EQ(resources["cpu"]["shares"].as_int(), 256);
  EXPECT_GT(resources["pids"]["limit"].as_int(), 0);
  const auto& limits = (*config)["process"]["rlimits"].as_array();
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_EQ(limits[0]["type"].as_string(), "RLIMIT_NOFILE");
  EXPECT_EQ(limits[0]["hard"].as_int(), 20);
}

TEST(Config, RefusesAContainerWithoutACommand) {
  auto given = input();
  given.definition.command.clear();
  auto config = make_config(given);
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("No command specified"), std::string::npos);
}

}  // namespace
}  // namespace watari::runtime
