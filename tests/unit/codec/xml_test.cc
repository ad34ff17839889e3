#include "codec/xml.h"

#include <gtest/gtest.h>

namespace watari::codec {

TEST(Xml, TurnsListsObjectsAndTextIntoJson) {
  auto json = xml_to_json("<?xml version=\"1.0\"?><R xmlns=\"urn:x\"><Items><member><A>1 &amp; 2</A></member><member/></Items><E/></R>");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->dump(), R"({"R":{"Items":[{"A":"1 & 2"},""],"E":""}})");
}

TEST(Xml, RefusesWhatIsNoXml) { EXPECT_EQ(xml_to_json("<a><b></a>").error().code, Code::InvalidArgument); }

}  // namespace watari::codec
