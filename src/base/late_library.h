#pragma once
// A shared library that is loaded when somebody first needs it. For those that bring many others along (libcurl and libarchive three dozen):
// linked, they cost every `watari` command several milliseconds, and most commands never call them.
//
//   struct Nftables {
//     LateLibrary library{"libnftables.so.1"};
//     WATARI_LATE(nft_ctx_new);
//   };
//
// A member of the table is null when the library could not be loaded or lacks it: ask library.ready() first. Immutable; never unloaded.
#include <string>

#include "base/result.h"

namespace watari {

class LateLibrary {
 public:
  explicit LateLibrary(const char* name);
  // Unavailable, with the name and what to do, when something was not found.
  Result<void> ready() const;
  void* find(const char* symbol);

 private:
  std::string name_, problem_;
  void* handle_ = nullptr;
};

}  // namespace watari

// A function of the library, of the type and name that its header declares.
#define WATARI_LATE(function) decltype(&::function) function = reinterpret_cast<decltype(&::function)>(library.find(#function))
