// Which images a lifecycle policy expires, by AWS's evaluation rules; what repository policies deny.
#include "registry/lifecycle.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "registry/policy.h"

namespace watari::registry {
namespace {

const Time kNow{Seconds(1'800'000'000)};

LifecycleImage made(std::string name, int days_old, std::vector<std::string> tags) { return {std::move(name), std::move(tags), kNow - std::chrono::days(days_old)}; }

std::vector<std::string> names(const std::vector<Expiring>& found) {
  std::vector<std::string> out;
  for (const auto& item : found) out.push_back(item.image.digest + ":" + std::to_string(item.rule_priority));
  std::ranges::sort(out);
  return out;
}

std::string make_rule(int priority, const std::string& selection) {
  return R"({"rulePriority":)" + std::to_string(priority) + R"(,"selection":{)" + selection + R"(},"action":{"type":"expire"}})";
}

std::vector<std::string> run(const std::vector<std::string>& rules, std::vector<LifecycleImage> images) {
  std::string text;
  for (const auto& each : rules) text += (text.empty() ? "" : ",") + each;
  auto policy = parse_lifecycle(R"({"rules":[)" + text + "]}");
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  return policy ? names(expiring(*policy, std::move(images), kNow)) : std::vector<std::string>{};
}

// The worked examples of https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_examples.html
TEST(Lifecycle, FiltersOnAgeAndOnCount) {
  auto found = run({make_rule(1, R"("tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14)")}, {made("old", 15, {}), made("new", 13, {}), made("tagged", 20, {"a"})});
  EXPECT_EQ(found, std::vector<std::string>{"old:1"});
  found = run({make_rule(1, R"("tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1)")}, {made("old", 15, {}), made("new", 13, {})});
  EXPECT_EQ(found, std::vector<std::string>{"old:1"});
}

TEST(Lifecycle, SeveralPrefixesMustAllBeThere) {
  const std::vector<LifecycleImage> images = {made("A", 12, {"alpha-1", "beta-1"}), made("B", 11, {"alpha-2", "beta-2"}), made("C", 10, {"alpha-3"}), made("D", 9, {"beta-4"})};
  auto found = run({make_rule(1, R"("tagStatus":"tagged","tagPrefixList":["alpha","beta"],"countType":"sinceImagePushed","countUnit":"days","countNumber":5)")}, images);
  EXPECT_EQ(found, (std::vector<std::string>{"A:1", "B:1"}));
}

TEST(Lifecycle, AnImageOfAHigherRuleIsNotExpiredByALowerOneButCountsThere) {
  const std::vector<LifecycleImage> images = {made("A", 12, {"beta-1", "alpha-1"}), made("B", 11, {"beta-2", "alpha-2"}), made("C", 10, {"beta-3"})};
  // Rule 1 selects A, B and C and expires A, B; rule 2 selects A and B, which are decided.
  auto found = run({make_rule(1, R"("tagStatus":"tagged","tagPrefixList":["beta"],"countType":"imageCountMoreThan","countNumber":1)"),
                    make_rule(2, R"("tagStatus":"tagged","tagPrefixList":["alpha"],"countType":"imageCountMoreThan","countNumber":1)")}, images);
  EXPECT_EQ(found, (std::vector<std::string>{"A:1", "B:1"}));
  // Rule 1 keeps what it selects: the "any" rule, which counts all three, may not touch it.
  found = run({make_rule(1, R"("tagStatus":"tagged","tagPrefixList":["beta-1"],"countType":"imageCountMoreThan","countNumber":9)"),
               make_rule(2, R"("tagStatus":"any","countType":"imageCountMoreThan","countNumber":1)")}, images);
  EXPECT_EQ(found, std::vector<std::string>{"B:2"});
}

TEST(Lifecycle, PatternsHaveWildcardsAnywhere) {
  auto found = run({make_rule(1, R"("tagStatus":"tagged","tagPatternList":["*-rc*"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1)")}, {made("a", 5, {"1.0-rc1"}), made("b", 5, {"1.0"})});
  EXPECT_EQ(found, std::vector<std::string>{"a:1"});
}

TEST(RepositoryPolicy, ADenyStatementDeniesWhatItNames) {
  const PolicyRequest pull{"ecr:BatchGetImage", "arn:aws:iam::123456789012:root", "123456789012", false};
  const auto with = [](const std::string& rest) { return R"({"Statement":{"Effect":"Deny",)" + rest + "}}"; };
  EXPECT_FALSE(denies("", pull));
  EXPECT_TRUE(denies("not readable", pull));
  EXPECT_TRUE(denies(with(R"("Principal":"*","Action":"ecr:batchget*")"), pull));
  EXPECT_TRUE(denies(with(R"("Principal":{"AWS":["1","123456789012"]},"Action":["ecr:PutImage","ecr:BatchGetImage"])"), pull));
  EXPECT_FALSE(denies(with(R"("Principal":"*","Action":"ecr:PutImage")"), pull));
  EXPECT_FALSE(denies(with(R"("Principal":"*","NotAction":"ecr:Batch*")"), pull));
  EXPECT_FALSE(denies(with(R"("NotPrincipal":{"AWS":"123456789012"},"Action":"*")"), pull));
  EXPECT_TRUE(denies(with(R"("Principal":"*","Action":"*","Condition":{"Bool":{"aws:SecureTransport":false}})"), pull));
  EXPECT_FALSE(denies(with(R"("Principal":"*","Action":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:root"}})"), pull));
  EXPECT_FALSE(denies(R"({"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}})", pull));
}

}  // namespace
}  // namespace watari::registry
