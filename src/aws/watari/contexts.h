#pragma once
// POST /watari/contexts: a build context as a tar (plain, gzip or zstd) in the body, answered with {"contextId": "…"}.
//
// With the header "x-watari-context: index" the body is an index instead (builder/context_index.h) and the answer holds "missing" too, a list
// of digests; when it is not empty, a tar of that content follows with "x-watari-context: files <contextId>", answered the same way.
//
// Signed like every call (service "watari"). The signature covers an empty body, as the real one is streamed; its SHA-256 goes in the
// signed header x-amz-meta-sha256 and is compared at the end.
#include "aws/credentials.h"
#include "net/server.h"

namespace watari::builder {
class Builder;
}

namespace watari::aws {

// For the streaming route. `builder` must outlive the server.
net::StreamHandler make_context_upload(builder::Builder& builder, Credentials credentials);

// /watari/cache-mounts: GET answers with a tar of all caches of RUN --mount=type=cache, POST takes one and answers {"ids": […]}. Signed the same way.
net::StreamHandler make_cache_transfer(builder::Builder& builder, Credentials credentials);

}  // namespace watari::aws
