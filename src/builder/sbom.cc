#include "builder/sbom.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <ranges>
#include <vector>

#include "base/digest.h"
#include "base/strings.h"
#include "builder/base_extras.h"
#include "builder/layer_view.h"
#include "codec/json.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

namespace {

using Stanza = std::map<std::string, std::string, std::less<>>;

// Paragraphs of "Name: value" lines; continued lines (descriptions) are not needed.
std::vector<Stanza> stanzas(std::string_view text) {
  std::vector<Stanza> out(1);
  for (const auto& line : split(text, '\n')) {
    if (line.empty()) {
      if (!out.back().empty()) out.emplace_back();
    } else if (auto colon = line.find(':'); line[0] != ' ' && line[0] != '\t' && colon != line.npos) {
      out.back()[line.substr(0, colon)] = trim(std::string_view(line).substr(colon + 1));
    }
  }
  std::erase_if(out, [](const Stanza& stanza) { return !stanza.contains("Package") || !stanza.contains("Version"); });
  return out;
}

std::string value_of(const Stanza& stanza, std::string_view name) {
  auto found = stanza.find(name);
  return found == stanza.end() ? "" : found->second;
}

// SPDX identifiers have letters, digits, "." and "-".
std::string spdx_id(const std::string& name) {
  std::string out = "SPDXRef-Package-";
  for (unsigned char c : name) out += std::isalnum(c) || c == '.' || c == '-' ? std::string(1, static_cast<char>(c)) : fmt::format("-{:02x}-", c);
  return out;
}

Json package_json(const Stanza& package, const std::string& distribution) {
  const auto name = value_of(package, "Package"), version = value_of(package, "Version"), architecture = value_of(package, "Architecture");
  const auto purl = fmt::format("pkg:deb/{}/{}@{}?arch={}", distribution, percent_encode(name), percent_encode(version), architecture);
  const auto source = value_of(package, "Source");
  return Json::object({{"SPDXID", spdx_id(name)},
                       {"name", name},
                       {"versionInfo", version},
                       {"supplier", "Organization: " + value_of(package, "Maintainer")},
                       {"downloadLocation", "NOASSERTION"},
                       {"filesAnalyzed", false},
                       {"sourceInfo", "built from the source package " + (source.empty() ? name : source)},
                       {"licenseConcluded", "NOASSERTION"},
                       {"licenseDeclared", "NOASSERTION"},
                       {"copyrightText", "NOASSERTION"},
                       {"externalRefs", Json::array({Json::object({{"referenceCategory", "PACKAGE-MANAGER"}, {"referenceType", "purl"}, {"referenceLocator", purl}})})}});
}

// An rpm package is one of its distribution, and of a release of it.
Package placed(Package package, const Distribution& distribution) {
  if (package.type != "rpm") return package;
  package.distribution = distribution.id;
  if (distribution.id.empty()) return package;
  const auto distro = "distro=" + percent_encode(distribution.id + (distribution.version.empty() ? "" : "-" + distribution.version));
  auto qualifiers = package.qualifiers.empty() ? std::vector<std::string>() : split(package.qualifiers, '&');
  qualifiers.push_back(distro);
  std::ranges::sort(qualifiers);
  package.qualifiers = join(qualifiers, "&");
  return package;
}

Json package_json(const Package& package) {
  auto out = Json::object({{"SPDXID", spdx_id(package.type + "-" + package.name + "-" + package.version + (package.qualifiers.empty() ? "" : "-" + package.qualifiers))},
                       {"name", package.name},
                       {"versionInfo", package.version},
                       {"downloadLocation", "NOASSERTION"},
                       {"filesAnalyzed", false},
                       {"licenseConcluded", "NOASSERTION"},
                       {"licenseDeclared", "NOASSERTION"},
                       {"copyrightText", "NOASSERTION"},
                       {"externalRefs", Json::array({Json::object({{"referenceCategory", "PACKAGE-MANAGER"}, {"referenceType", "purl"}, {"referenceLocator", package.purl()}})})}});
  // Not as licenseDeclared: many are no SPDX expressions.
  if (!package.license.empty()) out.set("licenseComments", "declared by the package: " + package.license);
  return out;
}

Json certificate_json(const BaseCertificate& certificate) {
  return Json::object({{"SPDXID", spdx_id(certificate.file)},
                       {"name", certificate.file},
                       {"primaryPackagePurpose", "FILE"},
                       {"summary", "a trusted certificate authority"},
                       {"downloadLocation", "NOASSERTION"},
                       {"filesAnalyzed", false},
                       {"checksums", Json::array({Json::object({{"algorithm", "SHA256"}, {"checksumValue", certificate.sha256}})})},
                       {"licenseConcluded", "NOASSERTION"},
                       {"licenseDeclared", "NOASSERTION"},
                       {"copyrightText", "NOASSERTION"}});
}

}  // namespace

std::string spdx_of_dpkg(const std::string& image, std::string_view dpkg_status, const std::string& created, const BaseExtras* extras,
                         const std::vector<Package>& others, const std::vector<std::string>& unread, const Distribution& distribution) {
  auto packages = stanzas(dpkg_status);
  std::erase_if(packages, [](const Stanza& package) { return !value_of(package, "Status").ends_with(" installed"); });
  std::ranges::sort(packages, {}, [](const Stanza& package) { return std::pair(value_of(package, "Package"), value_of(package, "Architecture")); });
  Json list = Json::array(), relations = Json::array();
  std::string identity;
  for (const auto& package : packages) {
    list.push(package_json(package, distribution.id.empty() ? "debian" : percent_encode(distribution.id)));
    relations.push(Json::object({{"spdxElementId", "SPDXRef-DOCUMENT"}, {"relationshipType", "DESCRIBES"}, {"relatedSpdxElement", spdx_id(value_of(package, "Package"))}}));
    identity += value_of(package, "Package") + "=" + value_of(package, "Version") + "\n";
  }
  for (const auto& each : others) {
    const auto package = placed(each, distribution);
    list.push(package_json(package));
    relations.push(Json::object({{"spdxElementId", "SPDXRef-DOCUMENT"}, {"relationshipType", "DESCRIBES"}, {"relatedSpdxElement", list.as_array().back()["SPDXID"]}}));
    identity += package.purl() + "\n";
  }
  std::string comment = list.as_array().empty() ? "No packages: the image has no list of packages of dpkg, apk, rpm, RubyGems, Bundler, npm, Yarn, pip or Go, or empty ones. Other files are not examined." : "";
  if (!unread.empty()) comment = fmt::format("INCOMPLETE: rpm's database is not in the SQLite form, or damaged; the packages that it lists are missing here: {}.", join(unread, ", "));
  for (const auto& certificate : extras ? extras->certificates : std::vector<BaseCertificate>()) {
    list.push(certificate_json(certificate));
    relations.push(Json::object({{"spdxElementId", "SPDXRef-DOCUMENT"}, {"relationshipType", "DESCRIBES"}, {"relatedSpdxElement", spdx_id(certificate.file)}}));
    identity += certificate.file + "\n";
  }
  for (const auto& user : extras ? extras->users : std::vector<BaseUser>()) {
    comment += fmt::format("{}User {} ({}:{}).", comment.empty() ? "" : " ", user.name, user.uid, user.gid);
    identity += passwd_line(user) + "\n";
  }
  auto out = Json::object({{"spdxVersion", "SPDX-2.3"},
                           {"dataLicense", "CC0-1.0"},
                           {"SPDXID", "SPDXRef-DOCUMENT"},
                           {"name", image},
                           {"documentNamespace", "urn:watari:spdx:" + sha256_hex(image + "\n" + identity)},
                           {"creationInfo", Json::object({{"created", created}, {"creators", Json::array({"Tool: watari"})}})},
                           {"packages", std::move(list)},
                           {"relationships", std::move(relations)}});
  if (!comment.empty()) out.set("comment", Json(comment));
  return out.dump();
}

namespace {

// The layer's file that a container sees at the path.
std::optional<std::filesystem::path> seen_at(const std::vector<std::filesystem::path>& layers, const std::string& path) {
  for (const auto& layer : layers | std::views::reverse) {
    auto seen = LayerView(layer).look_up(path);
    if (seen == LayerView::Seen::Gone) break;
    if (seen != LayerView::Seen::Below) return layer / path;
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<std::string>> dpkg_status_of(oci::ImageStore& images, const oci::Image& image) {
  TRY(auto layers, images.layer_directories(image));
  auto file = seen_at(layers, "var/lib/dpkg/status");
  if (!file) return std::nullopt;
  return sys::read_file(*file).map([](std::string text) { return std::optional(std::move(text)); });
}

Result<Distribution> distribution_of(oci::ImageStore& images, const oci::Image& image) {
  TRY(auto layers, images.layer_directories(image));
  Distribution found;
  auto file = seen_at(layers, "usr/lib/os-release");
  if (!file) file = seen_at(layers, "etc/os-release");
  if (!file) return found;
  TRY(const auto text, sys::read_file(*file));
  for (const auto& line : split(text.substr(0, 65536), '\n')) {
    const auto equals = line.find('=');
    if (equals == line.npos) continue;
    auto value = std::string(trim(std::string_view(line).substr(equals + 1)));
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) value = value.substr(1, value.size() - 2);
    if (line.starts_with("ID=")) found.id = value;
    if (line.starts_with("VERSION_ID=")) found.version = value;
  }
  return found;
}

// Source: https://rpm.org/docs/latest/manual/dbpath (SQLite, ndb and Berkeley DB, in rpm's old and new directory)
Result<std::vector<std::string>> rpm_databases_of(oci::ImageStore& images, const oci::Image& image) {
  TRY(auto layers, images.layer_directories(image));
  std::vector<std::string> found;
  for (const std::string directory : {"usr/lib/sysimage/rpm/", "usr/share/rpm/", "var/lib/rpm/"})
    for (const auto* name : {"Packages", "Packages.db"})
      if (seen_at(layers, directory + name)) found.push_back(directory + name);
  return found;
}

}  // namespace watari::builder
