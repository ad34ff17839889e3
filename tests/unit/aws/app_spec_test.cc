#include "aws/codedeploy/app_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace watari::aws::codedeploy {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& text) {
  auto spec = parse_app_spec(text);
  if (spec) return "accepted";
  EXPECT_EQ(spec.error().reason, "InvalidRevisionException");
  return spec.error().message;
}

constexpr const char* kYaml = R"(version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7"
        LoadBalancerInfo:
          ContainerName: "app"
          ContainerPort: 8080
        PlatformVersion: "LATEST"
        NetworkConfiguration:
          AwsvpcConfiguration:
            Subnets: ["subnet-1", "subnet-2"]
            SecurityGroups: ["sg-1"]
            AssignPublicIp: "ENABLED"
Hooks:
  - AfterAllowTraffic: "after"
  - BeforeInstall: "arn:aws:lambda:us-east-1:123456789012:function:before"
)";

TEST(AppSpec, IsReadFromYaml) {
  auto spec = parse_app_spec(kYaml);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->task_definition, "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7");
  EXPECT_EQ(spec->container, "app");
  EXPECT_EQ(spec->container_port, 8080);
  ASSERT_TRUE(spec->network);
  EXPECT_EQ(spec->network->subnets, (std::vector<std::string>{"subnet-1", "subnet-2"}));
  EXPECT_TRUE(spec->network->assign_public_ip);
  ASSERT_EQ(spec->hooks.size(), 2u);
  EXPECT_EQ(spec->hooks[0].event, "BeforeInstall");  // in the order of the events
  EXPECT_EQ(spec->hooks[1].function, "after");
}

// As the CircleCI orb, ecspresso and the GitHub action write it.
TEST(AppSpec, IsReadFromJsonInAnyCaseAndVersion) {
  for (auto version : {"1", "\"0.0\"", "0.0", "\"1\"", "0"}) {
    auto spec = parse_app_spec(std::string(R"({"version":)") + version + R"(,"resources":[{"TargetService":{"type":"AWS::ECS::Service",
        "properties":{"taskDefinition":"web:1","loadBalancerInfo":{"containerName":"app","containerPort":"80"},
        "capacityProviderStrategy":[{"capacityProvider":"FARGATE","base":0,"weight":1}]}}}],"hooks":[{"beforeinstall":"x"}]})");
    ASSERT_TRUE(spec) << version << spec.error().message;
    EXPECT_EQ(spec->container_port, 80);
    EXPECT_EQ(spec->capacity_providers, std::vector<std::string>{"FARGATE"});
    EXPECT_EQ(spec->hooks.at(0).event, "BeforeInstall");
  }
}

TEST(AppSpec, IsRefusedWithTheReason) {
  auto with = [](std::string from, std::string to) {
    std::string text = kYaml;
    auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return refusal(text.replace(at, from.size(), to));
  };
  EXPECT_THAT(refusal(""), HasSubstr("must be a map"));
  EXPECT_THAT(refusal("{"), HasSubstr("not valid"));
  EXPECT_THAT(refusal("a: [b"), HasSubstr("appspec:"));
  EXPECT_THAT(with("version: 0.0", "version: 2"), HasSubstr("version must be 0.0"));
  EXPECT_THAT(with("AWS::ECS::Service", "AWS::Lambda::Function"), HasSubstr("must be AWS::ECS::Service"));
  EXPECT_THAT(with("ContainerPort: 8080", "ContainerPort: 0"), HasSubstr("ContainerPort"));
  EXPECT_THAT(with("PlatformVersion", "Plattform"), HasSubstr("Properties.Plattform is not supported by Watari; remove it"));
  EXPECT_THAT(with("BeforeInstall", "Install"), HasSubstr("Install is no lifecycle event"));
  EXPECT_THAT(with("AfterAllowTraffic", "beforeinstall"), HasSubstr("given twice"));
  EXPECT_THAT(refusal("version: 0.0\nResources: []\n"), HasSubstr("a list with one service"));
}

}  // namespace
}  // namespace watari::aws::codedeploy
