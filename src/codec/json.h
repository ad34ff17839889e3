#pragma once
// A JSON value of our own, so that no other room sees the parsing library. Objects keep the order they were given in.
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace watari::codec {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json();  // null
  Json(std::nullptr_t) : Json() {}
  Json(bool value);
  Json(int value);
  Json(std::int64_t value);
  Json(std::uint64_t value);
  Json(double value);
  Json(const char* value);
  Json(std::string_view value);
  Json(std::string value);
  Json(Array value);
  Json(Object value);
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  static Json object(std::initializer_list<Member> members = {});
  static Json array(std::initializer_list<Json> items = {});

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_int() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  // The value, or the given one when it is of another kind.
  bool as_bool(bool otherwise = false) const;
  std::int64_t as_int(std::int64_t otherwise = 0) const;  // a number without a fraction counts
  double as_double(double otherwise = 0) const;
  const std::string& as_string() const;  // "" when it is no string
  const Array& as_array() const;         // empty when it is no array
  const Object& as_object() const;       // empty when it is no object

  // The member, or null: value["a"]["b"].as_string() never fails.
  const Json& operator[](std::string_view name) const;
  bool has(std::string_view name) const;
  // Adds or replaces; a null value becomes an object first.
  Json& set(std::string_view name, Json value);
  Json& push(Json value);  // a null value becomes an array first

  std::string dump() const;    // one line
  std::string pretty() const;  // two spaces of indentation, for people

  friend bool operator==(const Json&, const Json&);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

// InvalidArgument with the offset when `text` is not JSON (RFC 8259), or nests deeper than 128.
Result<Json> parse_json(std::string_view text);

}  // namespace watari::codec
