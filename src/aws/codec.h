#pragma once
// One codec for all shapes: codec::Json with the model's member names <-> generated structs. The protocols (aws/protocol.h)
// turn the bytes of the wire into such Json and back, so that JSON 1.x, Query and EC2 share decoding and validation.
#include "aws/shape.h"
#include "base/result.h"
#include "codec/json.h"

namespace watari::aws {

// Fills `out`, a default-constructed struct of `shape`. InvalidArgument, with all violations of the model's constraints in one
// message as AWS words it; with reason "SerializationException" when a value is of the wrong kind. A member that `accept`
// does not list is refused by name, unless it says nothing (null, empty list or map).
Result<void> decode(const Shape& shape, const codec::Json& json, const Accept& accept, void* out);

// Absent optionals and empty maps are left out, empty lists are not (clients index them). Timestamps: seconds since the epoch.
codec::Json encode(const Shape& shape, const void* value);

}  // namespace watari::aws
