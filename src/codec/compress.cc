#include "codec/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace watari::codec {

namespace {

constexpr std::size_t kBuffer = 256 * 1024;
constexpr int kMaxWindowLog = 27;  // 128 MiB, as the zstd tool itself allows

// Input that can be looked at before it is taken; what every decoder reads from.
struct Input {
  Source source;
  std::vector<char> buffer = std::vector<char>(kBuffer);
  std::size_t begin = 0, end = 0;

  std::size_t available() const { return end - begin; }
  // False at the end of the source.
  Result<bool> refill() {
    if (begin == end) begin = end = 0;
    if (end == buffer.size()) {
      std::memmove(buffer.data(), buffer.data() + begin, available());
      end -= begin;
      begin = 0;
    }
    TRY(auto count, source(std::span(buffer).subspan(end)));
    end += count;
    return count > 0;
  }
};

struct Gunzip {
  std::shared_ptr<Input> input;
  z_stream stream{};
  bool in_member = true;

  explicit Gunzip(std::shared_ptr<Input> in) : input(std::move(in)) { inflateInit2(&stream, 15 + 16); }
  ~Gunzip() { inflateEnd(&stream); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  Result<std::size_t> read(std::span<char> into) {
    stream.next_out = reinterpret_cast<Bytef*>(into.data());
    stream.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), 1u << 30));
    const auto room = stream.avail_out;
    while (stream.avail_out == room) {
      if (input->available() == 0) {
        TRY(bool more, input->refill());
        if (!more) {
          if (in_member) return fail(Code::Corrupt, "gzip data ends early");
          return std::size_t{0};
        }
      }
      if (!in_member) {
        // Zeros after the last member are padding (RFC 1952 does not forbid it; tar writers to tape do it).
        if (input->buffer[input->begin] == '\0') {
          ++input->begin;
          continue;
        }
        inflateReset(&stream);
        in_member = true;
      }
      stream.next_in = reinterpret_cast<Bytef*>(input->buffer.data() + input->begin);
      stream.avail_in = static_cast<uInt>(input->available());
      const int status = inflate(&stream, Z_NO_FLUSH);
      input->begin = input->end - stream.avail_in;
      if (status == Z_STREAM_END)
        in_member = false;
      else if (status != Z_OK && status != Z_BUF_ERROR)
        return fail(Code::Corrupt, "gzip data is damaged: {}", stream.msg ? stream.msg : "wrong format");
    }
    return std::size_t{room - stream.avail_out};
  }
};

struct Unzstd {
  std::shared_ptr<Input> input;
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};
  bool in_frame = true;

  explicit Unzstd(std::shared_ptr<Input> in) : input(std::move(in)) {
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  Result<std::size_t> read(std::span<char> into) {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      ZSTD_inBuffer in{input->buffer.data() + input->begin, input->available(), 0};
      const auto status = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(status)) return fail(Code::Corrupt, "zstd data is damaged: {}", ZSTD_getErrorName(status));
      input->begin += in.pos;
      if (in.pos > 0 || out.pos > 0) in_frame = status != 0;
      if (out.pos > 0 || input->available() > 0) continue;
      TRY(bool more, input->refill());
      if (!more) {
        if (in_frame) return fail(Code::Corrupt, "zstd data ends early");
        return std::size_t{0};
      }
    }
    return out.pos;
  }
};

Result<void> drain_deflate(z_stream& stream, int flush, std::vector<char>& buffer, const Sink& sink) {
  do {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    deflate(&stream, flush);
    TRY_VOID(sink({buffer.data(), buffer.size() - stream.avail_out}));
  } while (stream.avail_out == 0);
  return {};
}

Sink gzip_sink(Sink sink) {
  struct State {
    z_stream stream{};
    std::vector<char> buffer = std::vector<char>(kBuffer);
    State() { deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY); }
    ~State() { deflateEnd(&stream); }
  };
  return [state = std::make_shared<State>(), sink = std::move(sink)](std::string_view bytes) -> Result<void> {
    if (bytes.empty()) return drain_deflate(state->stream, Z_FINISH, state->buffer, sink);
    while (!bytes.empty()) {
      auto piece = bytes.substr(0, 1u << 30);
      state->stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
      state->stream.avail_in = static_cast<uInt>(piece.size());
      TRY_VOID(drain_deflate(state->stream, Z_NO_FLUSH, state->buffer, sink));
      bytes.remove_prefix(piece.size());
    }
    return {};
  };
}

Sink zstd_sink(Sink sink) {
  struct State {
    std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
    std::vector<char> buffer = std::vector<char>(kBuffer);
  };
  return [state = std::make_shared<State>(), sink = std::move(sink)](std::string_view bytes) -> Result<void> {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    const auto how = bytes.empty() ? ZSTD_e_end : ZSTD_e_continue;
    while (true) {
      ZSTD_outBuffer out{state->buffer.data(), state->buffer.size(), 0};
      const auto left = ZSTD_compressStream2(state->context.get(), &out, &in, how);
      if (ZSTD_isError(left)) return fail(Code::Internal, "zstd: {}", ZSTD_getErrorName(left));
      if (out.pos) TRY_VOID(sink({state->buffer.data(), out.pos}));
      if (how == ZSTD_e_end ? left == 0 : in.pos == in.size) return {};
    }
  };
}

}  // namespace

Compression detect_compression(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1f\x8b")) return Compression::Gzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::Zstd;
  return Compression::None;
}

Source decompress(Source source) {
  struct State {
    std::shared_ptr<Input> input;
    std::unique_ptr<Gunzip> gzip;
    std::unique_ptr<Unzstd> zstd;
    bool begun = false;
  };
  auto state = std::make_shared<State>();
  state->input = std::make_shared<Input>();
  state->input->source = std::move(source);
  return [state](std::span<char> into) -> Result<std::size_t> {
    auto& input = *state->input;
    if (!state->begun) {
      while (input.available() < 4) {
        TRY(bool more, input.refill());
        if (!more) break;
      }
      state->begun = true;
      switch (detect_compression({input.buffer.data() + input.begin, input.available()})) {
        case Compression::Gzip: state->gzip = std::make_unique<Gunzip>(state->input); break;
        case Compression::Zstd: state->zstd = std::make_unique<Unzstd>(state->input); break;
        case Compression::None: break;
      }
    }
    if (state->gzip) return state->gzip->read(into);
    if (state->zstd) return state->zstd->read(into);
    if (input.available() == 0) return input.source(into);
    auto count = std::min(into.size(), input.available());
    std::memcpy(into.data(), input.buffer.data() + input.begin, count);
    input.begin += count;
    return count;
  };
}

Sink compress(Compression how, Sink sink) {
  if (how == Compression::Gzip) return gzip_sink(std::move(sink));
  if (how == Compression::Zstd) return zstd_sink(std::move(sink));
  return sink;
}

}  // namespace watari::codec
