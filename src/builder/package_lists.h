#pragma once
// Lists of packages that programs leave in an image, and what they say. Pure.
// Source: https://github.com/package-url/purl-spec
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace watari::builder {

struct Package {
  std::string type;  // of its package URL: "gem", "npm", "pypi", "apk", "rpm", "golang"
  std::string name, version;
  std::string qualifiers = {};  // "arch=x86_64"
  std::string distribution = {};  // of rpm packages: "fedora"
  std::string license = {};       // as the package's makers wrote it
  std::string purl() const;
  friend auto operator<=>(const Package&, const Package&) = default;
};

// Whether a file of this path (relative to the image's root) may be or hold such a list. A Go program may have any name: any file in a
// directory bin or sbin, or in the root.
enum class ListKind { None, Apk, Rpm, GemfileLock, Gemspec, NpmLock, YarnLock, PythonMetadata, PythonRequirements, GoProgram };
ListKind list_kind(std::string_view path);

// What the file says; nothing for what is no such list. `path` matters for gem specifications, whose names say it all.
std::vector<Package> packages_in(ListKind kind, std::string_view path, std::string_view text);

// What a header of rpm's database says; nothing for one that is damaged, and for keys, which are kept among the packages.
// Source: https://rpm-software-management.github.io/rpm/manual/format_header.html
std::optional<Package> package_of_rpm_header(std::string_view header);

// The module list that the Go linker puts into programs (ELF, 64 bits, Go 1.18 and newer); empty when the program has none.
// Source: Go's debug/buildinfo/buildinfo.go
std::vector<Package> packages_of_go_program(std::string_view module_text);

}  // namespace watari::builder
