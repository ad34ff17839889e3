#pragma once
// Pagination: opaque tokens that name the last item of a page, so that pages stay right while items come and go.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"

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

// `items` must be sorted by key(item), a std::string. Takes those after the token's position, at most `limit`.
template <class T, class Key>
Result<Page<T>> paginate(const Call& call, std::vector<T> items, const std::optional<std::string>& token, std::size_t limit, Key key,
                         std::string_view error_name) {
  std::optional<std::string> after;
  if (token) {
    TRY(after, read_page_token(call, *token, error_name));
  }
  Page<T> page;
  for (auto& item : items) {
    if (after && key(item) <= *after) continue;
    if (page.items.size() == limit) {
      page.next_token = make_page_token(call, key(page.items.back()));
      break;
    }
    page.items.push_back(std::move(item));
  }
  return page;
}

}  // namespace watari::aws
