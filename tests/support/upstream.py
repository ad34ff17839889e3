"""A registry that fails in every way a network can, for tests of transfers."""
import base64
import gzip
import hashlib
import http.server
import json
import os
import subprocess
import threading

from busybox_image import layer_tar
from servers import HttpServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Upstream(HttpServer):
    """A registry of one image, scripted: `faults` are taken one at a time by the requests for blobs.

    `login` is asked for by tokens, or by each request when `basic`; `like` has the same image as another one."""

    def __init__(self, login=None, basic=False, like=None):
        self.layers = like.layers if like else [gzip.compress(layer_tar({f"file{n}": os.urandom(700_000)}, applets=False), 1, mtime=0) for n in range(3)]
        tars = [gzip.decompress(layer) for layer in self.layers]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]}}).encode()
        self.blobs = {digest_of(data): data for data in [config, *self.layers]}
        descriptor = lambda kind, data: {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(data), "size": len(data)}  # noqa: E731
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("config.v1+json", config),
                                    "layers": [descriptor("layer.v1.tar+gzip", layer) for layer in self.layers]}).encode()
        self.login, self.basic, self.faults, self.ranges, self.tokens = login, basic, [], [], 0
        self.valid = set()  # what is let in by tokens
        self.documents, self.asked = {}, []  # manifests by tag or digest, besides the one for any tag; paths that were asked for
        self.lock = threading.Lock()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_GET(self):
                upstream.serve(self)

            do_HEAD = do_GET

        super().__init__(Handler)

    def serve(self, request):
        authorization = request.headers.get("Authorization", "")
        self.asked.append(request.path)
        if request.path.startswith("/token?"):
            self.tokens += 1
            good = authorization == "Basic " + base64.b64encode(self.login.encode()).decode() and "scope=repository%3A" in request.path
            if good:
                self.valid.add(f"Bearer let-me-in-{self.tokens}")
            return request.answer(200, json.dumps({"token": f"let-me-in-{self.tokens}"}).encode()) if good else request.answer(401)
        if self.login and self.basic:
            if authorization != "Basic " + base64.b64encode(self.login.encode()).decode():
                return request.answer(401, WWW_Authenticate='Basic realm="here"')
        elif self.login and authorization not in self.valid:
            return request.answer(401, WWW_Authenticate=f'Bearer realm="http://{self.host}/token",service="here, there",scope="repository:team/web:pull"')
        last = request.path.rsplit("/", 1)[1]
        if request.path == "/v2/":
            return request.answer(200, b"{}")
        if "/manifests/" in request.path and last in self.documents:
            return request.answer(200, self.documents[last], Content_Type=json.loads(self.documents[last])["mediaType"])
        if "/manifests/" in request.path:
            known = not last.startswith("sha256") or last == digest_of(self.manifest)
            return request.answer(200, self.manifest, Content_Type=MANIFEST) if known else request.answer(404)
        data = self.blobs.get(last)
        if data is None:
            return request.answer(404)
        with self.lock:
            fault = self.faults.pop(0) if self.faults and data in self.layers else None
        return self.send_blob(request, data, fault)

    def send_blob(self, request, data, fault):
        if isinstance(fault, int):
            return request.answer(fault, Retry_After="0")
        first = 0
        if (asked := request.headers.get("Range")) and fault != "no ranges":
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            self.ranges.append(first)
        if fault == "token ends":
            self.valid.clear()
            return request.answer(401, WWW_Authenticate=f'Bearer realm="http://{self.host}/token",service="here",scope="repository:team/web:pull"')
        if fault in ("zstd", "gzip", "zstd cut"):  # as the transfer's encoding, in two frames
            assert fault.split()[0] in request.headers["Accept-Encoding"] and not request.headers["Range"]
            pack = gzip.compress if fault == "gzip" else lambda part: subprocess.run(["zstd", "-c"], input=part, capture_output=True, check=True).stdout  # noqa: E731
            packed = pack(data) if fault == "gzip" else pack(data[:300_000]) + pack(data[300_000:])
            return request.answer(200, packed[:400_000] if fault.endswith("cut") else packed, Content_Encoding=fault.split()[0])
        if fault == "wrong":
            return request.answer(200, b"x" * len(data))
        if fault == "longer":
            return request.answer(200, data + b"more")
        if fault == "reset":  # half of what is left, then nothing
            request.send_response(206 if first else 200)
            request.send_header("Content-Length", str(len(data) - first))
            request.end_headers()
            request.wfile.write(data[first:first + (len(data) - first) // 2])
            request.wfile.flush()
            request.close_connection = True
            return request.connection.shutdown(2)
        if first:
            return request.answer(206, data[first:], Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}")
        return request.answer(200, data)

    def add(self, document, tag=None):
        """One more manifest; returns what others call it."""
        data = json.dumps(document).encode()
        self.documents[digest_of(data)] = data
        if tag:
            self.documents[tag] = data
        return {"mediaType": document["mediaType"], "digest": digest_of(data), "size": len(data)}

    def add_blob(self, data, kind):
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
