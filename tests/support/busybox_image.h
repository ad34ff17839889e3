#pragma once
// A small image of the host's static busybox, with all its applets, in one call.
#include <cstdio>
#include <filesystem>
#include <string>

#include "oci/image_store.h"

namespace watari::tests {

// Tags REPOSITORY:TAG in `store`; the image runs `command` ("/bin/sh" when empty). Needs /bin/busybox (package busybox-static).
inline Result<oci::Image> add_busybox_image(oci::ImageStore& store, const std::string& repository = "busybox", const std::string& tag = "latest",
                                            std::vector<std::string> command = {"/bin/sh"}) {
  namespace fs = std::filesystem;
  TRY(auto root, store.scratch_directory());
  for (auto name : {"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var"}) fs::create_directories(root / name);
  fs::permissions(root / "tmp", fs::perms::all | fs::perms::sticky_bit);
  std::error_code error;
  fs::copy_file("/bin/busybox", root / "bin/busybox", error);
  if (error) return fail(Code::FailedPrecondition, "/bin/busybox: {}; install busybox-static", error.message());
  if (FILE* list = ::popen("/bin/busybox --list", "r")) {
    char line[128];
    while (std::fgets(line, sizeof line, list)) {
      std::string applet(line);
      applet.erase(applet.find_last_not_of("\n") + 1);
      if (!applet.empty() && applet != "busybox") fs::create_symlink("/bin/busybox", root / "bin" / applet, error);
    }
    ::pclose(list);
  }
  const auto put = [&](const char* name, const char* text) {
    if (FILE* file = std::fopen((root / name).c_str(), "w")) {
      std::fputs(text, file);
      std::fclose(file);
    }
  };
  put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
  put("etc/group", "root:x:0:\nnogroup:x:65534:\n");
  oci::ImageConfig config{.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, .cmd = std::move(command)};
  return oci::import_directory_as_image(store, root, std::move(config), repository, tag);
}

}  // namespace watari::tests
