"""A small image of the host's static busybox, as an OCI layout that skopeo can copy.

    from tests.support.busybox_image import make_layout
    path = make_layout("/tmp/dir", files={"etc/greeting": b"hello"}, cmd=["/bin/sh"])     # -> "oci:/tmp/dir:latest"

    tests/support/busybox_image.py DIRECTORY [--docker-archive]
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile


def _add(tar, name, data=None, mode=0o755, link=None, mtime=1_700_000_000):
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = mode, mtime
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
        tar.addfile(info)
    elif data is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def layer_tar(files=None, applets=True):
    """The plain tar of one layer: busybox with its applets, and `files` (name -> bytes)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if applets:
            for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "usr/bin", "usr/sbin", "var"):
                _add(tar, name)
            _add(tar, "tmp", mode=0o1777)
            with open("/bin/busybox", "rb") as busybox:
                _add(tar, "bin/busybox", busybox.read())
            for applet in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
                if applet != "busybox":
                    _add(tar, f"bin/{applet}", link="/bin/busybox")
            _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)
            _add(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)
        for name, data in (files or {}).items():
            _add(tar, name, data, 0o755)
    return buffer.getvalue()


def make_layout(directory, files=None, cmd=("/bin/sh",), env=(), layers=None, tag="latest"):
    """Writes an OCI image layout of one image; `layers` (plain tars, lowest first) instead of busybox and `files`."""
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs, exist_ok=True)

    def put(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as out:
            out.write(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    tars = layers if layers is not None else [layer_tar(files)]
    descriptors = [put(gzip.compress(tar, 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for tar in tars]
    config = {
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env], "Cmd": list(cmd)},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
    }
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"), "layers": descriptors,
    }
    entry = put(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    with open(os.path.join(directory, "oci-layout"), "w") as out:
        json.dump({"imageLayoutVersion": "1.0.0"}, out)
    with open(os.path.join(directory, "index.json"), "w") as out:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, out)
    return f"oci:{directory}:{tag}"


def push(source, port, name):
    """Copies `source` (a skopeo reference, as make_layout returns it) to the server's registry on loopback."""
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", source, f"docker://127.0.0.1:{port}/{name}"], check=True)


if __name__ == "__main__":
    reference = make_layout(sys.argv[1])
    if "--docker-archive" in sys.argv:
        archive = os.path.join(sys.argv[1], "image.tar")
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", reference, f"docker-archive:{archive}:busybox:latest"], check=True)
        reference = f"docker-archive:{archive}"
    print(reference)
