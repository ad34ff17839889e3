"""Health checks in all their forms, with the states and reason codes that DescribeTargetHealth gives.
Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html"""

import concurrent.futures
import contextlib
import http.client
import pathlib
import socket
import sys
import time

import grpc
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from balancers import Echo, TwoBackend, ask, refused, talk, wait  # noqa: E402
from balancers import authority, world  # noqa: E402, F401
from server import free_port  # noqa: E402

QUICK = {"HealthCheckIntervalSeconds": 1, "HealthCheckTimeoutSeconds": 1, "UnhealthyThresholdCount": 2}


def modify(world, group, **check):
    return world.elb.modify_target_group(TargetGroupArn=group, **check)["TargetGroups"][0]


def test_a_live_check_follows_its_path_matcher_and_port(world):
    backend, side = world.backend("one"), world.backend("side")
    backend.health = 204
    group = world.group("live", backend.port, **QUICK, HealthCheckPath="/up?full=1", Matcher={"HttpCode": "200-202,204"})
    port = world.listener(world.balancer(), group)["Port"]
    world.becomes(group, "healthy")
    assert set(backend.probes) == {"/up?full=1"}
    modify(world, group, Matcher={"HttpCode": "200-203"})
    world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")
    assert "[204]" in world.states(group)[0]["TargetHealth"]["Description"]
    modify(world, group, Matcher={"HttpCode": "301,204"})
    world.becomes(group, "healthy")
    modify(world, group, HealthCheckPath="/other")
    wait(lambda: "/other" in backend.probes)
    # At a port of its own: what the traffic's port says does not count any more.
    modify(world, group, HealthCheckPort=str(side.port), Matcher={"HttpCode": "200"})
    wait(lambda: side.probes)
    world.becomes(group, "healthy")
    assert world.states(group)[0]["HealthCheckPort"] == str(side.port)
    side.health = 404
    world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")
    assert ask(port).json["name"] == "one"  # no target is healthy, so all get requests
    modify(world, group, HealthCheckPort="traffic-port", Matcher={"HttpCode": "204"})
    world.becomes(group, "healthy")
    modify(world, group, HealthCheckProtocol="HTTPS")
    world.becomes(group, "unhealthy", "Target.FailedHealthChecks")


def test_every_failure_has_its_reason(world):
    silent, closed, garbled = world.backend("silent"), free_port(), world.keep(Echo())
    silent.health = None
    groups = {reason: world.group(name, port, **QUICK) for name, port, reason in (
        ("silent", silent.port, "Target.Timeout"), ("closed", closed, "Target.FailedHealthChecks"))}
    groups["garbled"] = world.group("garbled", garbled.port, **QUICK)
    balancer = world.balancer()
    for group in groups.values():
        assert world.health(group) == ("unused", "Target.NotInUse")
        world.listener(balancer, group)
    seen = {arn: [] for arn in groups.values()}

    def watch():
        for arn, states in seen.items():
            states.append(world.health(arn))
        return all(states[-1][0] == "unhealthy" for states in seen.values())

    wait(watch, told=lambda: seen)
    for reason, arn in groups.items():
        before = {state for state in seen[arn] if state[0] != "unhealthy"}
        assert before and before <= {("unused", "Target.NotInUse"), ("initial", "Elb.RegistrationInProgress"), ("initial", "Elb.InitialHealthChecking")}
        assert seen[arn][-1][1] == (reason if reason != "garbled" else "Target.FailedHealthChecks"), seen[arn][-1]
    other = world.elb.describe_target_health(TargetGroupArn=groups["garbled"], Targets=[{"Id": "127.0.0.9", "Port": 1}])["TargetHealthDescriptions"][0]
    assert (other["TargetHealth"]["State"], other["TargetHealth"]["Reason"]) == ("unused", "Target.NotRegistered")


def test_a_target_fails_only_after_its_unhealthy_threshold(world):
    backend = world.backend("one")
    group = world.group("threshold", backend.port, **{**QUICK, "UnhealthyThresholdCount": 4})
    world.listener(world.balancer(), group)
    world.becomes(group, "healthy")
    for failures, outcome in ((3, "healthy"), (4, "unhealthy")):
        begun = len(backend.probes)
        backend.health = 500
        wait(lambda: len(backend.probes) >= begun + failures)
        if outcome == "healthy":
            backend.health = 200
            wait(lambda: len(backend.probes) >= begun + failures + 2)
            assert world.health(group)[0] == "healthy"
        else:
            world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")


def test_a_draining_target_says_so_and_answers_what_it_began(world):
    backend = world.backend("one")
    group = world.group("drains", backend.port, **QUICK)
    port = world.listener(world.balancer(), group)["Port"]
    world.becomes(group, "healthy")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, port, "/held")
        wait(lambda: backend.held == 1)
        world.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": backend.port}])
        assert world.health(group) == ("draining", "Target.DeregistrationInProgress")
        wait(lambda: ask(port).status == 503)
        assert world.health(group) == ("draining", "Target.DeregistrationInProgress")
        assert not held.done()
        backend.release.set()
        answer = held.result()
        assert answer.status == 200 and answer.json["path"] == "/held"
    wait(lambda: world.states(group) == [])


def test_a_deregistration_delay_that_is_over_ends_what_is_still_asked(world):
    backend = world.backend("one")
    group = world.group("short", backend.port, **QUICK)
    world.attributes(group, deregistration_delay__timeout_seconds="1")
    port = world.listener(world.balancer(), group)["Port"]
    world.becomes(group, "healthy")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, port, "/held")
        wait(lambda: backend.held == 1)
        world.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": backend.port}])
        while not held.done():  # the backend never answers: whoever ends it is the load balancer
            time.sleep(0.02)
        assert world.states(group) == [], "cut before the delay was over"
        cut = held.exception() or held.result()
        assert isinstance(cut, OSError | http.client.HTTPException) or cut.status in (502, 504), cut
        assert not backend.release.is_set()


@pytest.mark.parametrize("terminates", ["false", "true"])
def test_a_network_load_balancer_ends_connections_after_the_delay_only_where_that_is_asked_for(world, terminates):
    echo = world.keep(Echo())
    group = world.group("net", echo.port, Protocol="TCP", **QUICK)
    world.attributes(group, deregistration_delay__timeout_seconds="1", deregistration_delay__connection_termination__enabled=terminates)
    port = world.listener(world.network_balancer(), group, "TCP")["Port"]
    world.becomes(group, "healthy")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(6)]
        for client in clients:
            client.sendall(b"abc")
            assert client.recv(10) == b"cba"
        world.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": echo.port}])
        wait(lambda: world.states(group) == [])
        if terminates == "true":
            assert [ended(client) for client in clients] == [True] * 6
            return
        other = world.keep(Echo())  # a change that comes after it
        world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": other.port}])
        world.becomes(group, "healthy")
        for client in clients:
            client.sendall(b"xyz")
            assert client.recv(10) == b"zyx"


def ended(client):
    try:
        return client.recv(10) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("version", ["HTTP2", "HTTP2 over TLS"])
def test_targets_may_speak_http2_only(world, authority, version):
    context = authority.server_context("inside.test", alpn=["h2"]) if "TLS" in version else None
    backend = world.backend("two", context, TwoBackend)
    protocol = "HTTPS" if context else "HTTP"
    group = world.group("two", backend.port, Protocol=protocol, HealthCheckProtocol=protocol, ProtocolVersion="HTTP2", **QUICK)
    certificate = authority.load(world.acm, "localhost")
    balancer = world.balancer()
    plain, secure = world.listener(balancer, group), world.listener(balancer, group, "HTTPS", Certificates=[{"CertificateArn": certificate}])
    world.becomes(group, "healthy")
    wait(lambda: ask(plain["Port"]).json == "two")
    assert ask(secure["Port"], method="POST", context=authority.context()).json == "two" and backend.preface > 0
    backend.health = 503
    world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")
    backend.health = 200
    world.becomes(group, "healthy")


@pytest.mark.parametrize("secure", [False, True])
def test_grpc_targets_are_healthy_by_the_code_of_their_method(world, authority, secure):
    class Health(grpc.GenericRpcHandler):
        code = grpc.StatusCode.UNAVAILABLE

        def service(self, call):
            if call.method != "/shop.Health/Check":
                return None

            def check(request, context):
                context.abort(Health.code, "") if Health.code != grpc.StatusCode.OK else None
                return b""

            return grpc.unary_unary_rpc_method_handler(check)

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Health()])
    if secure:
        certificate, key = authority.issue("inside.test")
        target = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        target = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        protocol = "HTTPS" if secure else "HTTP"
        group = world.group("grpc", target, Protocol=protocol, HealthCheckProtocol=protocol, ProtocolVersion="GRPC", HealthCheckPath="/shop.Health/Check",
                            Matcher={"GrpcCode": "0-3,5"}, **QUICK)
        world.listener(world.balancer(), group)
        world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")
        modify(world, group, Matcher={"GrpcCode": "14"})
        world.becomes(group, "healthy")
        modify(world, group, Matcher={"GrpcCode": "0,12"})
        world.becomes(group, "unhealthy", "Target.ResponseCodeMismatch")
        Health.code = grpc.StatusCode.OK
        world.becomes(group, "healthy")
        modify(world, group, HealthCheckPath="/no.Such/Method", Matcher={"GrpcCode": "12"})
        world.becomes(group, "healthy")
    finally:
        server.stop(None)


def test_network_load_balancers_check_by_tcp_http_and_https(world, authority):
    balancer = world.network_balancer()
    context = authority.server_context("inside.test")
    echo, page, secure_page = world.keep(Echo()), world.backend("page"), world.backend("secure page", context)
    page.health = 302  # a network load balancer takes 200 to 399
    group = world.group("net", echo.port, Protocol="TCP", **QUICK)
    described = world.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    assert (described["HealthCheckProtocol"], described["HealthCheckPort"], "Matcher" in described) == ("TCP", "traffic-port", False)
    port = world.listener(balancer, group, "TCP")["Port"]
    world.becomes(group, "healthy")
    wait(lambda: talk(port) == b"cba")
    changed = modify(world, group, HealthCheckProtocol="HTTP", HealthCheckPort=str(page.port))
    assert changed["Matcher"] == {"HttpCode": "200-399"} and changed["HealthCheckPath"] == "/"
    wait(lambda: page.probes)
    world.becomes(group, "healthy")
    page.health = 503
    world.becomes(group, "unhealthy", "Target.FailedHealthChecks")
    modify(world, group, Matcher={"HttpCode": "503"})
    world.becomes(group, "healthy")
    modify(world, group, HealthCheckProtocol="HTTPS", HealthCheckPort=str(secure_page.port), Matcher={"HttpCode": "200"})
    wait(lambda: secure_page.probes)
    world.becomes(group, "healthy")
    modify(world, group, HealthCheckProtocol="TCP", HealthCheckPort=str(free_port()))
    world.becomes(group, "unhealthy", "Target.FailedHealthChecks")
    modify(world, group, HealthCheckPort="traffic-port")
    world.becomes(group, "healthy")


def test_network_load_balancers_speak_tls_to_tls_targets(world, authority):
    balancer = world.network_balancer()
    secure, plain = world.keep(Echo(authority.server_context("inside.test"))), world.keep(Echo())
    certificate = authority.load(world.acm, "db.test")
    group = world.group("tls", secure.port, Protocol="TLS", **QUICK)
    described = world.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    assert (described["Protocol"], described["HealthCheckProtocol"], described["HealthCheckTimeoutSeconds"]) == ("TLS", "TCP", 1)
    port = world.listener(balancer, group, "TLS", Certificates=[{"CertificateArn": certificate}])["Port"]
    world.becomes(group, "healthy")
    wait(lambda: talk(port, authority.context()) == b"cba")
    # A plain target at the end of a TLS group: its check by TCP is good, its connections are not.
    broken = world.group("broken", plain.port, Protocol="TLS", **QUICK)
    other = world.listener(balancer, broken, "TLS", Certificates=[{"CertificateArn": certificate}])["Port"]
    world.becomes(broken, "healthy")

    def breaks():
        try:
            return talk(other, authority.context()) == b""
        except OSError:
            return True

    wait(breaks)


def test_checks_that_do_not_fit_are_refused(world):
    assert "TCP" in refused(world.group, "a", HealthCheckProtocol="TCP")["Message"]
    assert "TLS" in refused(world.group, "a", Protocol="TLS", HealthCheckProtocol="TLS")["Message"]
    assert "200-499" in refused(world.group, "a", Matcher={"HttpCode": "500"})["Message"]
    assert "200-599" in refused(world.group, "a", Protocol="TCP", HealthCheckProtocol="HTTP", Matcher={"HttpCode": "600"})["Message"]
    assert "GrpcCode" in refused(world.group, "a", ProtocolVersion="GRPC", Matcher={"HttpCode": "200"})["Message"]
    assert "0-99" in refused(world.group, "a", ProtocolVersion="GRPC", Matcher={"GrpcCode": "100"})["Message"]
    assert "HealthCheckEnabled" in refused(world.group, "a", HealthCheckEnabled=False)["Message"]
    assert "HealthCheckPort" in refused(world.group, "a", HealthCheckPort="0")["Message"] or "Health check port" in refused(
        world.group, "a", HealthCheckPort="0")["Message"]
    assert refused(world.group, "a", ProtocolVersion="HTTP3")["Code"] == "ValidationError"
    group = world.group("six")
    error = refused(world.elb.register_targets, TargetGroupArn=group, Targets=[{"Id": "::1", "Port": 80}])
    assert error["Code"] == "ValidationError" and "IPv4" in error["Message"]
