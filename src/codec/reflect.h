#pragma once
// JSON from and to any struct with WATARI_FIELDS and any enum with WATARI_ENUM (base/fields.h): how the domain is stored.
// Members that hold their default (empty optional, empty container) are left out; missing members keep their default,
// so a newer version reads what an older one wrote.
#include <chrono>
#include <map>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "base/id.h"
#include "codec/json.h"

namespace watari::codec {

namespace detail {
template <class T> struct IsId : std::false_type {};
template <class Tag> struct IsId<Id<Tag>> : std::true_type {};
template <class T> struct IsOptional : std::false_type {};
template <class T> struct IsOptional<std::optional<T>> : std::true_type {};
template <class T> struct IsVector : std::false_type {};
template <class T> struct IsVector<std::vector<T>> : std::true_type {};
template <class T> struct IsMap : std::false_type {};
template <class T> struct IsMap<std::map<std::string, T>> : std::true_type {};
template <class T> struct IsDuration : std::false_type {};
template <class R, class P> struct IsDuration<std::chrono::duration<R, P>> : std::true_type {};
}  // namespace detail

template <class T>
Json to_json(const T& value) {
  if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    return Json(value);
  } else if constexpr (NamedEnum<T>) {
    return Json(name_of(value));
  } else if constexpr (std::is_integral_v<T>) {
    return Json(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return Json(static_cast<double>(value));
  } else if constexpr (std::is_same_v<T, Time>) {
    return Json(static_cast<std::int64_t>(value.time_since_epoch().count()));
  } else if constexpr (detail::IsDuration<T>::value) {
    return Json(static_cast<std::int64_t>(value.count()));
  } else if constexpr (detail::IsId<T>::value) {
    return Json(value.value);
  } else if constexpr (detail::IsOptional<T>::value) {
    return value ? to_json(*value) : Json();
  } else if constexpr (detail::IsVector<T>::value) {
    Json out = Json::array();
    for (const auto& item : value) out.push(to_json(item));
    return out;
  } else if constexpr (detail::IsMap<T>::value) {
    Json out = Json::object();
    for (const auto& [name, item] : value) out.set(name, to_json(item));
    return out;
  } else {
    static_assert(HasFields<T>, "give the type WATARI_FIELDS");
    Json out = Json::object();
    T::watari_fields([&](std::string_view name, auto pointer) {
      const auto& member = value.*pointer;
      using M = std::remove_cvref_t<decltype(member)>;
      if constexpr (detail::IsOptional<M>::value) {
        if (!member) return;
      } else if constexpr (detail::IsVector<M>::value || detail::IsMap<M>::value || std::is_same_v<M, std::string>) {
        if (member.empty()) return;
      }
      out.set(name, to_json(member));
    });
    return out;
  }
}

// Corrupt, with the path of the member, when a value is of the wrong kind.
template <class T>
Result<void> read_json(const Json& json, T& out, const std::string& path = "") {
  [[maybe_unused]] auto wrong = [&](std::string_view expected) {
    return fail(Code::Corrupt, "{}: expected {}, found {}", path.empty() ? "value" : path, expected, json.dump());
  };
  if constexpr (std::is_same_v<T, Json>) {
    out = json;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_bool()) return wrong("true or false");
    out = json.as_bool();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) return wrong("a string");
    out = json.as_string();
  } else if constexpr (NamedEnum<T>) {
    auto value = parse_enum<T>(json.as_string());
    if (!value) return wrong("a known name");
    out = *value;
  } else if constexpr (std::is_integral_v<T>) {
    if (!json.is_number()) return wrong("a number");
    out = static_cast<T>(json.as_int());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) return wrong("a number");
    out = static_cast<T>(json.as_double());
  } else if constexpr (std::is_same_v<T, Time>) {
    if (!json.is_number()) return wrong("milliseconds since the epoch");
    out = Time(Millis(json.as_int()));
  } else if constexpr (detail::IsDuration<T>::value) {
    if (!json.is_number()) return wrong("a number");
    out = T(json.as_int());
  } else if constexpr (detail::IsId<T>::value) {
    if (!json.is_string()) return wrong("a string");
    out = T(json.as_string());
  } else if constexpr (detail::IsOptional<T>::value) {
    if (json.is_null()) {
      out.reset();
    } else {
      out.emplace();
      return read_json(json, *out, path);
    }
  } else if constexpr (detail::IsVector<T>::value) {
    if (!json.is_array()) return wrong("a list");
    out.clear();
    for (const auto& item : json.as_array()) {
      typename T::value_type element{};
      TRY_VOID(read_json(item, element, path + "[" + std::to_string(out.size()) + "]"));
      out.push_back(std::move(element));
    }
  } else if constexpr (detail::IsMap<T>::value) {
    if (!json.is_object()) return wrong("an object");
    out.clear();
    for (const auto& [name, item] : json.as_object()) {
      typename T::mapped_type element{};
      TRY_VOID(read_json(item, element, path + "." + name));
      out.emplace(name, std::move(element));
    }
  } else {
    static_assert(HasFields<T>, "give the type WATARI_FIELDS");
    if (!json.is_object()) return wrong("an object");
    Result<void> result;
    T::watari_fields([&](std::string_view name, auto member) {
      if (result && json.has(name)) result = read_json(json[name], out.*member, path + "." + std::string(name));
    });
    return result;
  }
  return {};
}

template <class T>
Result<T> from_json(const Json& json) {
  T out{};
  TRY_VOID(read_json(json, out));
  return out;
}

}  // namespace watari::codec
