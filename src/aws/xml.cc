#include "aws/xml.h"

#include <ctime>

#include "base/strings.h"

namespace watari::aws {
namespace {

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#13;"; break;
      default:
        // XML 1.0 has no way to write the other control characters.
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n') out += "\xEF\xBF\xBD";
        else out += c;
    }
  }
  return out;
}

std::string scalar_text(const Shape& shape, const codec::Json& json) {
  if (shape.kind == Kind::Timestamp) return xml_timestamp(json.as_double());
  return json.is_string() ? json.as_string() : json.dump();
}

void write_element(XmlWriter& xml, const std::string& name, const Shape& shape, const codec::Json& json) {
  switch (shape.kind) {
    case Kind::Structure:
      xml.open(name);
      write_members(xml, shape, json);
      xml.close();
      return;
    case Kind::List:
      if (shape.element_out.empty()) {
        for (const auto& item : json.as_array()) write_element(xml, name, *shape.element, item);
        return;
      }
      xml.open(name);
      for (const auto& item : json.as_array()) write_element(xml, std::string(shape.element_out), *shape.element, item);
      xml.close();
      return;
    case Kind::Map:
      xml.open(name);
      for (const auto& [key, item] : json.as_object()) {
        xml.open("entry");
        xml.text("key", key);
        write_element(xml, "value", *shape.element, item);
        xml.close();
      }
      xml.close();
      return;
    default: xml.text(name, scalar_text(shape, json));
  }
}

}  // namespace

void XmlWriter::open(std::string name, std::string_view xml_namespace) {
  out_ += "<" + name;
  if (!xml_namespace.empty()) out_ += " xmlns=\"" + escape(xml_namespace) + "\"";
  out_ += ">";
  open_.push_back(std::move(name));
}

void XmlWriter::close() {
  out_ += "</" + open_.back() + ">";
  open_.pop_back();
}

void XmlWriter::text(std::string_view name, std::string_view value) {
  out_ += "<" + std::string(name) + ">" + escape(value) + "</" + std::string(name) + ">";
}

void write_members(XmlWriter& xml, const Shape& shape, const codec::Json& json) {
  for (const auto& member : shape.members)
    if (json.has(member.name)) write_element(xml, std::string(member.xml_out), *member.shape, json[member.name]);
}

std::string xml_timestamp(double seconds) { return iso8601(Time(Millis(static_cast<std::int64_t>(seconds * 1000.0 + 0.5)))); }

std::optional<Time> parse_iso8601(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return std::nullopt;
  auto time = Time(Seconds(::timegm(&parts)));
  if (*rest == '.') {
    int scale = 100;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) time += Millis((*rest - '0') * scale);
  }
  std::string_view zone(rest);
  if (zone != "Z" && zone != "+00:00" && !zone.empty()) return std::nullopt;
  return time;
}

}  // namespace watari::aws
