#pragma once
// XML replies of the Query and EC2 protocols. Writing only: nothing here parses XML.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/shape.h"
#include "codec/json.h"

namespace watari::aws {

class XmlWriter {
 public:
  void open(std::string name, std::string_view xml_namespace = {});
  void close();
  void text(std::string_view name, std::string_view value);
  std::string take() { return std::move(out_); }

 private:
  std::string out_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  std::vector<std::string> open_;
};

// The members of a structure, as elements in the model's order.
void write_members(XmlWriter& xml, const Shape& shape, const codec::Json& json);

std::string xml_timestamp(double seconds);                       // 2026-11-22T17:04:33.120Z
std::optional<Time> parse_iso8601(const std::string& text);      // the same, fraction optional

}  // namespace watari::aws
