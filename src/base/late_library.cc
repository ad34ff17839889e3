#include "base/late_library.h"

#include <dlfcn.h>

namespace watari {

namespace {
std::string last_problem() {
  const char* text = ::dlerror();
  return text ? text : "not found";
}
}  // namespace

LateLibrary::LateLibrary(const char* name) : name_(name), handle_(::dlopen(name, RTLD_LAZY | RTLD_LOCAL)) {
  if (!handle_) problem_ = last_problem();
}

Result<void> LateLibrary::ready() const {
  if (problem_.empty()) return {};
  return fail(Code::Unavailable, "{} cannot be used: {}; install its package again", name_, problem_);
}

void* LateLibrary::find(const char* symbol) {
  void* found = handle_ ? ::dlsym(handle_, symbol) : nullptr;
  if (!found && problem_.empty()) problem_ = last_problem();
  return found;
}

}  // namespace watari
