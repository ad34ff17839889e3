"""The private network seen from inside tasks: security groups decide who reaches whom, also while they change."""

import contextlib
import time

import botocore.exceptions
import pytest

from server import free_port
from servers import busybox_server as server  # noqa: F401

SERVE = "mkdir -p /w && echo welcome > /w/index.html && exec httpd -f -p 8080 -h /w"
# Not wget: the static one crashes where there is no NSS. -w is the limit for connecting.
CALL = "echo | nc -w 2 $TARGET 8080"
ASK = r"""set -- $(grep -w "$NAME" /etc/hosts) && printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$NAME" | nc -w 2 "$1" "$PORT" | grep -q "$EXPECT" """


@pytest.fixture(scope="module")
def ec2(server):
    return server.client("ec2")


class Tasks:
    def __init__(self, ecs, ec2):
        self.ecs = ecs
        self.subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        for name, command in (("serve", SERVE), ("call", CALL), ("ask", ASK)):
            ecs.register_task_definition(family=name, containerDefinitions=[
                {"name": "app", "image": "busybox:1", "memory": 64, "command": ["sh", "-c", command], "stopTimeout": 2}])

    def start(self, family, groups, **environment):
        where = {"subnets": self.subnets}
        if groups:
            where["securityGroups"] = groups
        variables = [{"name": name, "value": value} for name, value in environment.items()]
        (task,) = self.ecs.run_task(
            taskDefinition=family, networkConfiguration={"awsvpcConfiguration": where},
            overrides={"containerOverrides": [{"name": "app", "environment": variables}]})["tasks"]
        return task["taskArn"]

    def wait(self, waiter, task):
        self.ecs.get_waiter(waiter).wait(tasks=[task], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        return self.ecs.describe_tasks(tasks=[task])["tasks"][0]

    def reaches(self, groups, address):
        seen = self.wait("tasks_stopped", self.start("call", groups, TARGET=address))
        assert "exitCode" in seen["containers"][0], seen
        assert seen["containers"][0]["exitCode"] in (0, 1), seen["containers"]
        return seen["containers"][0]["exitCode"] == 0


@pytest.fixture(scope="module")
def tasks(ecs, ec2):
    return Tasks(ecs, ec2)


def address_of(task):
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    return details["privateIPv4Address"], details["networkInterfaceId"]


def test_groups_decide_who_reaches_a_task(ec2, ecs, tasks):
    callers = ec2.create_security_group(GroupName="callers", Description="may call")["GroupId"]
    web = ec2.create_security_group(GroupName="web", Description="is called")["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": callers}]}
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[rule])
    task = tasks.start("serve", [web])
    address, interface = address_of(tasks.wait("tasks_running", task))

    assert tasks.reaches([callers], address)
    assert not tasks.reaches([], address), "a member of the default group only"
    assert not tasks.reaches([web], address), "not even the group itself, without a rule"
    ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=[rule])
    assert not tasks.reaches([callers], address), "after the rule is gone"
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8100, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]}])
    assert tasks.reaches([], address), "by address range"

    (seen,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    assert (seen["PrivateIpAddress"], [g["GroupId"] for g in seen["Groups"]]) == (address, [web])
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ec2.delete_security_group(GroupId=web)
    assert error.value.response["Error"]["Code"] == "DependencyViolation"

    ecs.stop_task(task=task)
    tasks.wait("tasks_stopped", task)
    deadline = time.monotonic() + 30
    while ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [web]}])["NetworkInterfaces"]:
        assert time.monotonic() < deadline, "the address of a stopped task was not released"
        time.sleep(0.2)
    ec2.delete_security_group(GroupId=web)


def test_tasks_reach_a_load_balancer_by_its_name_as_its_groups_allow(server, ec2, tasks):
    elb, port = server.client("elbv2"), free_port()
    callers = ec2.create_security_group(GroupName="clients", Description="may call")["GroupId"]
    front = ec2.create_security_group(GroupName="front", Description="of the load balancer")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": callers}]}])
    (balancer,) = elb.create_load_balancer(Name="inside", Scheme="internal", Subnets=tasks.subnets[:2], SecurityGroups=[front])["LoadBalancers"]
    (group,) = elb.create_target_group(Name="inside", Protocol="HTTP", Port=8080, VpcId=balancer["VpcId"], TargetType="ip")["TargetGroups"]
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}])
    served = tasks.start("serve", [front])
    ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": front}]}])
    address, _ = address_of(tasks.wait("tasks_running", served))
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": address}])
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group["TargetGroupArn"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    def exit_code(groups, name):
        asked = tasks.start("ask", groups, NAME=name, PORT=str(port), EXPECT="welcome")
        return tasks.wait("tasks_stopped", asked)["containers"][0].get("exitCode")

    assert exit_code([callers], balancer["DNSName"]) == 0
    assert exit_code([], balancer["DNSName"]) == 1, "the load balancer's group admits callers only"
    server.kill()
    server.start()
    assert exit_code([callers], balancer["DNSName"]) == 0, "after the daemon was killed"
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert exit_code([callers], balancer["DNSName"]) == 1, "its name is gone"


def test_the_rules_stay_in_force_without_the_daemon(server, ec2, tasks):
    web = ec2.create_security_group(GroupName="still", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    address, _ = address_of(tasks.wait("tasks_running", tasks.start("serve", [web])))
    assert tasks.reaches([], address)
    server.kill()
    server.start()
    with contextlib.closing(server.client("ec2")) as again:
        assert again.describe_security_groups(GroupIds=[web])["SecurityGroups"][0]["GroupName"] == "still"
    assert tasks.reaches([], address)
    other = ec2.create_security_group(GroupName="closed", Description="d")["GroupId"]
    ec2.revoke_security_group_egress(GroupId=other, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    assert not tasks.reaches([other], address), "nothing leaves the group of the caller"
