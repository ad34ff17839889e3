#pragma once
// CBOR as the Smithy RPC v2 protocol uses it: bytes <-> Json with the model's member names, led by the shape, because Json has
// no bytes and no timestamps of its own (a Blob is base64 text there, a Timestamp seconds since the epoch).
// Source: RFC 8949; https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html#cbor-shape-serialization
#include "aws/shape.h"
#include "base/result.h"
#include "codec/json.h"

namespace watari::aws {

// One data item and nothing after it; definite and indefinite lengths, half to double precision. InvalidArgument with the
// reason SerializationException and the offset for everything else: unknown tags and simple values, a Timestamp without tag 1, a
// byte string for what is no Blob, text that is not UTF-8, keys that are no text or come twice, infinities, integers beyond
// 64 bits, more than 64 levels. Members that the shape does not have are kept: the codec refuses them by name.
Result<codec::Json> read_cbor(const Shape& shape, std::string_view bytes);

// `value` as encode() made it of `shape` (members without a shape are written by their kind). Definite lengths.
std::string write_cbor(const Shape& shape, const codec::Json& value);

}  // namespace watari::aws
