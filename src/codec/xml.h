#pragma once
// XML replies of AWS's Query and EC2 protocols as Json: an element with children becomes an object, one whose children are
// all called "member" or "item" a list, any other its text. Attributes are dropped. An empty element is "".
#include "codec/json.h"

namespace watari::codec {

// {"DescribeSubnetsResponse": {…}}. InvalidArgument with the offset when `text` is not XML.
Result<Json> xml_to_json(std::string_view text);

}  // namespace watari::codec
