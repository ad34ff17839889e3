"""The private network's API through boto3 and the aws-cli."""

import contextlib
import uuid

import botocore.exceptions
import pytest

REGION = "ap-northeast-1"


@pytest.fixture(scope="module")
def ec2(server):
    return server.client("ec2")


@contextlib.contextmanager
def refused(code):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        yield error
    assert error.value.response["Error"]["Code"] == code, error.value


@pytest.fixture
def group(ec2):
    made = ec2.create_security_group(GroupName="g-" + uuid.uuid4().hex[:8], Description="made by a test")["GroupId"]
    yield made
    with contextlib.suppress(botocore.exceptions.ClientError):
        ec2.delete_security_group(GroupId=made)


def by_name(name, *values):
    return {"Name": name, "Values": list(values)}


def tcp(port, *cidrs, groups=()):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
            "UserIdGroupPairs": [{"GroupId": group} for group in groups]}


def test_a_region_has_a_default_network(ec2):
    (vpc,) = ec2.describe_vpcs(Filters=[by_name("is-default", "true")])["Vpcs"]
    assert (vpc["CidrBlock"], vpc["State"], vpc["IsDefault"]) == ("172.31.0.0/16", "available", True)
    subnets = ec2.describe_subnets(Filters=[by_name("vpc-id", vpc["VpcId"]), by_name("default-for-az", "true")])["Subnets"]
    found = {s["AvailabilityZone"]: (s["CidrBlock"], s["AvailableIpAddressCount"]) for s in subnets}
    assert found == {REGION + "a": ("172.31.0.0/20", 4091), REGION + "b": ("172.31.16.0/20", 4091),
                     REGION + "c": ("172.31.32.0/20", 4091)}
    (group,) = ec2.describe_security_groups(Filters=[by_name("group-name", "default"), by_name("vpc-id", vpc["VpcId"])])["SecurityGroups"]
    (ingress,) = group["IpPermissions"]
    assert ingress["IpProtocol"] == "-1" and "FromPort" not in ingress
    assert ingress["UserIdGroupPairs"] == [{"GroupId": group["GroupId"], "UserId": "123456789012"}]
    assert group["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    (attribute,) = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert attribute["AttributeValues"] == [{"AttributeValue": vpc["VpcId"]}]


def test_regions_do_not_share_networks(server, ec2):
    other = server.client("ec2", region="eu-west-1")
    here, there = ec2.describe_vpcs()["Vpcs"][0], other.describe_vpcs()["Vpcs"][0]
    assert here["VpcId"] != there["VpcId"]
    with refused("InvalidVpcID.NotFound"):
        other.describe_vpcs(VpcIds=[here["VpcId"]])


def test_the_network_survives_a_kill(fresh_server):
    before = fresh_server.client("ec2").describe_subnets()["Subnets"]
    fresh_server.kill()
    fresh_server.start()
    assert fresh_server.client("ec2").describe_subnets()["Subnets"] == before


def test_zones_and_regions(ec2):
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [(z["ZoneName"], z["ZoneId"], z["State"]) for z in zones] == [
        (REGION + letter, f"apne1-az{n}", "available") for n, letter in enumerate("abc", 1)]
    assert "us-east-1" in {r["RegionName"] for r in ec2.describe_regions()["Regions"]}


def test_rules_come_and_go(ec2, group):
    answer = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8", "192.168.0.1/32", groups=[group])])
    assert answer["Return"] is True
    assert {r.get("CidrIpv4") for r in answer["SecurityGroupRules"]} == {"10.0.0.0/8", "192.168.0.1/32", None}
    (permission,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert (permission["IpProtocol"], permission["FromPort"], permission["ToPort"]) == ("tcp", 80, 80)
    assert [r["CidrIp"] for r in permission["IpRanges"]] == ["10.0.0.0/8", "192.168.0.1/32"]
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8")])

    rules = ec2.describe_security_group_rules(Filters=[by_name("group-id", group)])["SecurityGroupRules"]
    assert sorted(r["IsEgress"] for r in rules) == [False, False, False, True]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8")])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8")])
    egress = next(r["SecurityGroupRuleId"] for r in rules if r["IsEgress"])
    ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[egress])
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == []
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "out"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}])
    (permission,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    assert permission["IpRanges"] == [{"CidrIp": "0.0.0.0/0", "Description": "out"}]
    assert permission["Ipv6Ranges"] == [{"CidrIpv6": "::/0"}]


@pytest.mark.parametrize("permission", [tcp(80, "10.0.0.0/33"), tcp(70000, "10.0.0.0/8"), tcp(80),
                                        {"IpProtocol": "nonsense", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}])
def test_a_wrong_rule_is_refused_and_changes_nothing(ec2, group, permission):
    with refused("InvalidParameterValue"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(81, "10.0.0.0/8"), permission])
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"] == []


def test_a_group_in_use_stays(ec2, group):
    other = ec2.create_security_group(GroupName="other-" + group, Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[tcp(80, groups=[group])])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.delete_security_group(GroupId=other)
    ec2.delete_security_group(GroupId=group)
    with refused("InvalidGroup.NotFound"):
        ec2.describe_security_groups(GroupIds=[group])
    with refused("InvalidGroup.NotFound"):
        ec2.delete_security_group(GroupId=group)


def test_names_of_groups_are_unique_in_a_vpc(ec2, group):
    name = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["GroupName"]
    assert ec2.describe_security_groups(GroupNames=[name])["SecurityGroups"][0]["GroupId"] == group
    with refused("InvalidGroup.Duplicate"):
        ec2.create_security_group(GroupName=name, Description="d")
    default = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=default)


def test_a_vpc_of_ones_own(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=[
        {"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "staging"}]}])["Vpc"]
    assert vpc["Tags"] == [{"Key": "Name", "Value": "staging"}] and not vpc["IsDefault"]
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.20.1.0/24", AvailabilityZone=REGION + "b")["Subnet"]
    assert subnet["AvailableIpAddressCount"] == 251
    with refused("InvalidSubnet.Conflict"):
        ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.20.1.128/25")
    with refused("InvalidSubnet.Range"):
        ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.21.0.0/24")
    with refused("InvalidVpc.Range"):
        ec2.create_vpc(CidrBlock="10.0.0.0/8")
    ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
    answer = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")
    assert answer["EnableDnsHostnames"] == {"Value": True}
    ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    assert ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["MapPublicIpOnLaunch"] is True
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    with refused("InvalidVpcID.NotFound"):
        ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])


def test_tags(ec2, group):
    ec2.create_tags(Resources=[group], Tags=[{"Key": "env", "Value": "staging"}, {"Key": "team", "Value": "sre"}])
    assert ec2.describe_security_groups(Filters=[by_name("tag:env", "stag*"), by_name("tag-key", "team")])["SecurityGroups"][0]["GroupId"] == group
    tags = ec2.describe_tags(Filters=[by_name("resource-id", group)])["Tags"]
    assert [(t["Key"], t["Value"], t["ResourceType"]) for t in tags] == [("env", "staging", "security-group"), ("team", "sre", "security-group")]
    ec2.delete_tags(Resources=[group], Tags=[{"Key": "env"}, {"Key": "team", "Value": "other"}])
    assert [t["Key"] for t in ec2.describe_tags(Filters=[by_name("resource-id", group)])["Tags"]] == ["team"]
    with refused("InvalidID"):
        ec2.create_tags(Resources=["i-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "b"}])


def test_pages(ec2):
    made = [ec2.create_security_group(GroupName=f"page-{n}", Description="d")["GroupId"] for n in range(7)]
    pages = list(ec2.get_paginator("describe_security_groups").paginate(
        Filters=[by_name("group-name", "page-?")], PaginationConfig={"PageSize": 5}))
    assert [len(page["SecurityGroups"]) for page in pages] == [5, 2]
    for one in made:
        ec2.delete_security_group(GroupId=one)


def test_unknown_filters_and_members_are_refused(ec2):
    with refused("InvalidParameterValue") as error:
        ec2.describe_vpcs(Filters=[by_name("no-such-filter", "x")])
    assert "no-such-filter" in str(error.value)
    with refused("InvalidParameterValue") as error:
        ec2.create_vpc(CidrBlock="10.0.0.0/16", Ipv4IpamPoolId="ipam-pool-0")
    assert "Ipv4IpamPoolId" in str(error.value)
    with refused("InvalidAction"):
        ec2.run_instances(MinCount=1, MaxCount=1)


def test_no_task_no_interface(ec2):
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-0123456789abcdef0"])


def test_the_aws_cli(server):
    vpc = server.aws("ec2", "describe-vpcs", "--filters", "Name=isDefault,Values=true")["Vpcs"][0]["VpcId"]
    group = server.aws("ec2", "create-security-group", "--group-name", "cli", "--description", "d", "--vpc-id", vpc)["GroupId"]
    server.aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "8000-8080",
               "--cidr", "0.0.0.0/0")
    (shown,) = server.aws("ec2", "describe-security-groups", "--group-ids", group)["SecurityGroups"]
    assert (shown["IpPermissions"][0]["FromPort"], shown["IpPermissions"][0]["ToPort"]) == (8000, 8080)
    server.aws("ec2", "delete-security-group", "--group-id", group)


@pytest.mark.parametrize("most", [0, -1])
def test_a_page_that_holds_nothing_is_a_page_of_the_usual_size(ec2, group, most):
    ec2.create_tags(Resources=[group], Tags=[{"Key": "team", "Value": "red"}])
    asked = {"Filters": [by_name("resource-id", group)], "MaxResults": most}
    assert [tag["Value"] for tag in ec2.describe_tags(**asked)["Tags"]] == ["red"]
