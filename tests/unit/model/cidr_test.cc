#include "model/cidr.h"

#include <gtest/gtest.h>

namespace watari::model {

TEST(Cidr, ReadsARangeAndClearsHostBits) {
  auto cidr = parse_cidr("10.1.2.3/8");
  ASSERT_TRUE(cidr);
  EXPECT_EQ(cidr->text(), "10.0.0.0/8");
  EXPECT_EQ(ipv4_text(cidr->last()), "10.255.255.255");
  EXPECT_EQ(cidr->size(), 1u << 24);
  EXPECT_EQ(parse_cidr("0.0.0.0/0")->size(), std::uint64_t{1} << 32);
  EXPECT_EQ(parse_cidr("1.2.3.4/32")->text(), "1.2.3.4/32");
}

TEST(Cidr, RefusesWhatIsNoRange) {
  for (auto text : {"10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.256/8", "10.0.0.01/8", "a.b.c.d/8", "10.0.0.0/", "", "10.0.0.0.0/8", "10.0.0.0/-1"})
    EXPECT_FALSE(parse_cidr(text)) << text;
}

TEST(Cidr, KnowsWhatLiesInside) {
  auto vpc = *parse_cidr("172.31.0.0/16"), subnet = *parse_cidr("172.31.16.0/20"), other = *parse_cidr("172.30.0.0/16");
  EXPECT_TRUE(vpc.contains(subnet));
  EXPECT_FALSE(subnet.contains(vpc));
  EXPECT_TRUE(subnet.overlaps(vpc));
  EXPECT_FALSE(vpc.overlaps(other));
  EXPECT_TRUE(subnet.contains(*parse_ipv4("172.31.31.255")));
  EXPECT_FALSE(subnet.contains(*parse_ipv4("172.31.32.0")));
}

}  // namespace watari::model
