// watari.yml: what a good file means, and that every mistake names its place and what is accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/up/app.h"

namespace watari::cli::up {
namespace {

using ::testing::HasSubstr;

std::string mistakes(std::string_view text, const std::string& environment = "") {
  auto app = parse_app(text, "watari.yml", ".", environment);
  return app ? "" : app.error().message;
}

TEST(WatariYml, ReadsTheExampleForBothEnvironments) {
  auto directory = std::filesystem::path(WATARI_SOURCE_DIR) / "examples/reservations";
  auto staging = read_app(directory, "staging");
  ASSERT_TRUE(staging) << staging.error().message;
  std::vector<std::string> names;
  for (const auto& service : staging->services) names.push_back(service.name);
  EXPECT_EQ(names, (std::vector<std::string>{"db", "redis", "api", "worker"}));
  const auto& api = staging->services[2];
  EXPECT_EQ(api.replicas, 2);
  EXPECT_EQ(api.load_balancer->port, 8080);
  EXPECT_EQ(api.load_balancer->container_port, 8080);
  EXPECT_EQ(api.release.strategy, Strategy::BlueGreen);
  EXPECT_EQ(api.containers[1].secrets.at("DATABASE_URL"), "/reservations/staging/database_url");
  EXPECT_EQ(staging->services[0].release.strategy, Strategy::Recreate) << "its volume cannot be used by two at a time";
  auto production = read_app(directory, "production");
  ASSERT_TRUE(production) << production.error().message;
  EXPECT_EQ(production->services[2].replicas, 3);
  EXPECT_EQ(production->services[2].containers[1].environment.at("LARGEST_PARTY"), "8");
  EXPECT_EQ(production->cluster(), "reservations-production");
}

TEST(WatariYml, TakesOneContainerAsTheServiceItself) {
  auto app = parse_app("app: shop\nservices:\n  web:\n    image: web:1\n    command: run it\n    memory: 1g\n", "watari.yml", ".", "");
  ASSERT_TRUE(app) << app.error().message;
  EXPECT_EQ(app->environment, "production");
  ASSERT_EQ(app->services[0].containers.size(), 1u);
  EXPECT_EQ(app->services[0].containers[0].name, "web");
  EXPECT_EQ(app->services[0].containers[0].command, (std::vector<std::string>{"/bin/sh", "-c", "run it"}));
  EXPECT_EQ(app->services[0].memory, 1024);
}

TEST(WatariYml, NamesPlaceAndNearestKeyOfAnUnknownOne) {
  auto text = mistakes("app: shop\nservices:\n  web:\n    image: web:1\n    replica: 2\n");
  EXPECT_THAT(text, HasSubstr("watari.yml:5:5: unknown key replica: did you mean replicas? (accepted: replicas, cpu, memory"));
}

TEST(WatariYml, TellsAllMistakesAtOnceInTheOrderOfTheFile) {
  auto text = mistakes("app: Shop\n");
  EXPECT_THAT(text, HasSubstr("watari.yml:1:6: Shop is no name"));
  text = mistakes("app: shop\nservices:\n  web:\n    image: w:1\n    replicas: many\n    release: {strategy: green_blue}\n    memory: 1x\n");
  EXPECT_THAT(text, HasSubstr("watari.yml:5:15: many is no number from 0 to 1000\n"));
  EXPECT_THAT(text, HasSubstr("watari.yml:6:25: green_blue is not known here (accepted: blue_green, rolling, recreate)\n"));
  EXPECT_THAT(text, HasSubstr("watari.yml:7:13: 1x is no amount of memory"));
}

TEST(WatariYml, ReplacesVariablesAndRefusesUnknownOnes) {
  auto app = parse_app("app: shop\nvariables: {size: big}\nservices:\n  web:\n    image: w:1\n    environment: {A: \"${size}-${env}\", B: $$5, C: $HOME}\n",
                       "watari.yml", ".", "test");
  ASSERT_TRUE(app) << app.error().message;
  const auto& environment = app->services[0].containers[0].environment;
  EXPECT_EQ(environment.at("A"), "big-test");
  EXPECT_EQ(environment.at("B"), "$5");
  EXPECT_EQ(environment.at("C"), "$HOME");
  EXPECT_THAT(mistakes("app: shop\nservices:\n  web:\n    image: w:1\n    environment: {A: \"${sizes}\"}\n"),
              HasSubstr("watari.yml:5:22: unknown variable ${sizes} (known: ${app}, ${env};"));
}

TEST(WatariYml, AsksWhichEnvironmentAndKnowsTheNearest) {
  std::string file = "app: shop\nenvironments:\n  staging: {}\n  production: {}\nservices:\n  web: {image: \"w:1\"}\n";
  EXPECT_THAT(mistakes(file), HasSubstr("which environment? say --env staging or --env production"));
  EXPECT_THAT(mistakes(file, "stagin"), HasSubstr("did you mean staging?"));
  EXPECT_EQ(mistakes(file, "staging"), "");
}

TEST(WatariYml, RefusesWhatDoesNotFitTogether) {
  std::string head = "app: shop\nservices:\n";
  EXPECT_THAT(mistakes(head + "  a: {image: \"w:1\", depends_on: [b]}\n  b: {image: \"w:1\", depends_on: [a]}\n"),
              HasSubstr("depends on itself"));
  EXPECT_THAT(mistakes(head + "  a: {image: \"w:1\", depends_on: [c]}\n"), HasSubstr("a depends on c, which is no service (there are: a)"));
  EXPECT_THAT(mistakes(head + "  a: {image: \"w:1\", release: {strategy: blue_green}}\n"), HasSubstr("blue_green needs a load_balancer"));
  EXPECT_THAT(mistakes(head + "  a: {image: \"w:1\", load_balancer: {port: 80}}\n"), HasSubstr("no container with ports"));
  EXPECT_THAT(mistakes(head + "  a: {image: \"w:1\", ports: [80], load_balancer: {port: 80}}\n"
                              "  b: {image: \"w:1\", ports: [80], load_balancer: {port: 80}}\n"),
              HasSubstr("watari.yml:4:56: port 80 is taken by a"));
  EXPECT_THAT(mistakes(head + "  a:\n    containers:\n      x: {image: \"w:1\", depends_on: {y: healthy}}\n"),
              HasSubstr("x depends on y, which is no other container of a (there are: x)"));
  EXPECT_THAT(mistakes(head + "  a: {command: x}\n"), HasSubstr("watari.yml:3:3: a has neither an image nor containers"));
  EXPECT_THAT(mistakes("services: {a: {image: w}}\n"), HasSubstr("no app"));
}

}  // namespace
}  // namespace watari::cli::up
