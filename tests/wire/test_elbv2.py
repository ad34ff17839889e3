"""Elastic Load Balancing through boto3 and the aws-cli. Targets here are addresses without a task; traffic that reaches tasks is
tested with services, and HAProxy itself in tests/unit/balancer."""

import http.client
import socket
import time

import botocore.exceptions
import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


@pytest.fixture
def elb(server):
    client = server.client("elbv2")
    yield client
    for balancer in client.describe_load_balancers()["LoadBalancers"]:
        client.modify_load_balancer_attributes(
            LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}])
        client.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    for group in client.describe_target_groups()["TargetGroups"]:
        client.delete_target_group(TargetGroupArn=group["TargetGroupArn"])


@pytest.fixture
def network(server):
    ec2 = server.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])
    return vpc, [subnet["SubnetId"] for subnet in subnets]


@pytest.fixture
def make(elb, network):
    vpc, subnets = network

    class Make:
        def balancer(self, name="web", **more):
            return elb.create_load_balancer(Name=name, Subnets=subnets[:2], **more)["LoadBalancers"][0]

        def group(self, name="blue", **more):
            return elb.create_target_group(**({"Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": vpc, "TargetType": "ip"} | more))[
                "TargetGroups"][0]

        def listener(self, balancer, port=None, **action):
            action = action or {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": "nothing",
                                                                                   "ContentType": "text/plain"}}
            return elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port or free_port(),
                                       DefaultActions=[action])["Listeners"][0]

    return Make()


def ask(port, path="/", host="x", limit=10):
    """Asks until somebody listens."""
    deadline = time.monotonic() + limit
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_load_balancer_is_made_described_and_deleted(elb, make, network):
    vpc, subnets = network
    made = make.balancer(Tags=[{"Key": "team", "Value": "sre"}])
    assert made["LoadBalancerArn"].startswith("arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:loadbalancer/app/web/")
    assert made["DNSName"].startswith("web-") and made["DNSName"].endswith(".ap-northeast-1.elb.localhost")
    assert (made["State"]["Code"], made["Type"], made["Scheme"], made["VpcId"]) == ("active", "application", "internet-facing", vpc)
    assert [zone["SubnetId"] for zone in made["AvailabilityZones"]] == subnets[:2]
    assert len(made["SecurityGroups"]) == 1
    assert elb.describe_load_balancers(Names=["web"])["LoadBalancers"] == [made]
    assert make.balancer()["LoadBalancerArn"] == made["LoadBalancerArn"]  # the same again is the same one
    assert refused(make.balancer, Scheme="internal")["Code"] == "DuplicateLoadBalancerName"
    assert elb.describe_tags(ResourceArns=[made["LoadBalancerArn"]])["TagDescriptions"][0]["Tags"] == [{"Key": "team", "Value": "sre"}]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    assert refused(elb.describe_load_balancers, Names=["web"])["Code"] == "LoadBalancerNotFound"


def test_wrong_load_balancers_are_refused_by_name(elb, make, network):
    _, subnets = network
    assert refused(elb.create_load_balancer, Name="a_b", Subnets=subnets[:2])["Code"] == "ValidationError"
    assert refused(elb.create_load_balancer, Name="x", Subnets=subnets[:1])["Code"] == "ValidationError"
    assert refused(elb.create_load_balancer, Name="x", Subnets=["subnet-0000", subnets[0]])["Code"] == "SubnetNotFound"
    assert "Type" in refused(elb.create_load_balancer, Name="x", Subnets=subnets[:2], Type="gateway")["Message"]
    assert refused(elb.create_load_balancer, Name="x", Subnets=subnets[:2], SecurityGroups=["sg-1"])["Code"] == "InvalidSecurityGroup"


def test_attributes_are_acted_upon_or_refused(elb, make):
    arn = make.balancer()["LoadBalancerArn"]
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[
        {"Key": "idle_timeout.timeout_seconds", "Value": "120"}, {"Key": "deletion_protection.enabled", "Value": "true"}])
    attributes = {a["Key"]: a["Value"] for a in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]}
    assert attributes["idle_timeout.timeout_seconds"] == "120"
    assert refused(elb.delete_load_balancer, LoadBalancerArn=arn)["Code"] == "OperationNotPermitted"
    modify = lambda key, value: refused(elb.modify_load_balancer_attributes, LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])
    assert modify("no.such", "1")["Message"] == "Key 'no.such' not recognized"
    assert "access_logs.s3.bucket" in modify("access_logs.s3.enabled", "true")["Message"]
    assert "waf.fail_open.enabled" in modify("waf.fail_open.enabled", "true")["Message"]
    assert modify("idle_timeout.timeout_seconds", "0")["Code"] == "ValidationError"


def test_target_groups(elb, make, network):
    vpc, _ = network
    made = make.group(HealthCheckPath="/up", HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, Matcher={"HttpCode": "200-204,301"})
    assert made["TargetGroupArn"].startswith("arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/blue/")
    assert (made["HealthCheckPath"], made["Matcher"]["HttpCode"], made["HealthyThresholdCount"]) == ("/up", "200-204,301", 5)
    assert refused(make.group, Port=81)["Code"] == "DuplicateTargetGroupName"
    changed = elb.modify_target_group(TargetGroupArn=made["TargetGroupArn"], HealthyThresholdCount=2)["TargetGroups"][0]
    assert (changed["HealthyThresholdCount"], changed["HealthCheckPath"]) == (2, "/up")
    elb.modify_target_group_attributes(TargetGroupArn=made["TargetGroupArn"],
                                       Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
    attributes = {a["Key"]: a["Value"] for a in elb.describe_target_group_attributes(TargetGroupArn=made["TargetGroupArn"])["Attributes"]}
    assert attributes["deregistration_delay.timeout_seconds"] == "5"
    machines = elb.create_target_group(Name="machines", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    assert machines["TargetType"] == "instance"
    elb.delete_target_group(TargetGroupArn=machines["TargetGroupArn"])
    assert "lambda" in refused(make.group, name="x", TargetType="lambda")["Message"]
    assert "UDP" in refused(make.group, name="x", Protocol="UDP")["Message"]
    assert refused(make.group, name="x", HealthCheckPath="up")["Code"] == "ValidationError"
    assert refused(make.group, name="x", Matcher={"HttpCode": "99"})["Code"] == "ValidationError"
    assert refused(make.group, name="x", HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=5)["Code"] == "ValidationError"
    assert refused(elb.describe_target_groups, Names=["none"])["Code"] == "TargetGroupNotFound"
    elb.delete_target_group(TargetGroupArn=made["TargetGroupArn"])
    assert elb.describe_target_groups()["TargetGroups"] == []


def test_a_listener_answers_and_its_default_action_changes(elb, make):
    balancer = make.balancer()
    listener = make.listener(balancer)
    port = listener["Port"]
    status, body, headers = ask(port)
    assert (status, body, headers["server"]) == (404, "nothing", "awselb/2.0")
    elb.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=[
        {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}])
    deadline = time.monotonic() + 10
    while ask(port)[0] != 301 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ask(port, "/a?b=c", "shop.test")[2]["location"] == "https://shop.test:443/a?b=c"
    assert refused(elb.create_listener, LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port,
                   DefaultActions=listener["DefaultActions"])["Code"] == "DuplicateListener"
    error = refused(elb.create_listener, LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTPS", Port=1,
                    DefaultActions=listener["DefaultActions"])
    assert "certificate" in error["Message"]
    elb.delete_listener(ListenerArn=listener["ListenerArn"])
    assert refused(elb.describe_listeners, ListenerArns=[listener["ListenerArn"]])["Code"] == "ListenerNotFound"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"somebody still listens on {port}")


def test_a_taken_port_is_refused_with_its_holder_before_anything_changes(elb, make):
    balancer = make.balancer()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        error = refused(make.listener, balancer=balancer, port=holder.getsockname()[1])
    assert error["Code"] == "InvalidConfigurationRequest" and "is held by" in error["Message"]
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == []


def test_rules_by_priority(elb, make):
    balancer, group = make.balancer(), make.group()
    listener = make.listener(balancer, Type="forward", TargetGroupArn=group["TargetGroupArn"])
    arn = listener["ListenerArn"]
    fixed = lambda text: [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": text, "ContentType": "text/plain"}}]
    path = lambda value: [{"Field": "path-pattern", "Values": [value]}]
    two = elb.create_rule(ListenerArn=arn, Priority=20, Conditions=path("/a/*"), Actions=fixed("two"))["Rules"][0]
    one = elb.create_rule(ListenerArn=arn, Priority=10, Conditions=[{"Field": "host-header", "HostHeaderConfig": {"Values": ["*.one.test"]}}],
                          Actions=fixed("one"))["Rules"][0]
    assert two["RuleArn"].startswith(arn.replace(":listener/", ":listener-rule/"))
    rules = elb.describe_rules(ListenerArn=arn)["Rules"]
    assert [rule["Priority"] for rule in rules] == ["10", "20", "default"] and rules[2]["IsDefault"]
    assert refused(elb.create_rule, ListenerArn=arn, Priority=10, Conditions=path("/"), Actions=fixed("x"))["Code"] == "PriorityInUse"
    assert refused(elb.create_rule, ListenerArn=arn, Priority=11, Conditions=[{"Field": "colour", "Values": ["x"]}],
                   Actions=fixed("x"))["Code"] == "ValidationError"
    assert refused(elb.delete_rule, RuleArn=rules[2]["RuleArn"])["Code"] == "OperationNotPermitted"
    deadline = time.monotonic() + 10
    while ask(listener["Port"], "/a/1")[1] != "two" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ask(listener["Port"], "/a/1")[1] == "two"
    assert ask(listener["Port"], "/a/1", "x.one.test")[1] == "one"
    assert ask(listener["Port"])[0] == 503  # no targets
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": one["RuleArn"], "Priority": 20}, {"RuleArn": two["RuleArn"], "Priority": 10}])
    assert [rule["RuleArn"] for rule in elb.describe_rules(ListenerArn=arn)["Rules"]][:2] == [two["RuleArn"], one["RuleArn"]]
    elb.modify_rule(RuleArn=two["RuleArn"], Conditions=path("/b"))
    assert elb.describe_rules(RuleArns=[two["RuleArn"]])["Rules"][0]["Conditions"][0]["Values"] == ["/b"]
    elb.delete_rule(RuleArn=one["RuleArn"])
    assert refused(elb.describe_rules, RuleArns=[one["RuleArn"]])["Code"] == "RuleNotFound"
    assert refused(elb.delete_target_group, TargetGroupArn=group["TargetGroupArn"])["Code"] == "ResourceInUse"
    assert elb.describe_target_groups(Names=["blue"])["TargetGroups"][0]["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]


def test_what_haproxy_would_refuse_is_not_taken_or_made_to_fit(elb, make):
    listener = make.listener(make.balancer())
    arn, port = listener["ListenerArn"], listener["Port"]
    fixed = lambda **config: [{"Type": "fixed-response", "FixedResponseConfig": config}]
    path = [{"Field": "path-pattern", "Values": ["/x"]}]

    def rule(priority, conditions=path, actions=fixed(StatusCode="200", MessageBody="that")):
        return elb.create_rule(ListenerArn=arn, Priority=priority, Conditions=conditions, Actions=actions)["Rules"][0]

    for value in ("999.1.1.1/8", "a.b.c.d/8", ":::/64", "1..2.3/8", "1.2.3.4", "10.0.0.0/33", "2001:db8::/129"):
        error = refused(rule, priority=1, conditions=[{"Field": "source-ip", "SourceIpConfig": {"Values": [value]}}])
        assert error["Code"] == "ValidationError" and value in error["Message"]
    for wrong in ({"Host": "a b"}, {"Host": "ä"}, {"Path": "/a b"}, {"Query": "a b"}):
        error = refused(rule, priority=1, actions=[{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"} | wrong}])
        assert error["Code"] == "ValidationError" and "printable" in error["Message"]
    rule(1, actions=fixed(StatusCode="204", MessageBody="a body that 204 cannot have"))
    rule(2, [{"Field": "source-ip", "SourceIpConfig": {"Values": ["2001:db8::/32", "::ffff:1.2.3.4/128"]}}])
    rule(3, [{"Field": "path-pattern", "Values": ["/y"]}])
    deadline = time.monotonic() + 10
    while ask(port, "/y")[1] != "that" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ask(port, "/y")[1] == "that" and ask(port, "/x")[:2] == (204, "")


def test_what_is_made_twice_is_made_once(elb, make, network):
    balancer, group, other = make.balancer(), make.group(), make.group("other")
    again = elb.create_load_balancer(Name="web", Subnets=network[1][1::-1])["LoadBalancers"][0]
    assert again["LoadBalancerArn"] == balancer["LoadBalancerArn"] and make.group()["TargetGroupArn"] == group["TargetGroupArn"]
    for different in ({"TargetType": "instance"}, {"ProtocolVersion": "HTTP2"}, {"Port": 81}):
        assert refused(make.group, **different)["Code"] == "DuplicateTargetGroupName"
    listener = make.listener(balancer, Type="forward", TargetGroupArn=group["TargetGroupArn"])
    again = make.listener(balancer, listener["Port"], Type="forward", TargetGroupArn=group["TargetGroupArn"])
    assert again["ListenerArn"] == listener["ListenerArn"]
    error = refused(make.listener, balancer=balancer, port=listener["Port"], Type="forward", TargetGroupArn=other["TargetGroupArn"])
    assert error["Code"] == "DuplicateListener"


def test_weights_are_kept_as_given(elb, make):
    balancer, blue, green = make.balancer(), make.group("blue"), make.group("green")
    weights = [{"TargetGroupArn": blue["TargetGroupArn"], "Weight": 90}, {"TargetGroupArn": green["TargetGroupArn"], "Weight": 10}]
    listener = make.listener(balancer, Type="forward", ForwardConfig={"TargetGroups": weights})
    assert listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"] == weights
    other = make.balancer("other")
    error = refused(make.listener, balancer=other, Type="forward", TargetGroupArn=blue["TargetGroupArn"])
    assert error["Code"] == "TargetGroupAssociationLimit"


def test_targets_and_their_health(elb, make):
    balancer, group = make.balancer(), make.group(HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, UnhealthyThresholdCount=2)
    arn = group["TargetGroupArn"]
    target = {"Id": "172.31.250.9", "Port": 8080}
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": target["Id"]}])
    health = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"][0]
    assert (health["Target"], health["TargetHealth"]["State"], health["TargetHealth"]["Reason"]) == (target, "unused", "Target.NotInUse")
    make.listener(balancer, Type="forward", TargetGroupArn=arn)
    states = []
    deadline = time.monotonic() + 40
    while "unhealthy" not in states and time.monotonic() < deadline:
        health = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"][0]["TargetHealth"]
        states.append(health["State"])
        time.sleep(0.1)
    assert "initial" in states and states[-1] == "unhealthy", states
    assert health["Reason"] in ("Target.Timeout", "Target.FailedHealthChecks") and "last probe" in health["Description"]
    elb.deregister_targets(TargetGroupArn=arn, Targets=[target])
    deadline = time.monotonic() + 15
    while elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"] == []  # idle: gone before the delay is over
    unknown = elb.describe_target_health(TargetGroupArn=arn, Targets=[target])["TargetHealthDescriptions"][0]["TargetHealth"]
    assert (unknown["State"], unknown["Reason"]) == ("unused", "Target.NotRegistered")
    assert refused(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": "8.8.8.8"}])["Code"] == "InvalidTarget"
    assert refused(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": "i-123"}])["Code"] == "InvalidTarget"
    assert "IPv4" in refused(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": "172.31.250.09"}])["Message"]


def test_everything_survives_a_kill_of_the_daemon_and_is_served_meanwhile(fresh_server):
    server = fresh_server
    elb, ec2 = server.client("elbv2"), server.client("ec2")
    subnets = {s["AvailabilityZone"]: s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]}
    balancer = elb.create_load_balancer(Name="web", Subnets=list(subnets.values())[:2])["LoadBalancers"][0]
    port = free_port()
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port, DefaultActions=[
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here", "ContentType": "text/plain"}}])
    assert ask(port)[1] == "here"
    before = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    server.kill()
    assert ask(port)[1] == "here"
    server.start()
    assert elb.describe_load_balancers()["LoadBalancers"] == [balancer]
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == before
    assert ask(port)[1] == "here"


def test_the_aws_cli(server, elb, make):
    balancer = make.balancer("cli")
    listed = server.aws("elbv2", "describe-load-balancers", "--names", "cli")["LoadBalancers"]
    assert listed[0]["LoadBalancerArn"] == balancer["LoadBalancerArn"]
    server.aws("elbv2", "wait", "load-balancer-available", "--names", "cli")
    done = server.aws("elbv2", "describe-target-groups", "--names", "none", check=False)
    assert done.returncode != 0 and "TargetGroupNotFound" in done.stderr
