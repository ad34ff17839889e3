#pragma once
// Names of struct members and enum values, written once, so that JSON, tables and messages need no code per type.
//
//   struct HealthCheck {
//     std::vector<std::string> command;
//     Seconds interval{30};
//     WATARI_FIELDS(HealthCheck, command, interval)
//   };
//   enum class Severity { Low, High };
//   WATARI_ENUM(Severity, {Severity::Low, "LOW"}, {Severity::High, "HIGH"})     // in namespace watari
//
// codec/reflect.h turns both into JSON and back.
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace watari {

template <class T>
concept HasFields = requires { typename T::WatariFields; };

template <class E>
concept NamedEnum = requires(E e) { watari_enum_names(e); };

template <NamedEnum E>
constexpr std::string_view name_of(E value) {
  for (const auto& [candidate, name] : watari_enum_names(value))
    if (candidate == value) return name;
  return "?";
}

template <NamedEnum E>
constexpr std::optional<E> parse_enum(std::string_view text) {
  for (const auto& [candidate, name] : watari_enum_names(E{}))
    if (name == text) return candidate;
  return std::nullopt;
}

}  // namespace watari

#define WATARI_PARENS ()
#define WATARI_EXPAND(...) WATARI_EXPAND3(WATARI_EXPAND3(WATARI_EXPAND3(WATARI_EXPAND3(__VA_ARGS__))))
#define WATARI_EXPAND3(...) WATARI_EXPAND2(WATARI_EXPAND2(WATARI_EXPAND2(WATARI_EXPAND2(__VA_ARGS__))))
#define WATARI_EXPAND2(...) WATARI_EXPAND1(WATARI_EXPAND1(WATARI_EXPAND1(WATARI_EXPAND1(__VA_ARGS__))))
#define WATARI_EXPAND1(...) __VA_ARGS__
#define WATARI_FIELD_LIST(Type, first, ...) \
  visit(std::string_view(#first), &Type::first); __VA_OPT__(WATARI_FIELD_AGAIN WATARI_PARENS(Type, __VA_ARGS__))
#define WATARI_FIELD_AGAIN() WATARI_FIELD_LIST

// watari_fields(visit) calls visit(name, pointer to member) for each. A template, so that a file which only includes the struct does not pay for it
// (a tuple of all fields as the return type cost a third of every compile).
#define WATARI_FIELDS(Type, ...)                                  \
  using WatariFields = Type;                                      \
  template <class Visit>                                          \
  static constexpr void watari_fields(Visit&& visit) {            \
    WATARI_EXPAND(WATARI_FIELD_LIST(Type, __VA_ARGS__))           \
  }

#define WATARI_ENUM(Type, ...)                                       \
  constexpr auto watari_enum_names(Type) {                           \
    return std::to_array<std::pair<Type, std::string_view>>({__VA_ARGS__}); \
  }
