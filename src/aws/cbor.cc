#include "aws/cbor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_set>

#include "aws/logs/names.h"
#include "base/digest.h"

namespace watari::aws {
namespace {

using codec::Json;

constexpr int kMaxDepth = 64;
constexpr std::uint8_t kIndefinite = 31, kBreak = 0xFF;
enum Major : std::uint8_t { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kSimple };

const Shape* shape_of(const Shape* structure, std::string_view member) {
  if (!structure || structure->kind != Kind::Structure) return nullptr;
  auto found = std::ranges::find(structure->members, member, &Member::name);
  return found == structure->members.end() ? nullptr : found->shape;
}
const Shape* element_of(const Shape* shape, Kind kind) { return shape && shape->kind == kind ? shape->element : nullptr; }

double half_to_double(std::uint64_t bits) {
  auto exponent = static_cast<int>(bits >> 10 & 0x1F);
  auto mantissa = static_cast<double>(bits & 0x3FF);
  double value = exponent == 0    ? std::ldexp(mantissa, -24)
                 : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                  : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

class Reader {
  template <class... Args>
  auto wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Error{Code::InvalidArgument,
                      fmt::format("not CBOR of this request at byte {}: {}", at_, fmt::format(format, std::forward<Args>(args)...)),
                      "SerializationException"});
  }

 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  Result<Json> all(const Shape& shape) {
    TRY(auto value, item(&shape, 0));
    if (at_ != bytes_.size()) return wrong("{} bytes after the data item", bytes_.size() - at_);
    return value;
  }

 private:
  struct Head {
    Major major;
    std::uint8_t info;
    std::uint64_t argument;
    bool indefinite() const { return info == kIndefinite; }
  };

  std::size_t left() const { return bytes_.size() - at_; }

  Result<Head> head() {
    if (left() == 0) return wrong("it ends too early");
    auto first = static_cast<std::uint8_t>(bytes_[at_++]);
    Head out{static_cast<Major>(first >> 5), static_cast<std::uint8_t>(first & 0x1F), static_cast<std::uint64_t>(first & 0x1F)};
    if (out.info < 24 || out.indefinite()) return out;
    if (out.info > 27) return wrong("a reserved length");
    std::size_t size = std::size_t{1} << (out.info - 24);
    if (left() < size) return wrong("it ends too early");
    out.argument = 0;
    for (std::size_t i = 0; i < size; ++i) out.argument = out.argument << 8 | static_cast<std::uint8_t>(bytes_[at_++]);
    return out;
  }

  bool at_break() {
    if (left() == 0 || static_cast<std::uint8_t>(bytes_[at_]) != kBreak) return false;
    ++at_;
    return true;
  }

  Result<Json> item(const Shape* shape, int depth) {
    if (depth > kMaxDepth) return wrong("more than {} levels", kMaxDepth);
    TRY(auto head, this->head());
    bool null = head.major == kSimple && (head.info == 22 || head.info == 23);
    if (shape && shape->kind == Kind::Timestamp && head.major != kTag && !null) return wrong("a timestamp without tag 1");
    switch (head.major) {
      case kUnsigned:
      case kNegative: return integer(head);
      case kBytes:
        if (shape && shape->kind != Kind::Blob) return wrong("a byte string where the model has none");
        return bytes(head);
      case kText:
        if (shape && shape->kind == Kind::Blob) return wrong("text where the model has a byte string");
        return text(head);
      case kArray: return array(head, element_of(shape, Kind::List), depth);
      case kMap: return map(head, shape, depth);
      case kTag:
        if (head.argument != 1 || head.indefinite() || (shape && shape->kind != Kind::Timestamp))
          return wrong("tag {} where the model has none", head.argument);
        return timestamp();
      case kSimple: break;
    }
    return simple(head);
  }

  Result<Json> integer(const Head& head) {
    if (head.indefinite()) return wrong("an integer of indefinite length");
    if (head.argument > static_cast<std::uint64_t>(INT64_MAX)) return wrong("an integer beyond 64 bits");
    auto value = static_cast<std::int64_t>(head.argument);
    return Json(head.major == kUnsigned ? value : -1 - value);
  }

  Result<Json> simple(const Head& head) {
    switch (head.info) {
      case 20: return Json(false);
      case 21: return Json(true);
      case 22:
      case 23: return Json();
      case 25: return number(half_to_double(head.argument));
      case 26: return number(std::bit_cast<float>(static_cast<std::uint32_t>(head.argument)));
      case 27: return number(std::bit_cast<double>(head.argument));
      case kIndefinite: return wrong("a break outside of an indefinite length");
      default: return wrong("the unknown simple value {}", head.argument);
    }
  }

  Result<Json> number(double value) {
    if (!std::isfinite(value)) return wrong("a number that is infinite or none");
    return Json(value);
  }

  Result<Json> timestamp() {
    TRY(auto head, this->head());
    if (head.major == kUnsigned || head.major == kNegative) return integer(head);
    if (head.major != kSimple || head.info < 25 || head.info > 27) return wrong("a timestamp that is no number");
    return simple(head);
  }

  Result<std::string> chunk(const Head& head) {
    if (head.argument > left()) return wrong("it ends too early");
    std::string out(bytes_.substr(at_, head.argument));
    at_ += head.argument;
    return out;
  }

  Result<std::string> chunks(const Head& outer) {
    if (!outer.indefinite()) return chunk(outer);
    std::string out;
    while (!at_break()) {
      TRY(auto head, this->head());
      if (head.major != outer.major || head.indefinite()) return wrong("a string with a part of another kind");
      TRY(auto part, chunk(head));
      out += part;
    }
    return out;
  }

  Result<Json> bytes(const Head& head) {
    TRY(auto value, chunks(head));
    return Json(base64(value));
  }

  Result<Json> text(const Head& head) {
    TRY(auto value, chunks(head));
    if (logs::to_utf8(value) != value) return wrong("text that is not UTF-8");
    return Json(std::move(value));
  }

  // Is there one more? Every item takes at least a byte, so that a huge count ends with the bytes.
  bool more(const Head& head, std::uint64_t done) { return head.indefinite() ? !at_break() : done < head.argument; }

  Result<Json> array(const Head& head, const Shape* element, int depth) {
    Json::Array out;
    while (more(head, out.size())) {
      TRY(auto value, item(element, depth + 1));
      out.push_back(std::move(value));
    }
    return Json(std::move(out));
  }

  Result<Json> map(const Head& head, const Shape* shape, int depth) {
    Json::Object out;
    std::unordered_set<std::string> keys;
    while (more(head, out.size())) {
      TRY(auto key_head, this->head());
      if (key_head.major != kText) return wrong("a key that is no text");
      TRY(auto key, text(key_head));
      const auto& name = key.as_string();
      if (!keys.insert(name).second) return wrong("the key '{}' twice", name.substr(0, 100));
      TRY(auto value, item(shape && shape->kind == Kind::Map ? shape->element : shape_of(shape, name), depth + 1));
      out.emplace_back(name, std::move(value));
    }
    return Json(std::move(out));
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

class Writer {
 public:
  void item(const Shape* shape, const Json& value) {
    auto kind = shape ? std::optional(shape->kind) : std::nullopt;
    if (kind == Kind::Timestamp) head(kTag, 1);
    if (value.is_null()) out_ += '\xF6';
    else if (value.is_bool()) out_ += value.as_bool() ? '\xF5' : '\xF4';
    else if (value.is_int() && kind != Kind::Double && kind != Kind::Timestamp) integer(value.as_int());
    else if (value.is_number()) number(value.as_double());
    else if (value.is_string()) kind == Kind::Blob ? blob(value.as_string()) : string(kText, value.as_string());
    else if (value.is_array()) array(element_of(shape, Kind::List), value.as_array());
    else map(shape, value.as_object());
  }
  std::string take() { return std::move(out_); }

 private:
  void head(Major major, std::uint64_t argument) {
    auto initial = static_cast<unsigned>(major) << 5;
    if (argument < 24) {
      out_ += static_cast<char>(initial | argument);
      return;
    }
    unsigned size = argument <= 0xFF ? 0 : argument <= 0xFFFF ? 1 : argument <= 0xFFFFFFFF ? 2 : 3;
    out_ += static_cast<char>(initial | (24 + size));
    big_endian(argument, 1u << size);
  }

  void big_endian(std::uint64_t value, unsigned bytes) {
    while (bytes-- > 0) out_ += static_cast<char>(value >> (8 * bytes) & 0xFF);
  }

  void integer(std::int64_t value) {
    if (value >= 0) head(kUnsigned, static_cast<std::uint64_t>(value));
    else head(kNegative, static_cast<std::uint64_t>(-1 - value));
  }

  void number(double value) {
    out_ += '\xFB';
    big_endian(std::bit_cast<std::uint64_t>(value), 8);
  }

  void string(Major major, std::string_view bytes) {
    head(major, bytes.size());
    out_ += bytes;
  }

  void blob(const std::string& text) {
    std::string bytes;
    (void)base64_decode(text, bytes);  // encode() made it
    string(kBytes, bytes);
  }

  void array(const Shape* element, const Json::Array& items) {
    head(kArray, items.size());
    for (const auto& value : items) item(element, value);
  }

  void map(const Shape* shape, const Json::Object& members) {
    head(kMap, members.size());
    for (const auto& [name, value] : members) {
      string(kText, name);
      item(shape && shape->kind == Kind::Map ? shape->element : shape_of(shape, name), value);
    }
  }

  std::string out_;
};

}  // namespace

Result<Json> read_cbor(const Shape& shape, std::string_view bytes) { return Reader(bytes).all(shape); }

std::string write_cbor(const Shape& shape, const Json& value) {
  Writer writer;
  writer.item(&shape, value);
  return writer.take();
}

}  // namespace watari::aws
