#include "oci/reference.h"

#include <algorithm>

#include "base/strings.h"

namespace watari::oci {

namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool valid_component(std::string_view text) {
  if (text.empty() || !lower_or_digit(text.front()) || !lower_or_digit(text.back())) return false;
  for (std::size_t i = 0; i < text.size();) {
    const auto start = i;
    while (i < text.size() && !lower_or_digit(text[i])) ++i;
    const auto separator = text.substr(start, i - start);
    const bool dashes = separator.find_first_not_of('-') == separator.npos;
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
    while (i < text.size() && lower_or_digit(text[i])) ++i;
  }
  return true;
}

bool is_host(std::string_view first) {
  return first == "localhost" || first.find('.') != first.npos || first.find(':') != first.npos;
}

// <account>.dkr.ecr.<region>.amazonaws.com, also with a port.
bool is_ecr_host(std::string_view host) {
  const auto labels = split(host.substr(0, host.find(':')), '.');
  const auto digits = [](const std::string& text) { return text.size() == 12 && text.find_first_not_of("0123456789") == text.npos; };
  return labels.size() >= 6 && digits(labels[0]) && labels[1] == "dkr" && labels[2] == "ecr" && labels[4] == "amazonaws";
}

bool is_this_host(std::string_view host) {
  if (host.starts_with("[::1]")) return true;
  const auto name = host.substr(0, host.find(':'));
  return name == "localhost" || name.ends_with(".localhost") || (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos) ||
         is_ecr_host(host);
}

}  // namespace

bool valid_repository(std::string_view name) {
  // With each "/" written as "%2F" it is a file name.
  const auto encoded = name.size() + 2 * static_cast<std::size_t>(std::ranges::count(name, '/'));
  return !name.empty() && encoded <= 255 && std::ranges::all_of(split(name, '/'), [](const auto& part) { return valid_component(part); });
}

// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
bool valid_tag(std::string_view tag) {
  const auto word = [](char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !tag.empty() && tag.size() <= 128 && word(tag[0]) && std::ranges::all_of(tag, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

bool valid_digest(std::string_view digest) {
  const bool known = (digest.size() == 7 + 64 && digest.starts_with("sha256:")) || (digest.size() == 7 + 128 && digest.starts_with("sha512:"));
  return known && digest.find_first_not_of("0123456789abcdef", 7) == digest.npos;
}

std::string digest_from_hex(std::string_view hex) { return (hex.size() == 128 ? "sha512:" : "sha256:") + std::string(hex); }

Result<Reference> parse_reference(std::string_view text) {
  const auto wrong = [&](std::string_view why) { return fail(Code::InvalidArgument, "{} is no image reference: {}", text, why); };
  Reference out;
  if (valid_digest(text)) {
    out.digest = text;
    return out;
  }
  std::string_view rest = text;
  if (auto at = rest.find('@'); at != rest.npos) {
    out.digest = rest.substr(at + 1);
    if (!valid_digest(out.digest)) return wrong("after @ stands a digest, sha256: and 64 hexadecimal digits or sha512: and 128");
    rest = rest.substr(0, at);
  }
  if (auto slash = rest.find('/'); slash != rest.npos && is_host(rest.substr(0, slash))) {
    const auto host = rest.substr(0, slash);
    if (is_this_host(host)) {
      rest.remove_prefix(slash + 1);
    } else if (host == "docker.io" || host == "index.docker.io") {
      rest.remove_prefix(slash + 1);
      if (rest.starts_with("library/")) rest.remove_prefix(8);
    } else if (host.find(':') != host.npos) {
      return wrong(fmt::format("nothing is pulled from {}; copy the image here with skopeo or docker push and name it without that host", host));
    }
  }
  if (auto colon = rest.rfind(':'); colon != rest.npos && rest.find('/', colon) == rest.npos) {
    out.tag = rest.substr(colon + 1);
    if (!valid_tag(out.tag)) return wrong("the tag may have 128 letters, digits, underscores, dots and dashes and begins with none of the last two");
    rest = rest.substr(0, colon);
  }
  if (!valid_repository(rest)) return wrong("names are lower-case letters and digits, with ., _, - between them, in parts separated by /");
  out.repository = rest;
  if (!out.digest.empty()) out.tag.clear();
  else if (out.tag.empty()) out.tag = "latest";
  return out;
}

}  // namespace watari::oci
