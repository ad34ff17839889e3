#include "vault/vault.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "vault/name.h"

namespace watari::vault {
namespace {

const model::Scope kScope{"123456789012", "us-east-1"};
const model::Scope kOther{"123456789012", "eu-west-1"};

class VaultTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(::mkdtemp(root_));
    open();
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string path(const std::string& name) const { return std::string(root_) + "/" + name; }

  void open() {
    vault_.reset();
    database_.reset();
    database_ = *store::Database::open(path("watari.db"));
    auto vault = Vault::open(root_, *database_);
    ASSERT_TRUE(vault) << vault.error().message;
    vault_ = std::move(*vault);
  }
  Result<Version> put(std::string name, std::string value, bool overwrite = false) {
    return vault_->put(kScope, {.name = std::move(name), .value = std::move(value), .type = "SecureString", .overwrite = overwrite});
  }
  std::string reason(Result<Version> result) { return result ? "" : result.error().reason; }

  char root_[64] = "/tmp/watari-vault-XXXXXX";
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Vault> vault_;
};

TEST_F(VaultTest, GivesBackWhatWasPutAlsoAfterARestart) {
  ASSERT_TRUE(put("/db/password", "hunter2"));
  open();
  EXPECT_EQ(vault_->read_secret(kScope, "/db/password").value(), "hunter2");
  EXPECT_EQ(vault_->read_secret(kScope, "arn:aws:ssm:us-east-1:123456789012:parameter/db/password").value(), "hunter2");
  EXPECT_EQ(vault_->read_secret(kOther, "/db/password").error().reason, "ParameterNotFound");
}

TEST_F(VaultTest, KeepsAHundredVersions) {
  for (int i = 1; i <= 103; ++i) ASSERT_TRUE(put("p", "value " + std::to_string(i), i > 1));
  EXPECT_EQ(vault_->history(kScope, "p").size(), 100u);
  EXPECT_EQ(vault_->read_secret(kScope, "p:4").value(), "value 4");
  EXPECT_EQ(vault_->read_secret(kScope, "p:3").error().reason, "ParameterVersionNotFound");
  EXPECT_EQ(vault_->read_secret(kScope, "p").value(), "value 103");
}

TEST_F(VaultTest, NeverWritesAPlaintextToTheDisk) {
  ASSERT_TRUE(put("/a", "a-very-secret-value"));
  for (const auto& file : std::filesystem::directory_iterator(root_)) {
    std::ostringstream text;
    text << std::ifstream(file.path(), std::ios::binary).rdbuf();
    EXPECT_EQ(text.str().find("a-very-secret-value"), std::string::npos) << file.path();
  }
}

TEST_F(VaultTest, DoesNotStartWithoutItsKeyOrWithAnother) {
  ASSERT_TRUE(put("/a", "x"));
  vault_.reset();
  std::filesystem::rename(path("master.key"), path("kept"));
  EXPECT_EQ(Vault::open(root_, *database_).error().code, Code::FailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(path("master.key")));
  std::ofstream(path("master.key")) << std::string(64, 'a') << "\n";
  ::chmod(path("master.key").c_str(), 0644);
  EXPECT_EQ(Vault::open(root_, *database_).error().code, Code::PermissionDenied);
  ::chmod(path("master.key").c_str(), 0600);
  EXPECT_EQ(Vault::open(root_, *database_).error().code, Code::Corrupt);
}

TEST_F(VaultTest, DeletedParametersTakeTheirVersionsAlong) {
  ASSERT_TRUE(put("/a", "1"));
  ASSERT_TRUE(put("/a", "2", true));
  ASSERT_TRUE(put("/a.b", "other"));
  ASSERT_TRUE(vault_->remove(kScope, {"/a"}));
  EXPECT_TRUE(vault_->history(kScope, "/a").empty());
  EXPECT_EQ(put("/a", "3").value().version, 1);
  EXPECT_EQ(vault_->read_secret(kScope, "/a.b").value(), "other");
}

TEST_F(VaultTest, RefusesWhatSsmRefuses) {
  ASSERT_TRUE(put("/a", "1"));
  EXPECT_EQ(reason(put("/a", "2")), "ParameterAlreadyExists");
  EXPECT_EQ(reason(put("a/b", "2")), "ValidationException");
  EXPECT_EQ(reason(put("/a//b", "2")), "ValidationException");
  EXPECT_EQ(reason(put("/aws/b", "2")), "AccessDeniedException");
  EXPECT_EQ(reason(put("ssmx", "2")), "ValidationException");
  EXPECT_EQ(reason(put("/a b", "2")), "ValidationException");
  EXPECT_EQ(reason(put("/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", "2")), "HierarchyLevelLimitExceededException");
  EXPECT_EQ(reason(put("/b", std::string(4097, 'x'))), "ValidationException");
  EXPECT_EQ(reason(put("/b", "")), "ValidationException");
  EXPECT_EQ(vault_->read_secret(kScope, "/a:prod").error().reason, "ValidationException");
}

TEST_F(VaultTest, ChoosesTheTierBySizeAndNeverDowngrades) {
  Put large{.name = "/l", .value = std::string(5000, 'x'), .type = "String", .tier = "Intelligent-Tiering"};
  EXPECT_EQ(vault_->put(kScope, large).value().tier, "Advanced");
  EXPECT_EQ(reason(vault_->put(kScope, {.name = "/l", .value = "small", .overwrite = true, .tier = "Standard"})), "ValidationException");
  EXPECT_EQ(vault_->put(kScope, {.name = "/l", .value = "small", .overwrite = true}).value().tier, "Advanced");
}

TEST_F(VaultTest, ChecksAllowedPatterns) {
  Put number{.name = "/n", .value = "12", .type = "String", .allowed_pattern = "^\\d+$"};
  EXPECT_TRUE(vault_->put(kScope, number));
  EXPECT_EQ(reason(vault_->put(kScope, {.name = "/n", .value = "x", .overwrite = true})), "ParameterPatternMismatchException");
  EXPECT_EQ(reason(vault_->put(kScope, {.name = "/m", .value = "x", .type = "String", .allowed_pattern = "("})), "InvalidAllowedPatternException");
}

TEST(MasterKeyTest, BindsAValueToItsContext) {
  MasterKey key({1, 2, 3});
  auto sealed = *key.seal("value", "here");
  EXPECT_EQ(key.unseal(sealed, "here").value(), "value");
  EXPECT_EQ(key.unseal(sealed, "there").error().code, Code::Corrupt);
  EXPECT_EQ(MasterKey({4}).unseal(sealed, "here").error().code, Code::Corrupt);
  auto changed = sealed;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_EQ(key.unseal(changed, "here").error().code, Code::Corrupt);
  EXPECT_EQ(key.unseal("", "here").error().code, Code::Corrupt);
  EXPECT_NE(*key.seal("value", "here"), sealed);
}

TEST(ParameterName, KnowsWhatIsBelowAPath) {
  EXPECT_TRUE(is_below("/a/b", "/a", false));
  EXPECT_TRUE(is_below("/a/b", "/a/", false));
  EXPECT_FALSE(is_below("/a/b/c", "/a", false));
  EXPECT_TRUE(is_below("/a/b/c", "/a", true));
  EXPECT_FALSE(is_below("/ab", "/a", true));
  EXPECT_TRUE(is_below("/a", "/", false));
  EXPECT_FALSE(is_below("plain", "/", true));
}

}  // namespace
}  // namespace watari::vault
