#include "sys/nftables.h"

#include <nftables/libnftables.h>

#include <cerrno>
#include <memory>
#include <mutex>

#include "base/strings.h"

namespace watari::sys {

namespace {

struct Free {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

Result<std::string> run(const std::string& script) {
  // libnftables keeps parser state in globals; commands take milliseconds.
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context) return fail(Code::Unavailable, "no netfilter socket: is nf_tables in the kernel, and CAP_NET_ADMIN given?");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  errno = 0;
  if (nft_run_cmd_from_buffer(context.get(), script.c_str()) != 0) {
    auto code = errno == EPERM ? Code::PermissionDenied : errno == ENOENT ? Code::NotFound : Code::Internal;
    return fail(code, "nftables: {}", trim(nft_ctx_get_error_buffer(context.get())));
  }
  return std::string(nft_ctx_get_output_buffer(context.get()));
}

}  // namespace

Result<void> run_nft(const std::string& script) {
  TRY_VOID(run(script));
  return {};
}

Result<std::string> list_nft(const std::string& what) { return run("list " + what + "\n"); }

}  // namespace watari::sys
