#include "logs/group_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/strings.h"

namespace watari::logs {

GroupFile read_group_file(const std::string& folder) {
  GroupFile out;
  std::ifstream in(folder + "/group");
  for (std::string line; std::getline(in, line);) {
    auto fields = split(line, ' ');
    if (fields.size() == 2 && fields[0] == "retention") out.retention_days = parse_number<int>(fields[1]);
    if (fields.size() == 3 && fields[0] == "tag")
      if (auto key = percent_decode(fields[1]), value = percent_decode(fields[2]); key && value) out.tags[*key] = *value;
  }
  return out;
}

Result<void> write_group_file(const std::string& folder, const GroupFile& file) {
  auto path = folder + "/group", temporary = folder + "/group.new";
  {
    std::ofstream out(temporary, std::ios::trunc);
    if (file.retention_days) out << "retention " << *file.retention_days << "\n";
    for (const auto& [key, value] : file.tags) out << "tag " << percent_encode(key) << " " << percent_encode(value) << "\n";
    if (!out.flush()) return fail(Code::Unavailable, "write {}: {}", temporary, std::strerror(errno));
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return fail(Code::Unavailable, "write {}: {}", path, std::strerror(errno));
  return {};
}

}  // namespace watari::logs
