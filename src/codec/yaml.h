#pragma once
// YAML with places: every value knows its line and column, so that a mistake in a file can be shown where it is.
// Source: https://yaml.org/spec/1.2.2/ (anchors and aliases work; tags and merge keys do not)
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace watari::codec {

struct Yaml {
  enum class Kind { Null, Scalar, List, Map };
  Kind kind = Kind::Null;
  std::string text;     // Scalar
  bool quoted = false;  // "12" is text, 12 may be a number
  int line = 1, column = 1;
  std::vector<Yaml> keys;   // Map, in the order of the file: Scalars; the value of keys[i] is items[i]
  std::vector<Yaml> items;  // List and Map

  const Yaml* find(std::string_view key) const;
};

// One document. InvalidArgument "FILE:LINE:COLUMN: …" when it is no YAML, repeats a key, or nests deeper than 64.
Result<Yaml> parse_yaml(std::string_view text, const std::string& file);

}  // namespace watari::codec
