"""Load balancers as their clients see them: real requests through HAProxy to servers on this host, which are registered as
`instance` targets (machines that Watari does not run)."""

import concurrent.futures
import datetime
import json
import pathlib
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time

import grpc
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from balancers import Echo, ask, refused, talk, wait  # noqa: E402
from balancers import authority, world  # noqa: E402, F401
from server import free_port  # noqa: E402


def handshake(port, name, context):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        names = [value for _, value in secure.getpeercert()["subjectAltName"]]
        return names, secure.selected_alpn_protocol(), secure.version()


def test_certificates_are_checked_before_they_are_taken(world, authority):
    certificate, key = authority.issue("shop.test", "*.shop.test")
    _, other_key = authority.issue("other.test")
    error = refused(world.acm.import_certificate, Certificate=certificate, PrivateKey=other_key)
    assert error["Code"] == "ValidationException" and "does not match" in error["Message"]
    expired, expired_key = authority.issue("old.test", days=-1)
    assert "expired" in refused(world.acm.import_certificate, Certificate=expired, PrivateKey=expired_key)["Message"]
    assert refused(world.acm.import_certificate, Certificate=b"no certificate", PrivateKey=key)["Code"] == "ValidationException"
    stranger, _ = authority.issue("stranger.test")
    assert "chain" in refused(world.acm.import_certificate, Certificate=certificate, PrivateKey=key, CertificateChain=stranger)["Message"]
    arn = world.acm.import_certificate(Certificate=certificate, PrivateKey=key, CertificateChain=authority.ca, Tags=[{"Key": "a", "Value": "b"}])["CertificateArn"]
    detail = world.acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (detail["Status"], detail["Type"], detail["DomainName"], detail["KeyAlgorithm"]) == ("ISSUED", "IMPORTED", "shop.test", "RSA_2048")
    assert detail["SubjectAlternativeNames"] == ["shop.test", "*.shop.test"] and detail["InUseBy"] == []
    assert world.acm.get_certificate(CertificateArn=arn)["CertificateChain"].encode() == authority.ca
    world.acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "c"}])
    world.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert [tag["Key"] for tag in world.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]] == ["c"]
    assert [c["CertificateArn"] for c in world.acm.list_certificates()["CertificateSummaryList"]] == [arn]
    world.acm.delete_certificate(CertificateArn=arn)
    assert refused(world.acm.describe_certificate, CertificateArn=arn)["Code"] == "ResourceNotFoundException"


def test_https_chooses_certificates_by_name_and_replaces_them_without_a_failure(world, authority, server):
    def load(*names):
        certificate, key = authority.issue(*names)
        return world.acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]

    default, wild = load("shop.test"), load("*.api.test")
    backend = world.backend("one")
    group = world.group("blue", backend.port)
    balancer = world.balancer()
    listener = world.listener(balancer, group, "HTTPS", Certificates=[{"CertificateArn": default}], SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
    arn, port = listener["ListenerArn"], listener["Port"]
    world.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": wild}])
    world.healthy(group)
    both = authority.context(["h2", "http/1.1"])
    wait(lambda: handshake(port, "v1.api.test", both)[0] == ["*.api.test"])
    assert handshake(port, "shop.test", both) == (["shop.test"], "h2", "TLSv1.3")
    with pytest.raises(ssl.SSLError):
        handshake(port, "unknown.test", authority.context())  # gets the default one
    curl = subprocess.run(["curl", "-sS", "--http2", "--cacert", authority.ca_file, "--resolve", f"shop.test:{port}:127.0.0.1", "-w", "\n%{http_version}",
                           f"https://shop.test:{port}/a?b"], capture_output=True, text=True, check=True).stdout
    body, version = curl.rsplit("\n", 1)
    came = json.loads(body)
    assert version == "2" and came["path"] == "/a?b"
    assert (came["headers"]["x-forwarded-proto"], came["headers"]["x-forwarded-port"]) == ("https", str(port))
    described = world.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]
    assert described["Certificates"] == [{"CertificateArn": default}] and described["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert {c["CertificateArn"]: c["IsDefault"] for c in world.elb.describe_listener_certificates(ListenerArn=arn)["Certificates"]} == {default: True, wild: False}
    assert refused(world.acm.delete_certificate, CertificateArn=default)["Code"] == "ResourceInUseException"
    assert world.acm.describe_certificate(CertificateArn=default)["Certificate"]["InUseBy"] == [balancer["LoadBalancerArn"]]

    # The same ARN gets another certificate while clients ask without pause.
    done, failed = threading.Event(), []

    def client():
        while not done.is_set():
            try:
                handshake(port, "shop.test", both)
            except OSError as error:
                failed.append(error)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = [pool.submit(client) for _ in range(3)]
        certificate, key = authority.issue("shop.test", "www.shop.test")
        world.acm.import_certificate(CertificateArn=default, Certificate=certificate, PrivateKey=key)
        try:
            wait(lambda: handshake(port, "www.shop.test", both)[0] == ["shop.test", "www.shop.test"])
        finally:
            done.set()
        [client.result() for client in clients]
    assert failed == []

    # Keys lie nowhere on the disk.
    secret = key.decode().splitlines()[3].encode()
    assert not any(secret in file.read_bytes() for file in server.root.rglob("*") if file.is_file())

    # A policy that wants TLS 1.3.
    old = authority.context(newest=ssl.TLSVersion.TLSv1_2)
    assert handshake(port, "shop.test", old)[2] == "TLSv1.2"
    world.elb.modify_listener(ListenerArn=arn, SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06")

    def refuses_old():
        try:
            handshake(port, "shop.test", old)
        except ssl.SSLError:
            return True

    wait(refuses_old)
    assert handshake(port, "shop.test", both)[2] == "TLSv1.3"
    world.elb.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": wild}])
    world.acm.delete_certificate(CertificateArn=wild)


def test_load_balancers_on_one_port_are_told_apart_by_their_names_rules_and_certificates(world, authority):
    balancers = {name: world.balancer(name) for name in ("shop", "admin")}
    groups = {name: world.group(name, world.backend(name).port) for name in balancers}

    def share(protocol, **certificates):
        """Listeners of both on one port; it and their ARNs."""
        port = free_port()
        return port, {name: world.elb.create_listener(
            LoadBalancerArn=balancers[name]["LoadBalancerArn"], Protocol=protocol, Port=port, DefaultActions=[{"Type": "forward", "TargetGroupArn": groups[name]}],
            **({"Certificates": [{"CertificateArn": certificates[name]}]} if certificates else {}))["Listeners"][0]["ListenerArn"] for name in balancers}

    def who(port, name, context=None):
        answer = ask(port, name=name, context=context)
        return answer.json["name"] if answer.status == 200 else answer.status
    port, listeners = share("HTTP")
    for name, balancer in balancers.items():
        world.healthy(groups[name])
        wait(lambda: who(port, balancer["DNSName"]) == name)
        assert who(port, balancer["DNSName"].upper()) == name
    assert who(port, "www.shop.localhost") == 404
    world.elb.create_rule(ListenerArn=listeners["admin"], Priority=1, Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}],
                          Conditions=[{"Field": "host-header", "Values": ["*.admin.localhost"]}, {"Field": "path-pattern", "Values": ["/closed"]}])
    wait(lambda: who(port, "www.admin.localhost") == "admin")  # all rules of the load balancer that has one for the name
    assert ask(port, "/closed", name="www.admin.localhost").status == 403
    assert [who(port, name) for name in ("www.shop.localhost", balancers["shop"]["DNSName"])] == [404, "shop"]

    port, _ = share("HTTPS", **{name: authority.load(world.acm, f"{name}.localhost", f"*.{name}.localhost") for name in balancers})
    context = authority.context()

    def serves(name):
        try:
            return who(port, f"www.{name}.localhost", context) == name
        except (ssl.SSLError, ConnectionError):  # its listener is on its way
            return False
    wait(lambda: serves("shop") and serves("admin"))
    assert [who(port, name, context) for name in ("shop.localhost", "admin.localhost", "a.admin.localhost")] == ["shop", "admin", "admin"]


def test_https_listeners_are_refused_when_they_do_not_fit(world, authority):
    certificate, key = authority.issue("shop.test")
    arn = world.acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
    balancer, fixed = world.balancer(), {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    listen = lambda **more: refused(world.listener, balancer, fixed, **more)  # noqa: E731
    assert "certificate must be specified" in listen(protocol="HTTPS")["Message"]
    assert listen(protocol="HTTPS", Certificates=[{"CertificateArn": arn + "0"}])["Code"] == "CertificateNotFound"
    assert listen(protocol="HTTPS", Certificates=[{"CertificateArn": arn}], SslPolicy="none")["Code"] == "SSLPolicyNotFound"
    assert "HTTP" in listen(Certificates=[{"CertificateArn": arn}])["Message"]
    assert "TCP" in listen(protocol="TCP")["Message"]
    policies = world.elb.describe_ssl_policies()["SslPolicies"]
    strict = next(p for p in policies if p["Name"] == "ELBSecurityPolicy-TLS13-1-3-2021-06")
    assert strict["SslProtocols"] == ["TLSv1.3"] and strict["Ciphers"][0] == {"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1}


def test_every_condition_and_action(world):
    names = {}
    for name in ("default", "host", "path", "header", "method", "query", "source"):
        names[name] = world.group(name, world.backend(name).port)
    listener = world.listener(world.balancer(), names["default"])
    arn, port = listener["ListenerArn"], listener["Port"]
    rules = [("host", {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.shop.?est"]}}),
             ("path", {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/img/*.p?g", "/exact"]}}),
             ("header", {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Beta", "Values": ["yes*"]}}),
             ("method", {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT", "DELETE"]}}),
             ("query", {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2*"}, {"Value": "beta"}]}}),
             ("source", {"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}})]
    for priority, (name, condition) in enumerate(rules, 10):
        more = [{"Field": "path-pattern", "Values": ["/from"]}] if name == "source" else []
        world.elb.create_rule(ListenerArn=arn, Priority=priority, Conditions=[condition, *more], Actions=[{"Type": "forward", "TargetGroupArn": names[name]}])
    for group in names.values():
        world.healthy(group)

    def to(path="/", **more):
        return ask(port, path, **more).json["name"]

    wait(lambda: to("/from") == "source")
    assert to() == to("/img/a.pdf") == to("/Exact") == to(headers={"X-Beta": "no"}) == to("/?v=1") == to("/?w=2") == "default"
    assert to(name="a.shop.test") == to(name="A.SHOP.test:80") == "host" and to(name="shop.test") == "default"
    assert to("/img/a.png") == to("/exact") == to("/exact?x=1") == "path"
    assert to(headers={"X-Beta": "yes, please"}) == "header"
    assert to(method="PUT") == to(method="DELETE") == "method" and to(method="POST") == "default"
    assert to("/?v=20") == to("/?a=b&beta") == "query"

    # Actions of other kinds between the rules: priorities decide.
    world.elb.create_rule(ListenerArn=arn, Priority=1, Conditions=[{"Field": "path-pattern", "Values": ["/gone"]}], Actions=[
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "410", "ContentType": "application/json", "MessageBody": "{\"gone\": true}"}}])
    world.elb.create_rule(ListenerArn=arn, Priority=2, Conditions=[{"Field": "path-pattern", "Values": ["/old/*"]}], Actions=[
        {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Host": "new.#{host}", "Port": "8443", "Path": "/x/#{path}", "Query": "was=#{query}&p=#{port}",
                                                "StatusCode": "HTTP_302"}}])
    gone = wait(lambda: (answer := ask(port, "/gone", method="PUT")).status == 410 and answer)
    assert (gone.json, gone.getheader("Content-Type")) == ({"gone": True}, "application/json")
    moved = wait(lambda: (answer := ask(port, "/old/a?b=c", name="shop.test")).status == 302 and answer)
    assert moved.getheader("Location") == f"https://new.shop.test:8443/x/old/a?was=b=c&p={port}"
    assert to("/img/a.png") == "path" and to() == "default"


def test_a_port_whose_listener_is_gone_refuses_connections(world):
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer()
    stays, goes = world.listener(balancer, group), world.listener(balancer, group)
    world.healthy(group)
    assert ask(goes["Port"]).status == 200
    world.elb.delete_listener(ListenerArn=goes["ListenerArn"])

    def is_refused():
        try:
            socket.create_connection(("127.0.0.1", goes["Port"]), timeout=5).close()
        except ConnectionRefusedError:
            return True

    wait(is_refused)
    assert ask(stays["Port"]).status == 200


def test_sticky_clients_stay_with_a_target_or_a_target_group(world):
    one, two, other = (world.backend(name) for name in ("one", "two", "other"))
    pair, single = world.group("pair", one.port, two.port), world.group("single", other.port)
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": pair, "Weight": 1}, {"TargetGroupArn": single, "Weight": 1}],
                                                   "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}}
    listener = world.listener(world.balancer(), action)
    assert listener["DefaultActions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 60}
    port = listener["Port"]
    world.attributes(pair, stickiness__enabled="true", stickiness__lb_cookie__duration_seconds="77")
    for group in (pair, single):
        world.healthy(group)

    def cookies_of(answer):
        return {line.split("=")[0]: line for line in answer.headers.get_all("Set-Cookie") or []}

    def client(wanted):
        """A client that got this target first: its cookies."""
        for _ in range(100):
            answer = ask(port)
            if answer.status == 200 and answer.json["name"] == wanted:
                return cookies_of(answer)
        raise AssertionError(wanted)

    wait(lambda: "AWSALB" in cookies_of(ask(port)))
    for name in ("one", "two", "other"):
        cookies = client(name)
        assert "Max-Age=60" in cookies["AWSALBTG"] and ("AWSALB" in cookies) == (name != "other")
        assert name == "other" or "Max-Age=77" in cookies["AWSALB"]
        header = "; ".join(line.split(";")[0] for line in cookies.values())
        assert {ask(port, headers={"Cookie": header}).json["name"] for _ in range(20)} == {name}
    # A target that drains gets none of its sticky clients' requests any more.
    header = "; ".join(line.split(";")[0] for line in client("one").values())
    world.elb.deregister_targets(TargetGroupArn=pair, Targets=[{"Id": "127.0.0.1", "Port": one.port}])
    wait(lambda: ask(port, headers={"Cookie": header}).json["name"] == "two")
    assert {ask(port, headers={"Cookie": header}).json["name"] for _ in range(20)} == {"two"}


def test_an_applications_cookie_makes_its_clients_sticky(world):
    backends = [world.backend(name) for name in ("one", "two", "three")]
    group = world.group("app", *(backend.port for backend in backends))
    port = world.listener(world.balancer(), group)["Port"]
    world.attributes(group, stickiness__enabled="true", stickiness__type="app_cookie", stickiness__app_cookie__cookie_name="SESSION")
    world.healthy(group)
    wait(lambda: ask(port).status == 200)
    assert ask(port).getheader("Set-Cookie") is None
    for backend in backends:
        backend.cookie = "SESSION=x"
    first = wait(lambda: len((answer := ask(port)).headers.get_all("Set-Cookie")) == 2 and answer)
    header = "; ".join(line.split(";")[0] for line in first.headers.get_all("Set-Cookie"))
    assert "AWSALBAPP-0=" in header
    assert {ask(port, headers={"Cookie": header}).json["name"] for _ in range(20)} == {first.json["name"]}


def test_forwarded_and_trace_headers_follow_the_attributes(world):
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer()
    port = world.listener(balancer, group)["Port"]
    world.healthy(group)

    def headers(**sent):
        return ask(port, headers={key.replace("_", "-"): value for key, value in sent.items()}).json["headers"]

    def attribute(key, value):
        world.elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[{"Key": key, "Value": value}])

    plain = wait(lambda: headers())
    assert (plain["x-forwarded-for"], plain["x-forwarded-proto"], plain["x-forwarded-port"]) == ("127.0.0.1", "http", str(port))
    assert plain["x-amzn-trace-id"].startswith("Root=1-") and len(plain["x-amzn-trace-id"]) == 40
    spoofed = headers(X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https", X_Forwarded_Port="1", X_Amzn_Trace_Id="Root=1-2-3;Sampled=1")
    assert (spoofed["x-forwarded-for"], spoofed["x-forwarded-proto"], spoofed["x-forwarded-port"]) == ("1.2.3.4, 127.0.0.1", "http", str(port))
    assert spoofed["x-amzn-trace-id"].startswith("Self=1-") and spoofed["x-amzn-trace-id"].endswith(";Root=1-2-3;Sampled=1")
    # A Self that came is replaced, wherever it stands.
    for came in ("Self=1-67891234-12456789abcdef012345678;Root=1-2-3;Sampled=1", "Root=1-2-3;Self=1-4-5;Sampled=1", "Root=1-2-3;Sampled=1;Self=1-4-5"):
        trace = headers(X_Amzn_Trace_Id=came)["x-amzn-trace-id"]
        assert trace.count("Self=") == 1 and trace.startswith("Self=1-") and trace[40:] == ";Root=1-2-3;Sampled=1", trace
    trace = headers(X_Amzn_Trace_Id="CalledFrom=app")["x-amzn-trace-id"]
    assert trace.startswith("Root=1-") and trace[40:] == ";CalledFrom=app"
    attribute("routing.http.xff_client_port.enabled", "true")
    wait(lambda: headers()["x-forwarded-for"].startswith("127.0.0.1:"))
    attribute("routing.http.xff_header_processing.mode", "preserve")
    wait(lambda: headers(X_Forwarded_For="1.2.3.4")["x-forwarded-for"] == "1.2.3.4")
    attribute("routing.http.xff_header_processing.mode", "remove")
    wait(lambda: "x-forwarded-for" not in headers(X_Forwarded_For="1.2.3.4"))


def test_websockets_pass(world):
    group = world.group("blue", world.backend("one").port)
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    wait(lambda: ask(port).status == 200)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 101")
        for message in (b"\x81\x05hello", b"\x00\xff" * 100):
            client.sendall(message)
            assert client.recv(1024) == message
        # It stays open over a change that replaces the HAProxy process.
        world.listener(world.balancer("second"), fixed_answer())
        time.sleep(0.5)
        client.sendall(b"still")
        assert client.recv(1024) == b"still"


def fixed_answer():
    return {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}


def test_grpc_passes_with_trailers_and_streams(world, authority):
    class Echo(grpc.GenericRpcHandler):
        def service(self, call):
            if call.method == "/test.Echo/One":
                return grpc.unary_unary_rpc_method_handler(lambda request, context: request + b"!")
            if call.method == "/test.Echo/Headers":
                return grpc.unary_unary_rpc_method_handler(lambda request, context: json.dumps(dict(context.invocation_metadata())).encode())
            if call.method == "/test.Echo/Many":
                return grpc.stream_stream_rpc_method_handler(lambda requests, context: (request * 2 for request in requests))

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Echo()])
    target = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        certificate, key = authority.issue("localhost")
        arn = world.acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
        group = world.group("grpc", target, ProtocolVersion="GRPC", Matcher={"GrpcCode": "12"})
        described = world.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
        assert (described["ProtocolVersion"], described["Matcher"], described["HealthCheckPath"]) == ("GRPC", {"GrpcCode": "12"}, "/AWS.ALB/healthcheck")
        port = world.listener(world.balancer(), group, "HTTPS", Certificates=[{"CertificateArn": arn}])["Port"]
        world.healthy(group)
        credentials = grpc.ssl_channel_credentials(authority.ca)
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            grpc.channel_ready_future(channel).result(10)
            assert channel.unary_unary("/test.Echo/One")(b"hello", timeout=5) == b"hello!"
            assert list(channel.stream_stream("/test.Echo/Many")(iter([b"a", b"b"]), timeout=5)) == [b"aa", b"bb"]
            came = json.loads(channel.unary_unary("/test.Echo/Headers")(b"", timeout=5, metadata=[("x-forwarded-for", "1.2.3.4"), ("mine", "yes")]))
            assert (came["x-forwarded-proto"], came["x-forwarded-port"], came["mine"]) == ("https", str(port), "yes")
            assert came["x-forwarded-for"] in ("1.2.3.4, 127.0.0.1", "1.2.3.4, ::1")
            assert came["x-amzn-trace-id"].startswith("Root=1-")
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary("/test.Echo/None")(b"", timeout=5)
            assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
        world.elb.modify_target_group(TargetGroupArn=group, Matcher={"GrpcCode": "0"})
        wait(lambda: world.states(group)[0]["TargetHealth"]["State"] == "unhealthy")
    finally:
        server.stop(None)


def test_network_load_balancers_forward_bytes(world, authority, server):
    arn = authority.load(world.acm, "db.test")
    group = world.group("tcp", world.keep(Echo()).port, Protocol="TCP")
    balancer = world.elb.create_load_balancer(Name="net", Type="network", Scheme="internal", Subnets=world.subnets[:1])["LoadBalancers"][0]
    assert (balancer["Type"], balancer["Scheme"], ":loadbalancer/net/" in balancer["LoadBalancerArn"]) == ("network", "internal", True)
    plain, secure = world.listener(balancer, group, "TCP"), world.listener(balancer, group, "TLS", Certificates=[{"CertificateArn": arn}])
    world.healthy(group)
    wait(lambda: talk(plain["Port"]) == b"cba")
    assert talk(secure["Port"], authority.context()) == b"cba"
    web = world.balancer("web")
    assert refused(world.listener, web, group)["Code"] == "InvalidConfigurationRequest"
    assert refused(world.listener, balancer, fixed_answer(), "TCP")["Code"] == "InvalidLoadBalancerAction"
    rule = {"ListenerArn": plain["ListenerArn"], "Priority": 1, "Conditions": [{"Field": "path-pattern", "Values": ["/"]}]}
    assert "no rules" in refused(world.elb.create_rule, **rule, Actions=[{"Type": "forward", "TargetGroupArn": group}])["Message"]
    watch, of = server.client("cloudwatch"), {"Name": "LoadBalancer", "Value": balancer["LoadBalancerArn"].split(":loadbalancer/")[1]}
    now = datetime.datetime.now(datetime.timezone.utc)

    def metric(name, *dimensions, stat="Sum"):
        points = watch.get_metric_statistics(Namespace="AWS/NetworkELB", MetricName=name, Dimensions=[of, *dimensions], Period=3600, Statistics=[stat],
                                             StartTime=now - datetime.timedelta(hours=2), EndTime=now + datetime.timedelta(hours=1))["Datapoints"]
        return sum(point[stat] for point in points)

    wait(lambda: metric("NewFlowCount") >= 2)
    with socket.create_connection(("127.0.0.1", plain["Port"])) as held:
        held.sendall(b"abc")
        assert held.recv(10) == b"cba"
        wait(lambda: metric("ActiveFlowCount", stat="Maximum") >= 1)
    assert metric("HealthyHostCount", {"Name": "TargetGroup", "Value": group.rsplit(":", 1)[1]}, stat="Maximum") == 1
    assert "either HTTP" in refused(world.elb.create_listener, LoadBalancerArn=web["LoadBalancerArn"], Protocol="HTTP", Port=plain["Port"],
                                    DefaultActions=[fixed_answer()])["Message"]


def test_health_goes_through_aws_states_with_reason_codes(world):
    backend, other = world.backend("one"), world.backend("two")
    group = world.group("blue", backend.port, other.port, UnhealthyThresholdCount=2)
    assert {(t["TargetHealth"]["State"], t["TargetHealth"]["Reason"]) for t in world.states(group)} == {("unused", "Target.NotInUse")}
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    backend.health = 503

    def state():
        return next(t["TargetHealth"] for t in world.states(group) if t["Target"]["Port"] == backend.port)

    wait(lambda: state()["State"] == "unhealthy")
    assert state()["Reason"] == "Target.ResponseCodeMismatch" and "[503]" in state()["Description"]
    assert {ask(port).json["name"] for _ in range(10)} == {"two"}
    other.health = 500  # now none is healthy: all get traffic
    wait(lambda: {ask(port).json["name"] for _ in range(10)} == {"one", "two"})
    backend.health = 200
    wait(lambda: state()["State"] == "healthy")
    world.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": backend.port}])
    wait(lambda: len(world.states(group)) == 1)


def test_targets_may_speak_https(world, authority):
    """ALB does not verify its targets' certificates, so any name will do."""
    secure, plain = world.backend("secure", authority.server_context("inside.test")), world.backend("plain")
    group = world.group("secure", secure.port, plain.port, Protocol="HTTPS", HealthCheckProtocol="HTTPS", UnhealthyThresholdCount=2)
    port = world.listener(world.balancer(), group)["Port"]
    states = lambda: {t["Target"]["Port"]: t["TargetHealth"]["State"] for t in world.states(group)}
    wait(lambda: states() == {secure.port: "healthy", plain.port: "unhealthy"})
    assert {ask(port).json["name"] for _ in range(10)} == {"secure"}


def test_least_outstanding_requests_go_to_whom_has_the_fewest(world):
    busy, idle = world.backend("busy"), world.backend("idle")
    group = world.group("least", busy.port)
    world.attributes(group, load_balancing__algorithm__type="least_outstanding_requests")
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        held = [pool.submit(ask, port, "/held") for _ in range(4)]
        wait(lambda: busy.held == 4)
        world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": idle.port}])
        world.healthy(group)
        seen = {ask(port).json["name"] for _ in range(20)}  # in turn, half of them would go to the busy one
        busy.release.set()
        assert seen == {"idle"} and {one.result().json["name"] for one in held} == {"busy"}


def test_a_target_starts_slowly_where_that_is_asked_for(world):
    group = world.group("slow", world.backend("old").port, HealthyThresholdCount=2)
    port = world.listener(world.balancer(), group)["Port"]
    world.healthy(group)
    world.attributes(group, slow_start__duration_seconds="900")
    world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": world.backend("new").port}])
    world.healthy(group)
    names = [ask(port).json["name"] for _ in range(100)]
    assert names.count("new") < 25  # without, it would be half of them; its share grows over fifteen minutes


def test_access_logs_go_to_a_log_group(world, server):
    logs = server.client("logs")
    group = world.group("blue", world.backend("one").port)
    balancer = world.balancer("logged")
    arn, port = balancer["LoadBalancerArn"], world.listener(balancer, group)["Port"]

    def attributes(**values):
        return [{"Key": "access_logs.s3." + key, "Value": value} for key, value in values.items()]

    error = refused(world.elb.modify_load_balancer_attributes, LoadBalancerArn=arn, Attributes=attributes(enabled="true", bucket="mine"))
    assert "watari-logs" in error["Message"]
    world.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes(enabled="true", bucket="watari-logs"))
    world.healthy(group)

    def lines():
        names = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
        if "/watari/elb/logged" not in names:
            return []
        return [shlex.split(event["message"]) for event in logs.filter_log_events(logGroupName="/watari/elb/logged")["events"]]

    wait(lambda: ask(port, "/first").status == 200 and lines())
    asked = [f"/status/{(200, 404, 500)[i % 3]}?n={i}" for i in range(50)]
    for path in asked:
        ask(port, path, headers={"User-Agent": 'a "quoted" agent'})
    wait(lambda: len([line for line in lines() if "?n=" in line[12]]) >= len(asked))
    found = [line for line in lines() if "?n=" in line[12]]
    assert [line[12] for line in found] == [f"GET http://localhost:{port}{path} HTTP/1.1" for path in asked]
    line = found[0]
    assert len(line) == 30 and line[0] == "http" and line[2] == arn.split(":loadbalancer/")[1]
    assert line[3].startswith("127.0.0.1:") and line[4] == f"127.0.0.1:{world.backends[0].port}"
    assert line[8:10] == ["200", "200"] and line[16] == group and line[17].startswith("Root=1-") and line[20] == "0" and line[22] == "forward"
    assert [line[8] for line in found[:3]] == ["200", "404", "500"]
    listener = world.elb.describe_listeners(LoadBalancerArn=arn)["Listeners"][0]["ListenerArn"]
    world.elb.create_rule(ListenerArn=listener, Priority=7, Conditions=[{"Field": "path-pattern", "Values": ["/old"]}], Actions=[
        {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Host": "new.test", "Query": "p=#{path}&#{query}"}}])
    moved = wait(lambda: (answer := ask(port, "/old?last=1")).status == 301 and answer)
    ask(port, "/traced?last", headers={"X-Amzn-Trace-Id": "Root=1-2-3;Sampled=1"})
    with socket.create_connection(("127.0.0.1", port)) as client:  # goes away before all of its request is there
        client.sendall(b"POST /left?last HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    last = lambda: {line[12].split("/")[3].split("?")[0]: line for line in lines() if "last" in line[12]}
    wait(lambda: len(last()) == 3, told=last)
    assert last()["old"][22:24] == ["redirect", moved.getheader("Location")] and moved.getheader("Location") == f"http://new.test:{port}/old?p=old&last=1"
    trace = last()["traced"][17]
    assert trace.startswith("Self=1-") and trace.endswith(";Root=1-2-3;Sampled=1")
    assert last()["left"][8:10] == ["460", "-"]


def test_errors_are_albs_and_the_access_log_and_metrics_agree(world, server):
    refuses, slow, full = free_port(), world.backend("slow"), socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    full_port = full.getsockname()[1]
    waiting = [socket.socket() for _ in range(3)]  # so that nobody else can connect: packets go unanswered
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", full_port))
    balancer = world.balancer("errors")
    listener = world.listener(balancer, world.group("empty"))
    port = listener["Port"]
    for number, (name, target) in enumerate((("refuses", refuses), ("held", slow.port), ("full", full_port)), 1):
        world.elb.create_rule(ListenerArn=listener["ListenerArn"], Priority=number, Conditions=[{"Field": "path-pattern", "Values": ["/" + name]}],
                              Actions=[{"Type": "forward", "TargetGroupArn": world.group(name, target)}])
    world.elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[
        {"Key": "idle_timeout.timeout_seconds", "Value": "1"}, {"Key": "access_logs.s3.enabled", "Value": "true"}, {"Key": "access_logs.s3.bucket", "Value": "watari-logs"}])
    logs = server.client("logs")

    def lines():
        names = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
        events = logs.filter_log_events(logGroupName="/watari/elb/errors")["events"] if "/watari/elb/errors" in names else []
        return [shlex.split(event["message"]) for event in events]

    first = []  # the first of them come before the access log is on

    def refused():
        first.append(ask(port, "/refuses?first").status)
        return first[-1] == 502 and lines()

    wait(refused)
    asked = {"/": 503, "/refuses": 502, "/held": 504, "/full": 504}  # /held: connected, and no answer within the idle timeout
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = {path: pool.submit(ask, port, path, headers={"X-Forwarded-For": "1.2.3.4"}) for path in asked}
        got = {path: answer.result() for path, answer in answers.items()}
    assert {path: answer.status for path, answer in got.items()} == asked
    titles = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
    assert all(f"<h1>{titles[asked[path]]}</h1>" in answer.json for path, answer in got.items()), {path: answer.json for path, answer in got.items()}
    assert {answer.getheader("Server") for answer in got.values()} == {"awselb/2.0"}
    def logged():
        return {line[12].split(" ")[1].split(str(port))[1]: (line[8], line[9]) for line in lines() if "first" not in line[12]}

    wait(lambda: set(asked) <= set(logged()), told=logged)
    assert {path: logged()[path] for path in asked} == {path: (str(status), "-") for path, status in asked.items()}
    for one in (full, *waiting):
        one.close()
    # Also a request that found no target is an error of the load balancer.
    watch = server.client("cloudwatch")

    def metric(name):
        now = datetime.datetime.now(datetime.timezone.utc)
        query = {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": [
            {"Name": "LoadBalancer", "Value": balancer["LoadBalancerArn"].split(":loadbalancer/")[1]}]}, "Period": 3600, "Stat": "Sum"}
        return sum(watch.get_metric_data(MetricDataQueries=[{"Id": "m", "MetricStat": query}], StartTime=now - datetime.timedelta(hours=2),
                                         EndTime=now + datetime.timedelta(hours=1))["MetricDataResults"][0]["Values"])

    errors = len(first) + len(asked)
    wait(lambda: metric("HTTPCode_ELB_5XX_Count") == errors, told=lambda: (metric("HTTPCode_ELB_5XX_Count"), errors))
    assert metric("HTTPCode_Target_5XX_Count") == 0
    apart = {502: first.count(502) + 1, 503: first.count(503) + 1, 504: 2}
    assert sum(apart.values()) == errors
    wait(lambda: {status: metric(f"HTTPCode_ELB_{status}_Count") for status in apart} == apart,
         told=lambda: ({status: metric(f"HTTPCode_ELB_{status}_Count") for status in apart}, apart))
