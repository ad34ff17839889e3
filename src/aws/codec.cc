#include "aws/codec.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <regex>
#include <unordered_map>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::aws {
namespace {

using codec::Json;

std::string_view kind_of(const Json& json) {
  if (json.is_string()) return "a string";
  if (json.is_bool()) return "a boolean";
  if (json.is_number()) return "a number";
  if (json.is_array()) return "a list";
  if (json.is_object()) return "a structure";
  return "null";
}

std::string text_of(const Json& json) { return json.is_string() ? json.as_string() : json.dump(); }

bool says_nothing(const Json& json) {
  return json.is_null() || (json.is_array() && json.as_array().empty()) || (json.is_object() && json.as_object().empty());
}

// Breadth-first matching: libstdc++'s default one recurses once a character and takes exponential time on some patterns.
bool matches(const Shape& shape, const std::string& value) {
  static std::mutex mutex;
  static std::unordered_map<const Shape*, std::regex> compiled;
  std::lock_guard lock(mutex);
  auto found = compiled.find(&shape);
  if (found == compiled.end()) {
    auto flags = std::regex::ECMAScript | std::regex_constants::__polynomial;
    found = compiled.emplace(&shape, std::regex(std::string(shape.pattern), flags)).first;
  }
  return std::regex_match(value, found->second);
}

class Decoder {
 public:
  Result<void> value(const Shape& shape, const Json& json, const Accept& accept, bool all, const std::string& path, void* out) {
    switch (shape.kind) {
      case Kind::Structure: return structure(shape, json, accept, all, path, static_cast<char*>(out));
      case Kind::List: return list(shape, json, accept, all, path, out);
      case Kind::Map: return map(shape, json, accept, all, path, out);
      default: return scalar(shape, json, accept, path, out);
    }
  }

  Result<void> finish() const {
    if (violations_.empty()) return {};
    return fail(Code::InvalidArgument, "{} validation error{} detected: {}", violations_.size(),
                violations_.size() == 1 ? "" : "s", join(violations_, "; "));
  }

 private:
  Result<void> structure(const Shape& shape, const Json& json, const Accept& accept, bool all, const std::string& path, char* out) {
    if (!json.is_object()) return wrong_kind(path, "a structure", json);
    auto inside = [&](std::string_view name) { return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name); };
    for (const auto& [name, item] : json.as_object()) {
      if (says_nothing(item)) continue;
      bool known = all || std::ranges::any_of(accept.children, [&](const Accept& child) { return child.name == name; });
      if (!known || !member_of(shape, name))
        return fail(Code::InvalidArgument, "{} is not supported by Watari; remove it", inside(name));
    }
    static constexpr Accept kAll{.name = "", .all = true};
    for (const auto& member : shape.members) {
      const auto& item = json[member.name];
      if (item.is_null()) {
        if (member.required) violate("null", inside(member.name), "Member must not be null");
        continue;
      }
      auto child = std::ranges::find(accept.children, member.name, &Accept::name);
      const auto& below = child == accept.children.end() ? kAll : *child;
      if (&below == &kAll && !all && says_nothing(item)) continue;  // not acted upon, and it says nothing
      void* place = out + member.offset;
      if (member.slot.reach) place = member.slot.reach(place);
      TRY_VOID(value(*member.shape, item, below, below.all, inside(member.name), place));
    }
    return {};
  }

  Result<void> list(const Shape& shape, const Json& json, const Accept& accept, bool all, const std::string& path, void* out) {
    if (!json.is_array()) return wrong_kind(path, "a list", json);
    const auto& items = json.as_array();
    check_size(shape, items.size(), json, path);
    for (std::size_t i = 0; i < items.size(); ++i)
      TRY_VOID(value(*shape.element, items[i], accept, all, fmt::format("{}.{}.member", path, i + 1), shape.list->push(out)));
    return {};
  }

  Result<void> map(const Shape& shape, const Json& json, const Accept& accept, bool all, const std::string& path, void* out) {
    if (!json.is_object()) return wrong_kind(path, "a map", json);
    check_size(shape, json.as_object().size(), json, path);
    for (const auto& [key, item] : json.as_object())
      TRY_VOID(value(*shape.element, item, accept, all, path + "." + key, shape.map->insert(out, key)));
    return {};
  }

  Result<void> scalar(const Shape& shape, const Json& json, const Accept& accept, const std::string& path, void* out) {
    if (!accept.values.empty() && std::ranges::find(accept.values, text_of(json)) == accept.values.end()) {
      std::vector<std::string> values(accept.values.begin(), accept.values.end());
      return fail(Code::InvalidArgument, "{} '{}' is not supported by Watari; use {}", path, text_of(json), join(values, ", "));
    }
    switch (shape.kind) {
      case Kind::String: return string(shape, json, path, *static_cast<std::string*>(out));
      case Kind::Blob:
        if (!json.is_string() || !base64_decode(json.as_string(), *static_cast<std::string*>(out)))
          return wrong_kind(path, "a base64 string", json);
        check_size(shape, static_cast<std::string*>(out)->size(), json, path);
        return {};
      case Kind::Document: *static_cast<std::string*>(out) = json.dump(); return {};
      case Kind::Boolean:
        if (!json.is_bool()) return wrong_kind(path, "a boolean", json);
        *static_cast<bool*>(out) = json.as_bool();
        return {};
      case Kind::Double:
        if (!json.is_number()) return wrong_kind(path, "a number", json);
        *static_cast<double*>(out) = json.as_double();
        check_range(shape, json.as_double(), json, path);
        return {};
      case Kind::Timestamp: {
        constexpr double kYear9999 = 253402300800.0;
        if (!json.is_number() || !(std::abs(json.as_double()) < kYear9999)) return wrong_kind(path, "a timestamp", json);
        *static_cast<Time*>(out) = Time(Millis(static_cast<std::int64_t>(json.as_double() * 1000.0 + 0.5)));
        return {};
      }
      default: return integer(shape, json, path, out);
    }
  }

  Result<void> string(const Shape& shape, const Json& json, const std::string& path, std::string& out) {
    if (!json.is_string()) return wrong_kind(path, "a string", json);
    out = json.as_string();
    if (!shape.values.empty()) {
      if (std::ranges::find(shape.values, out) != shape.values.end()) return {};
      std::vector<std::string> values(shape.values.begin(), shape.values.end());
      violate(shown(shape, json), path, fmt::format("Member must satisfy enum value set: [{}]", join(values, ", ")));
      return {};
    }
    // Only strings of a permitted length meet the pattern.
    if (check_size(shape, characters(out), json, path) && !shape.pattern.empty() && !matches(shape, out))
      violate(shown(shape, json), path, fmt::format("Member must satisfy regular expression pattern: {}", shape.pattern));
    return {};
  }

  Result<void> integer(const Shape& shape, const Json& json, const std::string& path, void* out) {
    bool wide = shape.kind == Kind::Long;
    bool whole = json.is_int() || (json.is_number() && json.as_int(0) == json.as_double());
    if (!whole || (!wide && static_cast<int>(json.as_int()) != json.as_int()))
      return wrong_kind(path, wide ? "a 64-bit integer" : "a 32-bit integer", json);
    if (wide) *static_cast<std::int64_t*>(out) = json.as_int();
    else *static_cast<int*>(out) = static_cast<int>(json.as_int());
    check_range(shape, static_cast<double>(json.as_int()), json, path);
    return {};
  }

  static const Member* member_of(const Shape& shape, std::string_view name) {
    auto found = std::ranges::find(shape.members, name, &Member::name);
    return found == shape.members.end() ? nullptr : &*found;
  }

  static std::size_t characters(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
  }

  static std::string shown(const Shape& shape, const Json& json) {
    return shape.sensitive ? "'***'" : fmt::format("'{}'", text_of(json).substr(0, 256));
  }

  bool check_size(const Shape& shape, std::size_t size, const Json& json, const std::string& path) {
    auto length = static_cast<std::int64_t>(size);
    if (length < shape.min)
      violate(shown(shape, json), path, fmt::format("Member must have length greater than or equal to {}", shape.min));
    else if (length > shape.max)
      violate(shown(shape, json), path, fmt::format("Member must have length less than or equal to {}", shape.max));
    else
      return true;
    return false;
  }

  void check_range(const Shape& shape, double number, const Json& json, const std::string& path) {
    if (shape.min != Shape::kNoMin && number < static_cast<double>(shape.min))
      violate(shown(shape, json), path, fmt::format("Member must have value greater than or equal to {}", shape.min));
    if (shape.max != Shape::kNoMax && number > static_cast<double>(shape.max))
      violate(shown(shape, json), path, fmt::format("Member must have value less than or equal to {}", shape.max));
  }

  void violate(std::string_view shown_value, const std::string& path, std::string_view constraint) {
    auto parts = split(path, '.');  // AWS writes all members in camel case here: 'tags.1.member.key'
    for (auto& part : parts)
      if (!part.empty()) part[0] = to_lower(part.substr(0, 1))[0];
    violations_.push_back(fmt::format("Value {} at '{}' failed to satisfy constraint: {}", shown_value, join(parts, "."), constraint));
  }

  static Result<void> wrong_kind(const std::string& path, std::string_view expected, const Json& json) {
    return fail(Error{Code::InvalidArgument,
                      fmt::format("{}: expected {}, found {}", path.empty() ? "request" : path, expected, kind_of(json)),
                      "SerializationException"});
  }

  std::vector<std::string> violations_;
};

Json encode_structure(const Shape& shape, const char* value) {
  Json::Object members;
  for (const auto& member : shape.members) {
    const void* place = value + member.offset;
    if (member.slot.peek && !(place = member.slot.peek(place))) continue;
    auto item = encode(*member.shape, place);
    if (member.shape->kind == Kind::Map && item.as_object().empty() && !member.required) continue;
    members.emplace_back(std::string(member.name), std::move(item));
  }
  return members;
}

Json encode_map(const Shape& shape, const void* value) {
  struct Context {
    Json::Object members;
    const Shape& element;
  } context{{}, *shape.element};
  shape.map->each(value, &context, [](void* at, const std::string& key, const void* item) {
    auto& [members, element] = *static_cast<Context*>(at);
    members.emplace_back(key, encode(element, item));
  });
  return std::move(context.members);
}

}  // namespace

Result<void> decode(const Shape& shape, const Json& json, const Accept& accept, void* out) {
  Decoder decoder;
  TRY_VOID(decoder.value(shape, json, accept, accept.all, "", out));
  return decoder.finish();
}

Json encode(const Shape& shape, const void* value) {
  switch (shape.kind) {
    case Kind::Structure: return encode_structure(shape, static_cast<const char*>(value));
    case Kind::Map: return encode_map(shape, value);
    case Kind::List: {
      Json::Array items;
      for (std::size_t i = 0; i < shape.list->size(value); ++i) items.push_back(encode(*shape.element, shape.list->at(value, i)));
      return items;
    }
    case Kind::String: return *static_cast<const std::string*>(value);
    case Kind::Blob: return base64(*static_cast<const std::string*>(value));
    case Kind::Boolean: return *static_cast<const bool*>(value);
    case Kind::Integer: return *static_cast<const int*>(value);
    case Kind::Long: return *static_cast<const std::int64_t*>(value);
    case Kind::Double: return *static_cast<const double*>(value);
    case Kind::Document: return codec::parse_json(*static_cast<const std::string*>(value)).value_or(Json());
    case Kind::Timestamp: return static_cast<double>(static_cast<const Time*>(value)->time_since_epoch().count()) / 1000.0;
  }
  return {};
}

}  // namespace watari::aws
