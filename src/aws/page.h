#pragma once
// Pagination: opaque tokens that name the last item of a page, so that pages stay right while items come and go.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "store/table.h"

namespace watari::aws {

// Only the same operation in the same scope accepts the token.
std::string make_page_token(const Call& call, std::string_view position);
// `error_name` is how the service calls a bad token: "InvalidParameterException", "InvalidNextToken", ...
Result<std::string> read_page_token(const Call& call, std::string_view token, std::string_view error_name);

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next_token;
};

// How many items a page holds: what the caller wants, `otherwise` when it names no number above zero; at most `most`.
inline std::size_t page_size(std::optional<std::int32_t> wanted, std::int32_t otherwise, std::int32_t most = 1000) {
  return static_cast<std::size_t>(wanted && *wanted > 0 ? std::min(*wanted, most) : otherwise);
}

// Copies of the documents below `prefix` for which wanted(document), in the order of their keys.
template <class T, class Wanted>
std::vector<T> matching(const store::Table<T>& table, const std::string& prefix, Wanted wanted) {
  std::vector<T> out;
  table.each(prefix, [&](const std::string&, const T& item) {
    if (std::invoke(wanted, item)) out.push_back(item);
  });
  return out;
}

// A key that sorts what came last first: tokens are compared as text, so the time counts down from the far future.
std::string newest_first(Time at, std::string_view id);

// A key that turns the order of another around. No such key may be the beginning of another.
std::string turned(std::string key);

// Is the value one of those that a request lists? A request that lists none means any.
inline bool among(const std::vector<std::string>& listed, const std::string& value) {
  return listed.empty() || std::ranges::find(listed, value) != listed.end();
}

// The first of `names` that is no item's name, for the service's "not found".
template <class T, class Name>
std::optional<std::string> first_missing(const std::vector<std::string>& names, const std::vector<T>& items, Name name) {
  for (const auto& wanted : names)
    if (std::ranges::find(items, wanted, name) == items.end()) return wanted;
  return std::nullopt;
}

// `items` must be sorted by key(item), a std::string. Takes those after the token's position, at most `limit` (one or more).
template <class T, class Key>
Result<Page<T>> paginate(const Call& call, std::vector<T> items, const std::optional<std::string>& token, std::size_t limit, Key key,
                         std::string_view error_name) {
  std::optional<std::string> after;
  if (token) {
    TRY(after, read_page_token(call, *token, error_name));
  }
  Page<T> page;
  for (auto& item : items) {
    if (after && std::invoke(key, item) <= *after) continue;
    if (page.items.size() == limit) {
      page.next_token = make_page_token(call, std::invoke(key, page.items.back()));
      break;
    }
    page.items.push_back(std::move(item));
  }
  return page;
}

}  // namespace watari::aws
