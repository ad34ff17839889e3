#pragma once
// gzip and zstd on several threads, with flat memory: the bytes are cut into blocks, each is compressed by itself, and they leave in their order.
// One object a stream, used by one thread; the sink is called on that thread.
//
//   ParallelCompressor out(Compression::Zstd, Effort::Fast, sink);
//   TRY_VOID(out.write(bytes)); …
//   TRY_VOID(out.finish());
#include <cstddef>
#include <memory>

#include "codec/compress.h"
#include "codec/stream.h"

namespace watari::codec {

// Fast keeps up with a network, Small is for what is kept. The same input gives the same bytes with one version of the libraries and one kind of processor
// (ISA-L has code of its own for several).
enum class Effort { Fast, Small };

class ParallelCompressor {
 public:
  // `how` is Gzip (one member) or Zstd (one frame a block). No thread is started before the second block.
  ParallelCompressor(Compression how, Effort effort, Sink sink);
  ~ParallelCompressor();  // without finish() the stream stays unfinished, which readers notice
  ParallelCompressor(const ParallelCompressor&) = delete;
  ParallelCompressor& operator=(const ParallelCompressor&) = delete;

  // The error is the sink's; nothing may be written after one.
  Result<void> write(std::string_view bytes);
  Result<void> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace watari::codec
