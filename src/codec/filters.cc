// bzip2 and xz through libarchive's filters.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/late_library.h"
#include "codec/compress.h"

namespace watari::codec {
namespace {

constexpr std::string_view kBzip2 = "BZh", kXz{"\xFD" "7zXZ\0", 6};

struct Libarchive {
  LateLibrary library{"libarchive.so.13"};
  WATARI_LATE(archive_error_string);
  WATARI_LATE(archive_read_data);
  WATARI_LATE(archive_read_free);
  WATARI_LATE(archive_read_new);
  WATARI_LATE(archive_read_next_header);
  WATARI_LATE(archive_read_open);
  WATARI_LATE(archive_read_support_filter_bzip2);
  WATARI_LATE(archive_read_support_filter_xz);
  WATARI_LATE(archive_read_support_format_raw);
  WATARI_LATE(archive_set_error);
};

const Libarchive& lib() {
  static const Libarchive library;
  return library;
}

// libarchive reading from a Source, as a "raw" archive: one entry, whose data are the plain bytes.
class Unfilter {
 public:
  explicit Unfilter(Source source) : source_(std::move(source)) {}
  ~Unfilter() {
    if (archive_) lib().archive_read_free(archive_);
  }
  Unfilter(const Unfilter&) = delete;
  Unfilter& operator=(const Unfilter&) = delete;

  Result<std::size_t> read(std::span<char> into) {
    if (!begun_) TRY_VOID(begin());
    auto count = lib().archive_read_data(archive_, into.data(), into.size());
    if (count < 0) return problem();
    return static_cast<std::size_t>(count);
  }

 private:
  Result<void> begin() {
    TRY_VOID(lib().library.ready());
    begun_ = true;
    archive_ = lib().archive_read_new();
    lib().archive_read_support_filter_bzip2(archive_);
    lib().archive_read_support_filter_xz(archive_);
    lib().archive_read_support_format_raw(archive_);
    auto take = [](archive* from, void* self, const void** bytes) -> la_ssize_t {
      auto& me = *static_cast<Unfilter*>(self);
      auto count = me.source_(me.buffer_);
      if (!count) {
        lib().archive_set_error(from, EIO, "%s", count.error().message.c_str());
        return ARCHIVE_FATAL;
      }
      *bytes = me.buffer_.data();
      return static_cast<la_ssize_t>(*count);
    };
    archive_entry* entry = nullptr;
    if (lib().archive_read_open(archive_, this, nullptr, take, nullptr) != ARCHIVE_OK || lib().archive_read_next_header(archive_, &entry) != ARCHIVE_OK)
      return problem();
    return {};
  }
  tl::unexpected<Error> problem() const {
    const char* text = lib().archive_error_string(archive_);
    return fail(Code::Corrupt, "compressed data is damaged: {}", text ? text : "wrong format");
  }

  Source source_;
  archive* archive_ = nullptr;
  std::vector<char> buffer_ = std::vector<char>(65536);
  bool begun_ = false;
};

}  // namespace

Source decompress_any(Source source) {
  struct State {
    std::string head;
    std::size_t given = 0;
    Source source, plain;
  };
  auto state = std::make_shared<State>();
  state->source = std::move(source);
  return [state](std::span<char> into) -> Result<std::size_t> {
    if (state->plain) return state->plain(into);
    std::array<char, 6> piece{};
    while (state->head.size() < piece.size()) {
      TRY(auto count, state->source(std::span(piece).subspan(state->head.size())));
      if (count == 0) break;
      state->head.append(piece.data() + state->head.size(), count);
    }
    // The bytes that were looked at, then the rest.
    Source whole = [shared = state.get()](std::span<char> out) -> Result<std::size_t> {
      auto count = std::min(out.size(), shared->head.size() - shared->given);
      if (count == 0) return shared->source(out);
      std::memcpy(out.data(), shared->head.data() + shared->given, count);
      shared->given += count;
      return count;
    };
    bool filtered = state->head.starts_with(kBzip2) || state->head.starts_with(kXz);
    if (filtered) state->plain = [filter = std::make_shared<Unfilter>(std::move(whole))](std::span<char> out) { return filter->read(out); };
    else state->plain = decompress(std::move(whole));
    return state->plain(into);
  };
}

}  // namespace watari::codec
