#include "codec/parallel_compress.h"

#include <gtest/gtest.h>

#include <random>

using namespace watari;
using namespace watari::codec;

namespace {

std::string packed(Compression how, Effort effort, const std::string& plain, std::size_t piece) {
  std::string out;
  ParallelCompressor compressor(how, effort, [&](std::string_view bytes) -> Result<void> {
    out += bytes;
    return {};
  });
  for (std::size_t at = 0; at < plain.size(); at += piece) EXPECT_TRUE(compressor.write(std::string_view(plain).substr(at, piece)));
  EXPECT_TRUE(compressor.finish());
  return out;
}

Result<std::string> unpacked(const std::string& bytes) {
  std::size_t at = 0;
  auto source = decompress([&](std::span<char> into) -> Result<std::size_t> {
    const auto count = std::min(into.size(), bytes.size() - at);
    bytes.copy(into.data(), count, at);
    at += count;
    return count;
  });
  std::string out, buffer(65536, '\0');
  while (true) {
    TRY(auto count, source(buffer));
    if (count == 0) return out;
    out.append(buffer, 0, count);
  }
}

// Half noise, half repetition, as programs are.
std::string sample(std::size_t size) {
  std::mt19937 random(7);
  std::string out;
  while (out.size() < size) {
    for (int i = 0; i < 50; ++i) out += static_cast<char>(random());
    out.append(50, 'x');
  }
  out.resize(size);
  return out;
}

constexpr std::size_t kSizes[] = {0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 9'500'001};

}  // namespace

TEST(ParallelCompressor, GivesBackWhatWentIn) {
  for (auto how : {Compression::Gzip, Compression::Zstd})
    for (auto effort : {Effort::Fast, Effort::Small})
      for (auto size : kSizes) {
        const auto plain = sample(size);
        const auto bytes = packed(how, effort, plain, 300'000);
        EXPECT_EQ(detect_compression(bytes), how) << size;
        auto back = unpacked(bytes);
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_TRUE(*back == plain) << size;
        if (size > 100'000) EXPECT_LT(bytes.size(), size * 3 / 4);
      }
}

TEST(ParallelCompressor, GivesTheSameBytesHoweverTheyComeIn) {
  const auto plain = sample(5'000'000);
  for (auto how : {Compression::Gzip, Compression::Zstd}) EXPECT_TRUE(packed(how, Effort::Small, plain, 1000) == packed(how, Effort::Small, plain, 4'000'000));
}

TEST(ParallelCompressor, LeavesAStreamThatReadersRefuseWhenItIsNotFinished) {
  const auto plain = sample(5'000'000);
  std::string bytes;
  {
    ParallelCompressor compressor(Compression::Gzip, Effort::Fast, [&](std::string_view piece) -> Result<void> {
      bytes += piece;
      return {};
    });
    ASSERT_TRUE(compressor.write(plain));
  }
  ASSERT_FALSE(bytes.empty());
  EXPECT_EQ(unpacked(bytes).error().code, Code::Corrupt);
}

TEST(ParallelCompressor, EndsWithTheErrorOfItsSink) {
  ParallelCompressor compressor(Compression::Zstd, Effort::Fast, [&](std::string_view) -> Result<void> { return fail(Code::Unavailable, "gone"); });
  Result<void> done;
  for (int i = 0; i < 100 && done; ++i) done = compressor.write(sample(1 << 20));
  EXPECT_EQ(done.error().code, Code::Unavailable);
}
