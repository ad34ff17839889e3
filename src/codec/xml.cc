#include "codec/xml.h"

#include <pugixml.hpp>

namespace watari::codec {
namespace {

bool is_element(const pugi::xml_node& node) { return node.type() == pugi::node_element; }

bool is_list(const pugi::xml_node& node) {
  bool any = false;
  for (const auto& child : node.children()) {
    if (!is_element(child)) continue;
    std::string_view name = child.name();
    if (name != "member" && name != "item") return false;
    any = true;
  }
  return any;
}

Json value_of(const pugi::xml_node& node) {
  if (is_list(node)) {
    auto list = Json::array();
    for (const auto& child : node.children())
      if (is_element(child)) list.push(value_of(child));
    return list;
  }
  auto object = Json::object();
  for (const auto& child : node.children())
    if (is_element(child)) object.set(child.name(), value_of(child));
  if (!object.as_object().empty()) return object;
  return node.text().get();
}

}  // namespace

Result<Json> xml_to_json(std::string_view text) {
  pugi::xml_document document;
  auto parsed = document.load_buffer(text.data(), text.size());
  if (!parsed) return fail(Code::InvalidArgument, "no XML at byte {}: {}", parsed.offset, parsed.description());
  auto root = document.document_element();
  return Json::object({{root.name(), value_of(root)}});
}

}  // namespace watari::codec
