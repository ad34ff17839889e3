#include "oci/reference.h"

#include <gtest/gtest.h>

#include <random>

#include "oci/manifest.h"

namespace watari::oci {

TEST(Reference, ReadsTheWaysPeopleNameImages) {
  struct Case {
    std::string text, repository, tag, digest;
  };
  const std::string digest = "sha256:" + std::string(64, '0');
  for (const auto& c : std::vector<Case>{
           {"web", "web", "latest", ""},
           {"team/web:v1.2-rc_3", "team/web", "v1.2-rc_3", ""},
           {"localhost:5000/web", "web", "latest", ""},
           {"127.0.0.1:4566/team/web:1", "team/web", "1", ""},
           {"[::1]:4566/web:1", "web", "1", ""},
           {"api.localhost:80/web", "web", "latest", ""},
           {"123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1", "web", "1", ""},
           {"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/web", "web", "latest", ""},
           {"docker.io/library/nginx", "nginx", "latest", ""},
           {"index.docker.io/grafana/loki:3", "grafana/loki", "3", ""},
           {"ghcr.io/team/web:1", "ghcr.io/team/web", "1", ""},
           {"web@" + digest, "web", "", digest},
           {"web:1@" + digest, "web", "", digest},
           {digest, "", "", digest},
       }) {
    auto found = parse_reference(c.text);
    ASSERT_TRUE(found) << c.text << ": " << found.error().message;
    EXPECT_EQ(found->repository, c.repository) << c.text;
    EXPECT_EQ(found->tag, c.tag) << c.text;
    EXPECT_EQ(found->digest, c.digest) << c.text;
  }
}

TEST(Reference, RefusesWhatIsNone) {
  for (const auto& text : std::vector<std::string>{"", "Web", "web:", "web:-x", "/web", "web/", "a//b", "web@sha256:12", "web@md5:" + std::string(64, '0'), "../etc", "a/../b", "we b",
                           "registry.example.com:5000/web", "web:" + std::string(129, 'a'), "a...b", "a___b", "-a", "a_", std::string(300, 'a'), "web\n", "wéb",
                           std::string("we\0b", 4)})
    EXPECT_EQ(parse_reference(text).error().code, Code::InvalidArgument) << text;
}

// Whatever bytes come, parsing answers; what it accepts is safe as a file name.
TEST(Reference, AnswersAnyBytes) {
  std::mt19937 random(7);
  const std::string alphabet = "aZ0./:@-_%\\ \n[]sha256";
  for (int i = 0; i < 50'000; ++i) {
    std::string text(random() % 40, ' ');
    for (auto& c : text) c = random() % 10 ? alphabet[random() % alphabet.size()] : static_cast<char>(random());
    auto found = parse_reference(text);
    if (!found) continue;
    EXPECT_TRUE(found->repository.empty() || valid_repository(found->repository)) << text;
    EXPECT_EQ(found->repository.find(".."), std::string::npos) << text;
    EXPECT_TRUE(found->tag.empty() || valid_tag(found->tag)) << text;
  }
}

TEST(Manifest, RefusesDamagedAndAmbiguousDocuments) {
  for (std::string text : {"", "[]", "{}", R"({"schemaVersion":1})", R"({"schemaVersion":2})", R"({"schemaVersion":2,"config":{},"layers":[]})",
                           R"({"schemaVersion":2,"mediaType":"text/plain","config":{"digest":"sha256:00","size":1}})",
                           R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"layers":[]})",
                           R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"x"}]})",
                           R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":{}})"})
    EXPECT_EQ(parse_manifest(text).error().code, Code::InvalidArgument) << text;
  const std::string index = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})";
  EXPECT_TRUE(parse_manifest(index));
  EXPECT_FALSE(parse_manifest(index, kOciManifest));
  EXPECT_TRUE(parse_manifest(index, "application/vnd.oci.image.index.v1+json; charset=utf-8"));
}

TEST(Manifest, AnImageWithoutAHistoryCanBeBuiltOn) {
  Image image;
  image.layers.resize(2);
  const std::string diff_id = "\"sha256:" + std::string(64, 'a') + "\"";
  ASSERT_TRUE(read_config(R"({"rootfs":{"type":"layers","diff_ids":[)" + diff_id + "," + diff_id + "]}}", image));
  ASSERT_EQ(image.history.size(), 2u);
  EXPECT_FALSE(image.history[0].empty_layer);
}

TEST(Manifest, AnswersMutatedDocuments) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const std::string good = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                           digest + R"(","size":2},"layers":[{"mediaType":"x","digest":")" + digest + R"(","size":9223372036854775807}],"annotations":{"a":"b"}})";
  ASSERT_TRUE(parse_manifest(good));
  const std::string config = R"({"architecture":"amd64","os":"linux","config":{"Env":["A=1"],"Healthcheck":{"Test":["CMD"],"Interval":5000000000}},"rootfs":{"diff_ids":[")" + digest + R"("]}})";
  std::mt19937 random(11);
  for (int i = 0; i < 50'000; ++i) {
    std::string text = i % 2 ? good : config;
    for (auto changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
      const auto at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 30); break;
        case 2: text.insert(at, text.substr(random() % text.size(), random() % 20)); break;
        default: text.resize(at); break;
      }
    }
    if (auto parsed = parse_manifest(text); parsed && parsed->config) EXPECT_TRUE(valid_digest(parsed->config->digest));
    Image image;
    image.layers.resize(1);
    if (read_config(text, image)) EXPECT_TRUE(valid_digest(image.layers[0].diff_id));
  }
}

}  // namespace watari::oci
