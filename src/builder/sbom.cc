#include "builder/sbom.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/digest.h"
#include "base/strings.h"
#include "codec/json.h"
#include "oci/manifest.h"

namespace watari::builder {

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

Json package_json(const Stanza& package) {
  const auto name = value_of(package, "Package"), version = value_of(package, "Version"), architecture = value_of(package, "Architecture");
  const auto purl = fmt::format("pkg:deb/debian/{}@{}?arch={}", percent_encode(name), percent_encode(version), architecture);
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

Json descriptor(std::string_view type, const std::string& digest, std::size_t size) {
  return Json::object({{"mediaType", type}, {"digest", digest}, {"size", static_cast<std::int64_t>(size)}});
}

}  // namespace

std::string spdx_of_dpkg(const std::string& image, std::string_view dpkg_status, const std::string& created) {
  auto packages = stanzas(dpkg_status);
  std::erase_if(packages, [](const Stanza& package) { return !value_of(package, "Status").ends_with(" installed"); });
  std::ranges::sort(packages, {}, [](const Stanza& package) { return std::pair(value_of(package, "Package"), value_of(package, "Architecture")); });
  Json list = Json::array(), relations = Json::array();
  std::string identity;
  for (const auto& package : packages) {
    list.push(package_json(package));
    relations.push(Json::object({{"spdxElementId", "SPDXRef-DOCUMENT"}, {"relationshipType", "DESCRIBES"}, {"relatedSpdxElement", spdx_id(value_of(package, "Package"))}}));
    identity += value_of(package, "Package") + "=" + value_of(package, "Version") + "\n";
  }
  return Json::object({{"spdxVersion", "SPDX-2.3"},
                       {"dataLicense", "CC0-1.0"},
                       {"SPDXID", "SPDXRef-DOCUMENT"},
                       {"name", image},
                       {"documentNamespace", "urn:watari:spdx:" + sha256_hex(image + "\n" + identity)},
                       {"creationInfo", Json::object({{"created", created}, {"creators", Json::array({"Tool: watari"})}})},
                       {"packages", std::move(list)},
                       {"relationships", std::move(relations)}})
      .dump();
}

// Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
Result<std::string> attach_sbom(oci::ImageStore& images, const std::string& repository, const std::string& image_digest, std::string_view document) {
  TRY(auto subject, images.content().get(image_digest));
  TRY(auto config, images.content().put("{}"));
  TRY(auto writer, images.content().writer());
  TRY_VOID(writer->write(document));
  TRY(auto layer, writer->commit());
  const auto manifest = Json::object({{"schemaVersion", 2},
                                      {"mediaType", oci::kOciManifest},
                                      {"artifactType", kSpdx},
                                      {"config", descriptor("application/vnd.oci.empty.v1+json", config, 2)},
                                      {"layers", Json::array({descriptor(kSpdx, layer, document.size())})},
                                      {"subject", descriptor(oci::kOciManifest, image_digest, subject.size())}});
  return images.put_manifest(repository, std::string(oci::kOciManifest), manifest.dump());
}

}  // namespace watari::builder
