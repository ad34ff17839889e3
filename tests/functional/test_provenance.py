"""Where an image comes from and what is in it: documents that builds attach, and that go with their image."""
import contextlib
import hashlib
import http.server
import json
import os
import sqlite3
import struct
import threading

import pytest
import requests

from server import Server
from servers import HttpServer
from servers import building_server as server  # noqa: F401

IN_TOTO, SPDX = "application/vnd.in-toto+json", "application/spdx+json"
STATUS = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\n\n"
FETCHED = b"from far away\n"


@pytest.fixture(scope="module")
def far_file():
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(FETCHED)))
            self.end_headers()
            self.wfile.write(FETCHED)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{http_server.server_address[1]}/file"
        http_server.shutdown()


def build(server, directory, tag, *more):
    return server.watari("build", "--root", server.root, directory, "-t", tag, *more).stdout.split()[0]


def referrers(server, name, digest):
    return requests.get(f"{server.url}/v2/{name}/referrers/{digest}", timeout=10).json()["manifests"]


def inspect(server, image, *more):
    return json.loads(server.watari("images", "inspect", "--root", server.root, image, "--json", *more).stdout)


def digest_of(server, image):
    return next(each["digest"] for each in json.loads(server.watari("images", "--root", server.root, "--json").stdout)
                if f"{each['repository']}:{each['tag']}" == image)


def test_a_build_tells_what_it_was_made_of(server, far_file, tmp_path):
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "Dockerfile").write_text(
        f"FROM busybox AS one\nARG LEVEL\nARG API_TOKEN\nADD http://me:word@{far_file} /far\nFROM one AS final\nCOPY status /var/lib/dpkg/status\nFROM one\n")
    (tmp_path / "secret").write_text("a-hidden-value")
    digest = build(server, tmp_path, "app:1", "--target", "final", "--build-arg", "LEVEL=info with a-hidden-value", "--build-arg", "API_TOKEN=t0psecret",
                   "--secret", f"id=pass,src={tmp_path}/secret")
    listed = {each["artifactType"]: each["digest"] for each in referrers(server, "app", digest)}
    assert set(listed) == {IN_TOTO, SPDX}
    shown = inspect(server, "app:1")
    assert shown["digest"] == digest and {each["artifactType"]: each["digest"] for each in shown["referrers"]} == listed

    statement = inspect(server, "app:1", "--provenance")
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "app:1", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    parameters = definition["externalParameters"]
    assert parameters["target"] == "final" and parameters["secretIds"] == ["pass"] and len(parameters["context"]["digest"]["sha256"]) == 64
    assert parameters["dockerfile"] == {"path": "Dockerfile", "digest": {"sha256": hashlib.sha256((tmp_path / "Dockerfile").read_bytes()).hexdigest()}}
    assert parameters["buildArgs"] == {"LEVEL": "info with ***", "API_TOKEN": "***"}
    assert definition["resolvedDependencies"] == [
        {"uri": "docker-image://busybox", "digest": {"sha256": digest_of(server, "busybox:latest").removeprefix("sha256:")}},
        {"uri": f"http://{far_file}", "digest": {"sha256": hashlib.sha256(FETCHED).hexdigest()}}]
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"] and run["metadata"]["invocationId"]
    for word in ("t0psecret", "a-hidden-value", "me:word"):
        assert word not in json.dumps(statement)

    packages = inspect(server, "app:1", "--sbom")["packages"]
    assert [(package["name"], package["versionInfo"]) for package in packages] == [("zlib1g", "1:1.2.13")]


def test_an_unchanged_build_keeps_what_it_has_and_a_changed_one_gets_its_own(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /there\n")
    first = build(server, tmp_path, "kept:1")
    before = referrers(server, "kept", first)
    assert len(before) == 2 and "No packages" in inspect(server, "kept:1", "--sbom")["comment"]
    assert build(server, tmp_path, "kept:1") == first and build(server, tmp_path, "kept:2") == first
    assert referrers(server, "kept", first) == before
    # Another repository has its own; nothing of that changes the image.
    assert build(server, tmp_path, "elsewhere:1") == first and len(referrers(server, "elsewhere", first)) == 2
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /there\nCMD [\"true\"]\n")
    second = build(server, tmp_path, "kept:1")
    assert second != first and len(referrers(server, "kept", second)) == 2 and referrers(server, "kept", first) == before


def test_the_documents_go_with_their_image(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nENV A=going\n")
    digest = build(server, tmp_path, "going:1")
    blobs = server.root / "images/blobs/sha256"
    manifests = {each["digest"].removeprefix("sha256:") for each in referrers(server, "going", digest)}
    for path in blobs.iterdir():  # long ago
        os.utime(path, (1, 1))
    for path in (server.root / "images/repositories").rglob("*"):
        os.utime(path, (1, 1))
    server.watari("images", "prune", "--root", server.root)
    assert manifests <= {path.name for path in blobs.iterdir()}
    server.watari("images", "rm", "--root", server.root, "going:1")
    server.watari("images", "prune", "--root", server.root)
    assert not manifests & {path.name for path in blobs.iterdir()}


def test_a_push_takes_them_along(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nENV A=pushed\n")
    digest = build(server, tmp_path, "pushed:1")
    here = {each["digest"] for each in referrers(server, "pushed", digest)}
    with Server() as other:
        host = other.url.removeprefix("http://")
        server.watari("images", "push", "--root", server.root, "pushed:1", f"{host}/there:2")
        assert {each["digest"] for each in referrers(other, "there", digest)} == here and len(here) == 2
        assert inspect(other, "there:2", "--provenance") == inspect(server, "pushed:1", "--provenance")


def go_program(modules):
    """The least that has the section which the Go linker writes."""
    def text(value):
        return bytes([len(value) & 127 | 128, len(value) >> 7]) + value
    info = b"\xff Go buildinf:\x08\x02" + bytes(16) + text(b"go1.21.0") + text(b"m" * 16 + modules + b"m" * 16)
    names = b"\0.go.buildinfo\0.shstrtab\0"
    at = 64 + len(info) + len(names)
    header = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 3, 2)
    section = lambda name, kind, start, size: struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, start, size, 0, 0, 1, 0)  # noqa: E731
    return header + info + names + section(0, 0, 0, 0) + section(1, 1, 64, len(info)) + section(15, 3, 64 + len(info), len(names))


def test_the_list_has_what_language_package_managers_installed_and_no_more(server, tmp_path):
    (tmp_path / "Gemfile.lock").write_text("GEM\n  specs:\n    rails (7.1.2)\n    sidekiq (7.2.0)\n")
    (tmp_path / "package-lock.json").write_text(json.dumps({"packages": {"node_modules/left-pad": {"version": "1.3.0"}}}))
    (tmp_path / "web").write_bytes(go_program(b"mod\texample.com/web\t(devel)\ndep\tgolang.org/x/net\tv0.1.0\th1:=\n"))
    text = ("FROM busybox AS one\nCOPY Gemfile.lock package-lock.json /app/\nCOPY web /usr/local/bin/web\n"
            "RUN mkdir -p /gems/specifications /gems/gems/x /app/node_modules/y && touch /gems/specifications/rack-3.0.8.gemspec && cp /app/Gemfile.lock /gems/gems/x/\n"
            "FROM one\nRUN rm /app/package-lock.json\n")
    (tmp_path / "Dockerfile").write_text(text)
    names = lambda image: {f"{each['name']} {each['versionInfo']}" for each in inspect(server, image, "--sbom").get("packages", [])}  # noqa: E731
    build(server, tmp_path, "listed:one", "--target", "one")
    every = {"rails 7.1.2", "sidekiq 7.2.0", "rack 3.0.8", "left-pad 1.3.0", "golang.org/x/net v0.1.0"}
    assert names("listed:one") == every
    build(server, tmp_path, "listed:two")
    assert names("listed:two") == every - {"left-pad 1.3.0"}


def rpm_header(strings, numbers=()):
    """As rpm keeps a package: two counts, entries of tag, type, offset and count, data."""
    entries, data = b"", b""
    for tag, kind, value in [(tag, 6, text.encode() + b"\0") for tag, text in strings.items()] + [(tag, 4, struct.pack(">I", number)) for tag, number in numbers]:
        entries += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(entries) // 16, len(data)) + entries + data


def test_the_list_has_what_rpm_installed(server, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "rpmdb.sqlite")) as database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        for header in (rpm_header({1000: "perl-libs", 1001: "5.38.2", 1002: "506.fc40", 1014: "GPL-1.0-or-later", 1022: "x86_64"}, [(1003, 4)]),
                       rpm_header({1000: "gpg-pubkey", 1001: "a15b79cc", 1002: "63d04c2c"}), b"damaged"):
            database.execute("INSERT INTO Packages (blob) VALUES (?)", (header,))
        database.commit()
    (tmp_path / "os-release").write_text('NAME="Fedora Linux"\nVERSION_ID=40\nID=fedora\n')
    place = "/usr/lib/sysimage/rpm/rpmdb.sqlite"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox AS all\nCOPY rpmdb.sqlite {place}\nCOPY os-release /usr/lib/\n"
                                         f"FROM all AS log\nRUN echo more > {place}-wal\nFROM all AS gone\nRUN rm {place}\n")
    for target in ("all", "gone"):
        server.watari("build", "-t", f"fedora:{target}", "--target", target, tmp_path)
    package, = inspect(server, "fedora:all", "--sbom")["packages"]
    assert (package["name"], package["versionInfo"]) == ("perl-libs", "5.38.2-506.fc40") and "GPL-1.0-or-later" in package["licenseComments"]
    assert package["externalRefs"][0]["referenceLocator"] == "pkg:rpm/fedora/perl-libs@5.38.2-506.fc40?arch=x86_64&distro=fedora-40&epoch=4"
    assert "comment" not in inspect(server, "fedora:all", "--sbom")
    assert inspect(server, "fedora:gone", "--sbom")["comment"].startswith("No packages")


def test_a_list_says_which_packages_it_does_not_know(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox AS with\nRUN mkdir -p /var/lib/rpm && echo x > /var/lib/rpm/rpmdb.sqlite && echo x > /var/lib/rpm/Packages\nFROM with AS without\nRUN rm -r /var/lib/rpm\n")
    server.watari("build", "-t", "rpm:with", "--target", "with", tmp_path)
    server.watari("build", "-t", "rpm:without", tmp_path)
    comment = inspect(server, "rpm:with", "--sbom")["comment"]
    assert comment.startswith("INCOMPLETE") and "var/lib/rpm/rpmdb.sqlite" in comment and "var/lib/rpm/Packages" in comment
    assert inspect(server, "rpm:without", "--sbom")["comment"].startswith("No packages")


def test_a_build_without_a_tag_has_its_documents_by_digest(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nENV A=untagged\n")
    digest = server.watari("build", tmp_path).stdout.split()[0]
    assert {each["artifactType"] for each in referrers(server, "untagged", digest)} == {IN_TOTO, SPDX}
    statement = inspect(server, digest, "--provenance")
    assert statement["subject"] == [{"name": digest, "digest": {"sha256": digest.removeprefix("sha256:")}}]
    before = referrers(server, "untagged", digest)
    assert server.watari("build", tmp_path).stdout.split()[0] == digest and referrers(server, "untagged", digest) == before


class OldRegistry(HttpServer):
    """Takes pushes, knows nothing of subjects, and cannot list referrers."""

    def __init__(self):
        self.manifests, self.blobs = {}, set()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", **headers):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if self.command != "HEAD" else b"")

            def do_GET(self):
                last = self.path.rsplit("/", 1)[1]
                held = registry.manifests.get(last) if "/manifests/" in self.path else None
                self.answer(200, held[1], Content_Type=held[0]) if held else self.answer(200 if last in registry.blobs else 404)

            do_HEAD = do_GET

            def do_POST(self):
                self.answer(202, Location=self.path + "1")

            def do_PUT(self):
                if "/manifests/" not in self.path:
                    registry.blobs.add(self.path.split("digest=")[1])
                    return self.answer(201)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                del self.headers["Content-Length"]
                for name in (self.path.rsplit("/", 1)[1], "sha256:" + hashlib.sha256(body).hexdigest()):
                    registry.manifests[name] = (self.headers["Content-Type"], body)
                self.answer(201)

        super().__init__(Handler)


def test_a_registry_that_cannot_list_referrers_gets_their_index_under_a_tag(server, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nENV A=old\n")
    digest = build(server, tmp_path, "old:1")
    with OldRegistry() as registry:
        for _ in range(2):  # the same again adds nothing
            server.watari("images", "push", "--root", server.root, "old:1", f"{registry.host}/old:1")
        index = json.loads(registry.manifests[digest.replace(":", "-")][1])
        listed = {each["artifactType"]: each["digest"] for each in index["manifests"]}
        assert listed == {each["artifactType"]: each["digest"] for each in referrers(server, "old", digest)} and len(index["manifests"]) == 2
        assert all(each in registry.manifests for each in listed.values())
