#include "codec/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

namespace watari::codec {
namespace {

constexpr int kMaxDepth = 64;

class Converter {
 public:
  explicit Converter(const std::string& file) : file_(file) {}

  Result<Yaml> convert(const YAML::Node& node, int depth) {
    Yaml out;
    out.line = std::max(1, node.Mark().line + 1);  // an empty document has no place
    out.column = std::max(1, node.Mark().column + 1);
    if (depth > kMaxDepth) return wrong(out, "nested deeper than 64 levels");
    if (node.IsScalar()) {
      out.kind = Yaml::Kind::Scalar;
      out.text = node.Scalar();
      out.quoted = node.Tag() == "!";
    } else if (node.IsSequence()) {
      out.kind = Yaml::Kind::List;
      for (const auto& item : node) {
        TRY(auto value, convert(item, depth + 1));
        out.items.push_back(std::move(value));
      }
    } else if (node.IsMap()) {
      out.kind = Yaml::Kind::Map;
      for (const auto& entry : node) {
        TRY(auto key, convert(entry.first, depth + 1));
        if (key.kind != Yaml::Kind::Scalar) return wrong(key, "a key must be plain text");
        if (const auto* before = out.find(key.text))
          return wrong(key, fmt::format("the key {} is there already (line {})", key.text, before->line));
        TRY(auto value, convert(entry.second, depth + 1));
        if (value.kind == Yaml::Kind::Null) value.line = key.line, value.column = key.column;  // an empty value has no place
        out.keys.push_back(std::move(key));
        out.items.push_back(std::move(value));
      }
    }
    return out;
  }

 private:
  decltype(fail(Error{})) wrong(const Yaml& at, const std::string& what) {
    return fail(Code::InvalidArgument, "{}:{}:{}: {}", file_, at.line, at.column, what);
  }
  const std::string& file_;
};

}  // namespace

const Yaml* Yaml::find(std::string_view key) const {
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (keys[i].text == key) return &items[i];
  return nullptr;
}

Result<Yaml> parse_yaml(std::string_view text, const std::string& file) {
  try {
    return Converter(file).convert(YAML::Load(std::string(text)), 0);
  } catch (const YAML::Exception& error) {
    return fail(Code::InvalidArgument, "{}:{}:{}: {}", file, error.mark.line + 1, error.mark.column + 1, error.msg);
  }
}

}  // namespace watari::codec
