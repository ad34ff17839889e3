#pragma once
// (The name is a plural because <sys/file.h> is the C library's.)
// Small whole-file operations. Blocking; any thread.
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::sys {

Result<std::string> read_file(const std::string& path);
// Truncates and writes; not atomic. For kernel files (cgroup, sysctl) and files that nobody reads yet.
Result<void> write_file(const std::string& path, std::string_view content, unsigned mode = 0644);
// Other processes see the old content or the new one, never less: a temporary name, then rename. `durable` survives a power cut too.
Result<void> replace_file(const std::string& path, std::string_view content, unsigned mode = 0644, bool durable = false);
// Changes the content of the file that is bind-mounted somewhere, so that the inode stays: one write, then cut to length.
Result<void> rewrite_in_place(const std::string& path, std::string_view content);
Result<void> make_directories(const std::string& path, unsigned mode = 0755);
// With everything below it; does not follow symbolic links; fine when there is none.
Result<void> remove_tree(const std::string& path);

}  // namespace watari::sys
