#include "sys/nftables.h"

#include <nftables/libnftables.h>

#include <linux/close_range.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <thread>

#include "base/late_library.h"
#include "base/strings.h"
#include "sys/fd.h"

namespace watari::sys {

namespace {

struct Libnftables {
  LateLibrary library{"libnftables.so.1"};
  WATARI_LATE(nft_ctx_buffer_error);
  WATARI_LATE(nft_ctx_buffer_output);
  WATARI_LATE(nft_ctx_free);
  WATARI_LATE(nft_ctx_get_error_buffer);
  WATARI_LATE(nft_ctx_get_output_buffer);
  WATARI_LATE(nft_ctx_new);
  WATARI_LATE(nft_run_cmd_from_buffer);
};

const Libnftables& lib() {
  static const Libnftables library;
  return library;
}

struct Free {
  void operator()(nft_ctx* context) const { lib().nft_ctx_free(context); }
};

Result<std::string> run_here(const std::string& script) {
  TRY_VOID(lib().library.ready());
  std::unique_ptr<nft_ctx, Free> context(lib().nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context) return fail(Code::Unavailable, "no netfilter socket: is nf_tables in the kernel, and CAP_NET_ADMIN given?");
  lib().nft_ctx_buffer_output(context.get());
  lib().nft_ctx_buffer_error(context.get());
  errno = 0;
  if (lib().nft_run_cmd_from_buffer(context.get(), script.c_str()) != 0) {
    auto code = errno == EPERM ? Code::PermissionDenied : errno == ENOENT ? Code::NotFound : Code::Internal;
    return fail(code, "nftables: {}", trim(lib().nft_ctx_get_error_buffer(context.get())));
  }
  return std::string(lib().nft_ctx_get_output_buffer(context.get()));
}

// libnftables waits with select(), which ends the program when its socket gets a number above 1023: a thread with a descriptor table of
// its own, and nothing in it, has low ones however many sockets the process holds. It is in the namespace of the caller.
Result<std::string> run(const std::string& script) {
  // It keeps parser state in globals; commands take milliseconds.
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  Result<std::string> result;
  std::thread([&] {
    if (::close_range(3, ~0U, CLOSE_RANGE_UNSHARE) != 0) result = fail_errno("have a descriptor table of its own");
    else result = run_here(script);
  }).join();
  return result;
}

}  // namespace

Result<void> run_nft(const std::string& script) {
  TRY_VOID(run(script));
  return {};
}

Result<std::string> list_nft(const std::string& what) { return run("list " + what + "\n"); }

}  // namespace watari::sys
