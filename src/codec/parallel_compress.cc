#include "codec/parallel_compress.h"

#include <isa-l/igzip_lib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/late_library.h"

namespace watari::codec {

namespace {

constexpr std::size_t kBlock = 1 << 20;  // of plain bytes
constexpr unsigned kMaxThreads = 4;

struct Isal {
  LateLibrary library{"libisal.so.2"};
  WATARI_LATE(isal_deflate);
  WATARI_LATE(isal_deflate_init);
};

const Isal& isal() {
  static const Isal library;
  return library;
}

struct Block {
  std::string plain, packed;
  unsigned long crc = 0;  // of the plain bytes, for gzip
  bool taken = false, done = false;
};

// Appends raw deflate data that ends on a byte and refers to nothing before it, so that blocks can follow each other in one member (as pigz does).
void pack_deflate(const std::string& in, std::string& out, std::uint32_t level) {
  auto stream = std::make_unique<isal_zstream>();
  std::vector<std::uint8_t> memory(level == 1 ? ISAL_DEF_LVL1_DEFAULT : ISAL_DEF_LVL2_DEFAULT);
  isal().isal_deflate_init(stream.get());
  stream->level = level;
  stream->level_buf = memory.data();
  stream->level_buf_size = static_cast<std::uint32_t>(memory.size());
  stream->flush = FULL_FLUSH;
  stream->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(in.data()));
  stream->avail_in = static_cast<std::uint32_t>(in.size());
  do {
    const auto old = out.size();
    out.resize(old + in.size() / 2 + 4096);
    stream->next_out = reinterpret_cast<std::uint8_t*>(out.data() + old);
    stream->avail_out = static_cast<std::uint32_t>(out.size() - old);
    isal().isal_deflate(stream.get());
    out.resize(out.size() - stream->avail_out);
  } while (stream->avail_out == 0);
}

void pack_zstd(const std::string& in, std::string& out, int level) {
  out.resize(ZSTD_compressBound(in.size()));
  // Cannot fail: the room is enough and the level one that exists. An empty block would show in every reader's checksum.
  const auto size = ZSTD_compress(out.data(), out.size(), in.data(), in.size(), level);
  out.resize(ZSTD_isError(size) ? 0 : size);
}

void append_little_endian(std::string& out, unsigned long value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xff);
}

}  // namespace

struct ParallelCompressor::Impl {
  Impl(Compression compression, Effort wanted, Sink to) : how(compression), effort(wanted), sink(std::move(to)) {}
  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
  }

  void pack(Block& block) const {
    block.packed.clear();
    if (how == Compression::Zstd) return pack_zstd(block.plain, block.packed, effort == Effort::Fast ? 1 : 6);
    block.crc = ::crc32(0, reinterpret_cast<const Bytef*>(block.plain.data()), static_cast<uInt>(block.plain.size()));
    pack_deflate(block.plain, block.packed, effort == Effort::Fast ? 1 : 2);
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      Block* block = nullptr;
      wake.wait(lock, [&] {
        auto next = std::ranges::find(queue, false, [](const auto& each) { return each->taken; });
        block = next == queue.end() ? nullptr : next->get();
        return stopping || block;
      });
      if (stopping) return;
      block->taken = true;
      lock.unlock();
      pack(*block);
      lock.lock();
      block->done = true;
      ended.notify_all();
    }
  }

  // Sends the blocks at the front until at most `left` wait.
  Result<void> drain(std::size_t left) {
    while (queue.size() > left) {
      std::unique_ptr<Block> block;
      {
        std::unique_lock lock(mutex);
        ended.wait(lock, [&] { return queue.front()->done; });
        block = std::move(queue.front());
        queue.pop_front();
      }
      TRY_VOID(send(*block));
      spare = std::move(block);
    }
    return {};
  }

  Result<void> send(const Block& block) {
    if (how == Compression::Gzip && !begun) TRY_VOID(sink(std::string_view("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10)));  // RFC 1952: no name, no time
    begun = true;
    if (how == Compression::Gzip) crc = ::crc32_combine(crc, block.crc, static_cast<z_off_t>(block.plain.size()));
    total += block.plain.size();
    return block.packed.empty() ? Result<void>{} : sink(block.packed);
  }

  Result<void> ready() const { return how == Compression::Gzip ? isal().library.ready() : Result<void>(); }

  Result<void> submit() {
    TRY_VOID(ready());
    const auto count = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
    while (threads.size() < count) threads.emplace_back([this] { work(); });
    {
      std::lock_guard lock(mutex);
      queue.push_back(std::move(current));
    }
    wake.notify_one();
    return drain(count);
  }

  Block& fill() {
    if (!current) current = spare ? std::move(spare) : std::make_unique<Block>();
    if (current->done) {
      current->plain.clear();
      current->taken = current->done = false;
    }
    return *current;
  }

  const Compression how;
  const Effort effort;
  const Sink sink;
  std::unique_ptr<Block> current, spare;
  bool begun = false;
  unsigned long crc = 0;
  std::uint64_t total = 0;

  std::mutex mutex;
  std::condition_variable wake, ended;
  std::deque<std::unique_ptr<Block>> queue;  // guarded; only the caller's thread adds and removes
  bool stopping = false;
  std::vector<std::jthread> threads;  // last: joined before the rest goes
};

ParallelCompressor::ParallelCompressor(Compression how, Effort effort, Sink sink) : impl_(std::make_unique<Impl>(how, effort, std::move(sink))) {}
ParallelCompressor::~ParallelCompressor() = default;

Result<void> ParallelCompressor::write(std::string_view bytes) {
  while (!bytes.empty()) {
    auto& block = impl_->fill();
    if (block.plain.size() == kBlock) {
      TRY_VOID(impl_->submit());
      continue;
    }
    const auto piece = bytes.substr(0, kBlock - block.plain.size());
    block.plain.append(piece);
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Result<void> ParallelCompressor::finish() {
  auto& last = impl_->fill();
  TRY_VOID(impl_->drain(0));
  if (!last.plain.empty() || !impl_->begun) {
    TRY_VOID(impl_->ready());
    impl_->pack(last);
    TRY_VOID(impl_->send(last));
  }
  if (impl_->how != Compression::Gzip) return {};
  std::string end("\x03\0", 2);  // an empty last block (RFC 1951 section 3.2.6)
  append_little_endian(end, impl_->crc);
  append_little_endian(end, static_cast<unsigned long>(impl_->total & 0xffffffff));
  return impl_->sink(end);
}

}  // namespace watari::codec
