"""Attributes of load balancers and target groups: what is accepted is acted upon, what is not is refused by name."""

import pathlib
import socket
import socketserver
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from balancers import ask, refused, wait  # noqa: E402
from balancers import authority, world  # noqa: E402, F401


def of_balancer(world, balancer, **values):
    world.elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[
        {"Key": key.replace("__", "."), "Value": value} for key, value in values.items()])


def raw(port, text):
    """One request as it is; the answer up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(text.encode())
        got = b""
        while data := client.recv(65536):
            got += data
    return got.decode()


def test_header_names_that_are_not_valid_are_dropped_where_that_is_asked_for(world):
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer()
    port = world.listener(balancer, group)["Port"]
    world.healthy(group)
    request = "GET / HTTP/1.1\r\nHost: x\r\nX-Fine-1: a\r\nX_Under: b\r\nX.Dot: c\r\nConnection: close\r\n\r\n"
    passed = wait(lambda: "x_under" in (answer := raw(port, request)) and answer)
    assert '"x.dot"' in passed and '"x-fine-1"' in passed
    of_balancer(world, balancer, routing__http__drop_invalid_header_fields__enabled="true")
    dropped = wait(lambda: "x_under" not in (answer := raw(port, request)) and answer)
    assert '"x.dot"' not in dropped and '"x-fine-1": "a"' in dropped and "x-forwarded-for" in dropped


def test_requests_that_could_be_read_in_two_ways_reach_no_target(world):
    """Desync mitigation: what ALB's mode 'defensive' calls severe is refused."""
    backend = world.backend("one")
    group = world.group("blue", backend.port)
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    wait(lambda: ask(port).status == 200)
    for headers in ("Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: +5\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked, identity\r\n",
                    "Bad Name: x\r\n", "Host: y\r\n"):
        answer = raw(port, f"POST / HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\nhello")
        assert answer.startswith("HTTP/1.1 4"), (headers, answer)


def test_tls_headers_and_http2_follow_their_attributes(world, authority):
    arn = authority.load(world.acm, "localhost")
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer()
    port = world.listener(balancer, group, "HTTPS", Certificates=[{"CertificateArn": arn}], SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")["Port"]
    world.healthy(group)
    context = authority.context()
    plain = wait(lambda: ask(port, context=context).json["headers"])
    assert "x-amzn-tls-version" not in plain
    of_balancer(world, balancer, routing__http__x_amzn_tls_version_and_cipher_suite__enabled="true", routing__http2__enabled="false")
    told = wait(lambda: "x-amzn-tls-version" in (headers := ask(port, context=context, headers={"X-Amzn-Tls-Version": "spoofed"}).json["headers"])
                and headers["x-amzn-tls-version"] != "spoofed" and headers)
    assert told["x-amzn-tls-version"] == "TLSv1.3" and told["x-amzn-tls-cipher-suite"].startswith("TLS_")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client, authority.context(["h2", "http/1.1"]).wrap_socket(
            client, server_hostname="localhost") as secure:
        assert secure.selected_alpn_protocol() == "http/1.1"


def test_weighted_random_reaches_every_target(world):
    group = world.group("random", *(world.backend(name).port for name in ("one", "two")))
    world.attributes(group, load_balancing__algorithm__type="weighted_random")
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    wait(lambda: {ask(port).json["name"] for _ in range(20)} == {"one", "two"})


def test_a_client_that_says_nothing_is_let_go_after_the_idle_timeout(world):
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer()
    of_balancer(world, balancer, idle_timeout__timeout_seconds="1")
    port = world.listener(balancer, group)["Port"]
    world.healthy(group)
    wait(lambda: ask(port).status == 200)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while data := client.recv(65536):  # ends without a "Connection: close"
            last = data
        assert last


class Prefaces(socketserver.ThreadingTCPServer):
    """Keeps the first bytes of each connection."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.seen, self.release = [], threading.Event()
        super().__init__(("127.0.0.1", 0), type("Handler", (socketserver.BaseRequestHandler,), {
            "handle": lambda handler: handler.server.seen.append(handler.request.recv(200)) or handler.request.sendall(b"ok")}))
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.port = self.server_address[1]


def test_a_network_load_balancer_tells_the_client_by_proxy_protocol(world):
    target = world.keep(Prefaces())
    group = world.group("proxied", target.port, Protocol="TCP")
    world.attributes(group, proxy_protocol_v2__enabled="true", stickiness__enabled="true", stickiness__type="source_ip")
    port = world.listener(world.network_balancer(), group, "TCP")["Port"]
    world.healthy(group)

    def told():
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"abc")
            return client.recv(2) == b"ok" and client.getsockname()[1]

    source = wait(told)
    preface = target.seen[-1]
    assert preface.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11")
    assert preface[16:20] == socket.inet_aton("127.0.0.1") and int.from_bytes(preface[24:26], "big") == source


@pytest.mark.parametrize("key,value", [
    ("routing.http.desync_mitigation_mode", "monitor"), ("client_keep_alive.seconds", "60"), ("connection_logs.s3.enabled", "true"), ("zonal_shift.config.enabled", "true"),
    ("load_balancing.cross_zone.enabled", "false"), ("ipv6.deny_all_igw_traffic", "true")])
def test_attributes_of_load_balancers_that_nobody_acts_upon_are_refused(world, key, value):
    error = refused(world.elb.modify_load_balancer_attributes, LoadBalancerArn=world.balancer()["LoadBalancerArn"], Attributes=[{"Key": key, "Value": value}])
    assert error["Code"] == "ValidationError" and key in error["Message"] and "leave it at" in error["Message"]


def test_attributes_of_target_groups_are_checked_together(world):
    group = world.group("checked")

    def change(**values):
        return refused(world.attributes, group, **values)

    assert "stickiness.app_cookie.cookie_name" in change(stickiness__enabled="true", stickiness__type="app_cookie")["Message"]
    assert "AWSALB" in change(stickiness__app_cookie__cookie_name="AWSALBMINE")["Message"]
    assert change(slow_start__duration_seconds="60", load_balancing__algorithm__type="least_outstanding_requests")["Code"] == "InvalidConfigurationRequest"
    assert "30" in change(slow_start__duration_seconds="29")["Message"] and "3600" in change(deregistration_delay__timeout_seconds="3601")["Message"]
    assert "anomaly_mitigation" in change(load_balancing__algorithm__anomaly_mitigation="on")["Message"]
    assert "unhealthy_state_routing" in change(target_group_health__unhealthy_state_routing__minimum_healthy_targets__count="2")["Message"]
    assert change(proxy_protocol_v2__enabled="true")["Message"] == "Key 'proxy_protocol_v2.enabled' not recognized"
    kept = {one["Key"]: one["Value"] for one in world.elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]}
    assert (kept["stickiness.enabled"], kept["slow_start.duration_seconds"], kept["load_balancing.algorithm.type"]) == ("false", "0", "round_robin")


def test_priorities_decide_and_move_together(world):
    answers = lambda text: [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": text, "ContentType": "text/plain"}}]
    everywhere = [{"Field": "path-pattern", "Values": ["/*"]}]
    listener = world.listener(world.balancer(), answers("default")[0])
    arn, port = listener["ListenerArn"], listener["Port"]
    one, two = (world.elb.create_rule(ListenerArn=arn, Priority=number, Conditions=everywhere, Actions=answers(text))["Rules"][0]["RuleArn"]
                for number, text in ((10, "one"), (20, "two")))
    wait(lambda: ask(port).json == "one")
    world.elb.set_rule_priorities(RulePriorities=[{"RuleArn": one, "Priority": 20}, {"RuleArn": two, "Priority": 10}])
    wait(lambda: ask(port).json == "two")
    assert refused(world.elb.set_rule_priorities, RulePriorities=[{"RuleArn": one, "Priority": 10}])["Code"] == "PriorityInUse"
    world.elb.set_rule_priorities(RulePriorities=[{"RuleArn": two, "Priority": 50000}])
    wait(lambda: ask(port).json == "one")
    world.elb.delete_rule(RuleArn=one)
    world.elb.delete_rule(RuleArn=two)
    wait(lambda: ask(port).json == "default")


def test_a_redirect_keeps_what_it_is_not_told_to_change(world):
    def redirect(**config):
        return {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **config}}

    listener = world.listener(world.balancer(), redirect(Protocol="HTTPS", Port="443"))
    port = listener["Port"]
    rules = [("/port", redirect(Port="8080")), ("/host", redirect(Host="new.test")), ("/path/*", redirect(Path="/to/#{host}/#{port}/#{path}x")),
             ("/query", redirect(Query="x=1")), ("/asked", redirect(Query="p=#{path}&h=#{host}&q=#{query}", Port="81")), ("/none", redirect(Query="", Path="/gone"))]
    for number, (path, action) in enumerate(rules, 1):
        world.elb.create_rule(ListenerArn=listener["ListenerArn"], Priority=number, Conditions=[{"Field": "path-pattern", "Values": [path]}], Actions=[action])
    to = lambda path: ask(port, path, name="shop.test").getheader("Location")
    wait(lambda: to("/none") == f"http://shop.test:{port}/gone")
    assert to("/a/b?c=d&e") == "https://shop.test:443/a/b?c=d&e"
    assert to("/port?q") == "http://shop.test:8080/port?q" and to("/host") == f"http://new.test:{port}/host"
    assert to("/path/a?b=1") == f"http://shop.test:{port}/to/shop.test/{port}/path/ax?b=1" and to("/query?old") == f"http://shop.test:{port}/query?x=1"
    assert to("/asked?a=b") == "http://shop.test:81/asked?p=asked&h=shop.test&q=a=b"  # the path comes without its slash
    assert "itself" in refused(world.elb.modify_listener, ListenerArn=listener["ListenerArn"], DefaultActions=[redirect()])["Message"]


def test_conditions_of_a_rule_all_hold_and_one_value_of_each_is_enough(world):
    fixed = lambda text: {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": text, "ContentType": "text/plain"}}
    listener = world.listener(world.balancer(), fixed("no"))
    port = listener["Port"]
    rules = [[{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "user-agent", "Values": ["*chrome*", "*SAFARI?"]}},
              {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "ver*", "Value": "1?"}]}}],
             [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8", "2001:db8::/32"]}}],
             [{"Field": "path-pattern", "Values": ["/a.b*(c)$", "/x&y/?"]}],
             [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Note", "Values": ["a\\*b\\?*", "1***x***"]}}],
             [{"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "\\?k", "Value": "\\*"}]}}],
             [{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PURGE"]}}, {"Field": "host-header", "Values": ["?.test"]}]]
    for number, conditions in enumerate(rules, 1):
        world.elb.create_rule(ListenerArn=listener["ListenerArn"], Priority=number, Conditions=conditions, Actions=[fixed(str(number))])
    agent = lambda name: {"User-Agent": name}
    wait(lambda: ask(port, method="PURGE", name="a.test").json == "6")
    said = lambda *arguments, **more: ask(port, *arguments, **more).json
    assert said("/?version=10", headers=agent("My Chrome 1")) == said("/?a=b&VERY=1x", headers=agent("safari5")) == "1"
    assert said("/?version=1", headers=agent("chrome")) == said("/?version=10") == said("/?version=10", headers=agent("safari")) == "no"
    assert said("/") == "no"  # 127.0.0.1 is in neither range
    assert said("/a.bxx(c)$") == said("/x&y/z") == "3" and said("/axbxx(c)$") == said("/x&y/") == "no"
    note = lambda text: said(headers={"X-Note": text})
    assert note("A*b?c") == note("a*B?") == note("1x2") == "4" and note("axb?c") == note("a*bcc") == "no"
    assert said("/??k=*") == said("/?a=1&?k=*") == "5" and said("/?xk=*") == said("/??k=x") == "no"
    assert said(method="PURGE", name="ab.test") == said(method="GET", name="a.test") == "no"
