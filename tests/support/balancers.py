"""Load balancers and servers behind them, as the tests of their traffic need them. `world` and `authority` are fixtures, to be imported."""

import base64
import hashlib
import http.client
import http.server
import json
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

import botocore.exceptions
import pytest

from server import free_port


def refused(call, *arguments, **more):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(*arguments, **more)
    return error.value.response["Error"]


class Backend(http.server.ThreadingHTTPServer):
    """Answers with its name, the path, and the headers that came; /status/N with N; /held when `release` is set; probes with the status
    `health` (None: when `release` is set), and keeps their paths."""

    daemon_threads = True

    def __init__(self, name, context=None):
        self.name, self.health, self.cookie = name, 200, None
        self.held, self.release, self.probes = 0, threading.Event(), []
        super().__init__(("127.0.0.1", 0), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.port = self.server_address[1]

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # probes and requests that are cut break off
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            return self.websocket()
        if self.headers.get("User-Agent") == "ELB-HealthChecker/2.0":
            self.server.probes.append(self.path)
            if self.server.health is None:
                self.server.release.wait(30)
            return self.answer(self.server.health or 200, "")
        if self.path == "/held":
            self.server.held += 1
            self.server.release.wait(30)
        status = int(self.path.split("?")[0].split("/")[2]) if self.path.startswith("/status/") else 200
        self.answer(status, json.dumps({"name": self.server.name, "path": self.path, "method": self.command,
                                        "headers": {k.lower(): v for k, v in self.headers.items()}}))

    do_POST = do_PUT = do_DELETE = do_GET

    def answer(self, status, text):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        if self.server.cookie:
            self.send_header("Set-Cookie", self.server.cookie)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def websocket(self):
        """Takes the connection over and sends back every byte that comes."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while data := self.connection.recv(1024):
            self.connection.sendall(data)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


class TwoBackend(socketserver.ThreadingTCPServer):
    """Speaks HTTP/2 only (with `context` over TLS): every request is answered with the status `health` and the server's name. It does not
    read headers, so it needs no HPACK."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, name, context=None):
        self.name, self.health, self.context, self.preface, self.release = name, 200, context, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), TwoHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.port = self.server_address[1]


class TwoHandler(socketserver.BaseRequestHandler):
    """Source: RFC 9113, 3.4 (preface), 4.1 (frames); RFC 7541, 6.2.2 and appendix A (index 8 is :status)."""

    DATA, HEADERS, SETTINGS, PING, END_STREAM, ACK = 0, 1, 4, 6, 1, 1

    def handle(self):
        try:
            self.serve(self.server.context.wrap_socket(self.request, server_side=True) if self.server.context else self.request)
        except (OSError, EOFError):
            pass

    def serve(self, connection):
        def take(count):
            got = b""
            while len(got) < count:
                if not (more := connection.recv(count - len(got))):
                    raise EOFError
                got += more
            return got

        def send(kind, flags, stream, payload=b""):
            connection.sendall(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)

        if take(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
            return
        self.server.preface += 1
        send(self.SETTINGS, 0, 0)
        while True:
            head = take(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = take(int.from_bytes(head[:3], "big"))
            if kind == self.SETTINGS and not flags & self.ACK:
                send(self.SETTINGS, self.ACK, 0)
            elif kind == self.PING and not flags & self.ACK:
                send(self.PING, self.ACK, 0, payload)
            elif kind in (self.HEADERS, self.DATA) and flags & self.END_STREAM:
                send(self.HEADERS, 4, stream, bytes([8, 3]) + str(self.server.health).encode())
                send(self.DATA, self.END_STREAM, stream, self.server.name.encode())


class Echo(socketserver.ThreadingTCPServer):
    """Answers one message backwards; with `context` over TLS."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, context=None):
        self.context, self.release = context, threading.Event()
        super().__init__(("127.0.0.1", 0), EchoHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.port = self.server_address[1]


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            connection = self.server.context.wrap_socket(self.request, server_side=True) if self.server.context else self.request
            while data := connection.recv(100):
                connection.sendall(data[::-1])
        except OSError:
            pass


def talk(port, context=None, name="db.test"):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        if context:
            client = context.wrap_socket(client, server_hostname=name)
        client.sendall(b"abc")
        return client.recv(10)


def wait(condition, limit=30, told=lambda: "it did not come to that"):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    assert condition(), told()


def ask(port, path="/", method="GET", headers=None, context=None, name="localhost"):
    if context:
        connection = http.client.HTTPSConnection(name, port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={"Host": name} | (headers or {}))
    answer = connection.getresponse()
    body = answer.read().decode()
    answer.json = json.loads(body) if body.startswith("{") else body
    connection.close()
    return answer


class World:
    """Load balancers, target groups and backends of one test."""

    def __init__(self, server):
        # A check may come every second here; botocore would refuse less than five.
        self.elb, self.acm, ec2 = server.client("elbv2", parameter_validation=False), server.client("acm"), server.client("ec2")
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.subnets = [s["SubnetId"] for s in sorted(ec2.describe_subnets()["Subnets"], key=lambda s: s["AvailabilityZone"])]
        self.backends = []

    def balancer(self, name="web", **more):
        return self.elb.create_load_balancer(Name=name, Subnets=self.subnets[:2], **more)["LoadBalancers"][0]

    def backend(self, name, context=None, kind=Backend):
        return self.keep(kind(name, context))

    def keep(self, server):
        """To be closed with the world."""
        self.backends.append(server)
        return server

    def network_balancer(self, name="net"):
        return self.elb.create_load_balancer(Name=name, Type="network", Subnets=self.subnets[:1])["LoadBalancers"][0]

    def group(self, name, *ports, **more):
        check = {"HealthCheckIntervalSeconds": 1, "HealthCheckTimeoutSeconds": 1}
        group = self.elb.create_target_group(**({"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "instance"} | check | more))
        arn = group["TargetGroups"][0]["TargetGroupArn"]
        if ports:
            self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port} for port in ports])
        return arn

    def listener(self, balancer, action, protocol="HTTP", **more):
        action = action if isinstance(action, dict) else {"Type": "forward", "TargetGroupArn": action}
        return self.elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol=protocol, Port=free_port(), DefaultActions=[action],
                                        **more)["Listeners"][0]

    def healthy(self, group):
        wait(lambda: all(t["TargetHealth"]["State"] == "healthy" for t in self.states(group)))

    def health(self, group):
        """State and reason of the only target."""
        (target,) = self.states(group)
        return target["TargetHealth"]["State"], target["TargetHealth"].get("Reason")

    def becomes(self, group, *state):
        wait(lambda: self.health(group)[:len(state)] == state, told=lambda: self.states(group))

    def states(self, group):
        return self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]

    def attributes(self, group, **values):
        self.elb.modify_target_group_attributes(
            TargetGroupArn=group, Attributes=[{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()])

    def close(self):
        for balancer in self.elb.describe_load_balancers()["LoadBalancers"]:
            self.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        for group in self.elb.describe_target_groups()["TargetGroups"]:
            self.elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
        for certificate in self.acm.list_certificates()["CertificateSummaryList"]:
            self.acm.delete_certificate(CertificateArn=certificate["CertificateArn"])
        for backend in self.backends:
            backend.release.set()
            backend.shutdown()
            backend.server_close()


@pytest.fixture
def world(server):
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def authority(tmp_path):
    """Makes certificates: issue(names) -> (certificate, key) as PEM; `ca` is the authority's own."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    class Authority:
        ca_file = tmp_path / "ca.pem"

        def issue(self, *names, days=10):
            stem = tmp_path / hashlib.sha256(repr((names, time.time())).encode()).hexdigest()[:8]
            openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={names[0]}", "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
            (tmp_path / "names").write_text("subjectAltName=" + ",".join("DNS:" + name for name in names))
            openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", self.ca_file, "-CAkey", tmp_path / "ca.key", "-days", days, "-extfile", tmp_path / "names",
                    "-out", f"{stem}.pem", "-CAcreateserial")
            return (stem.with_suffix(".pem")).read_bytes(), (stem.with_suffix(".key")).read_bytes()

        def server_context(self, *names, alpn=None):
            """For a server that shows a certificate of these names."""
            (tmp_path / "server.pem").write_bytes(b"".join(self.issue(*names)))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "server.pem")
            if alpn:
                context.set_alpn_protocols(alpn)
            return context

        def load(self, acm, *names):
            """Into ACM; its ARN."""
            certificate, key = self.issue(*names)
            return acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]

        def context(self, alpn=None, newest=None):
            context = ssl.create_default_context(cafile=str(self.ca_file))
            if alpn:
                context.set_alpn_protocols(alpn)
            if newest:
                context.maximum_version = newest
            return context

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=Test authority", "-keyout", tmp_path / "ca.key", "-out",
            Authority.ca_file)
    Authority.ca = Authority.ca_file.read_bytes()
    return Authority()
