#include "codec/json.h"

#include <boost/json.hpp>
#include <cmath>

namespace watari::codec {
namespace {

const Json kNull;
const std::string kNoString;
const Json::Array kNoArray;
const Json::Object kNoObject;

Json from_boost(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null: return {};
    case boost::json::kind::bool_: return value.get_bool();
    case boost::json::kind::int64: return value.get_int64();
    case boost::json::kind::uint64: return static_cast<double>(value.get_uint64());
    case boost::json::kind::double_: return value.get_double();
    case boost::json::kind::string: return std::string(value.get_string());
    case boost::json::kind::array: {
      Json::Array items;
      items.reserve(value.get_array().size());
      for (const auto& item : value.get_array()) items.push_back(from_boost(item));
      return items;
    }
    case boost::json::kind::object: {
      Json::Object members;
      members.reserve(value.get_object().size());
      for (const auto& member : value.get_object())
        members.emplace_back(std::string(member.key()), from_boost(member.value()));
      return members;
    }
  }
  return {};
}

void write_string(std::string& out, const std::string& text) { out += boost::json::serialize(boost::json::string_view(text)); }

// indent < 0 writes one line.
void write(std::string& out, const Json& value, int indent) {
  auto line = [&](int depth) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<std::size_t>(depth) * 2, ' ');
  };
  int inner = indent < 0 ? indent : indent + 1;
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int()) {
    out += std::to_string(value.as_int());
  } else if (value.is_number()) {
    auto number = value.as_double();
    out += std::isfinite(number) ? fmt::format("{}", number) : "null";
  } else if (value.is_string()) {
    write_string(out, value.as_string());
  } else if (value.is_array()) {
    out += '[';
    bool first = true;
    for (const auto& item : value.as_array()) {
      if (!first) out += ',';
      first = false;
      line(inner);
      write(out, item, inner);
    }
    if (!first) line(indent);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [name, member] : value.as_object()) {
      if (!first) out += ',';
      first = false;
      line(inner);
      write_string(out, name);
      out += indent < 0 ? ":" : ": ";
      write(out, member, inner);
    }
    if (!first) line(indent);
    out += '}';
  }
}

}  // namespace

// Not in the class: the code that copies and destroys a variant would be made anew in each of some hundred files.
Json::Json() = default;
Json::Json(bool value) : value_(value) {}
Json::Json(int value) : value_(std::int64_t{value}) {}
Json::Json(std::int64_t value) : value_(value) {}
Json::Json(std::uint64_t value) : value_(static_cast<std::int64_t>(value)) {}
Json::Json(double value) : value_(value) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(Array value) : value_(std::move(value)) {}
Json::Json(Object value) : value_(std::move(value)) {}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;
bool operator==(const Json& one, const Json& other) { return one.value_ == other.value_; }

Json Json::object(std::initializer_list<Member> members) { return Json(Object(members)); }
Json Json::array(std::initializer_list<Json> items) { return Json(Array(items)); }

bool Json::as_bool(bool otherwise) const {
  auto* value = std::get_if<bool>(&value_);
  return value ? *value : otherwise;
}

std::int64_t Json::as_int(std::int64_t otherwise) const {
  if (auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  auto* value = std::get_if<double>(&value_);
  if (!value || std::abs(*value) > 9e15 || std::trunc(*value) != *value) return otherwise;
  return static_cast<std::int64_t>(*value);
}

double Json::as_double(double otherwise) const {
  if (auto* value = std::get_if<double>(&value_)) return *value;
  auto* value = std::get_if<std::int64_t>(&value_);
  return value ? static_cast<double>(*value) : otherwise;
}

const std::string& Json::as_string() const {
  auto* value = std::get_if<std::string>(&value_);
  return value ? *value : kNoString;
}

const Json::Array& Json::as_array() const {
  auto* value = std::get_if<Array>(&value_);
  return value ? *value : kNoArray;
}

const Json::Object& Json::as_object() const {
  auto* value = std::get_if<Object>(&value_);
  return value ? *value : kNoObject;
}

const Json& Json::operator[](std::string_view name) const {
  for (const auto& member : as_object())
    if (member.first == name) return member.second;
  return kNull;
}

bool Json::has(std::string_view name) const {
  for (const auto& member : as_object())
    if (member.first == name) return true;
  return false;
}

Json& Json::set(std::string_view name, Json value) {
  if (!is_object()) value_ = Object{};
  auto& members = std::get<Object>(value_);
  for (auto& member : members)
    if (member.first == name) {
      member.second = std::move(value);
      return *this;
    }
  members.emplace_back(std::string(name), std::move(value));
  return *this;
}

Json& Json::push(Json value) {
  if (!is_array()) value_ = Array{};
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::dump() const {
  std::string out;
  write(out, *this, -1);
  return out;
}

std::string Json::pretty() const {
  std::string out;
  write(out, *this, 0);
  return out;
}

Result<Json> parse_json(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = 128;
  boost::json::stream_parser parser({}, options);
  boost::json::error_code error;
  auto used = parser.write_some(text.data(), text.size(), error);
  if (!error) parser.finish(error);
  if (!error && text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
    error = boost::json::error::extra_data;
  if (error) return fail(Code::InvalidArgument, "not JSON at byte {}: {}", used, error.message());
  return from_boost(parser.release());
}

}  // namespace watari::codec
