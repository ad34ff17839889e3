#pragma once
// State is kept per account and region, as AWS does.
#include <compare>
#include <string>

#include "base/fields.h"

namespace watari::model {

struct Scope {
  std::string account;
  std::string region;
  std::string key() const { return account + "/" + region; }
  friend auto operator<=>(const Scope&, const Scope&) = default;
  WATARI_FIELDS(Scope, account, region)
};

struct Tag {
  std::string key;
  std::string value;
  WATARI_FIELDS(Tag, key, value)
};

}  // namespace watari::model
