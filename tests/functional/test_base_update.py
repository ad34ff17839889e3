"""Base images: made again the same, and what builds on one that has changed. The Debian part needs the package archives of the host."""
import hashlib
import io
import json
import ssl
import subprocess
import tarfile

import pytest
import requests


def base(server, *arguments, check=True):
    return server.watari("base", *arguments, "--root", server.root, "--json", check=check, timeout=900)


def test_a_base_is_made_again_the_same_and_what_builds_on_it_is_known(server, tmp_path):
    made = json.loads(base(server, "build", "tiny", "--from", "busybox").stdout)
    (tmp_path / "Dockerfile").write_text("FROM tiny\nCOPY Dockerfile /there\n")
    server.watari("build", "--root", server.root, tmp_path, "-t", "app:1")
    server.watari("build", "--root", server.root, tmp_path, "-t", "app:2")
    (update,) = json.loads(base(server, "update").stdout)
    assert update["image"] == "tiny:latest" and update["digest"] == made["imageDigest"] and not update["changed"]
    assert update["images"] == ["app:1", "app:2"] and update["services"] == []
    assert base(server, "update", "app:1", check=False).returncode == 1


def make_authority(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=our own", "-days", "30",
                    "-keyout", directory / "key.pem", "-out", directory / "ca.pem"], check=True, capture_output=True)
    return directory / "ca.pem"


def test_users_and_certificates_are_part_of_a_base_and_stay_when_it_is_made_again(server, tmp_path):
    options = ("--from", "busybox", "--user", "app:1000", "--user", "job:1001:1000", "--certificate", make_authority(tmp_path))
    made = json.loads(base(server, "build", "team", *options).stdout)["imageDigest"]
    (tmp_path / "Dockerfile").write_text("FROM team\nUSER app\nRUN id -u > /tmp/who && stat -c %U:%G /home/app /home/job >> /tmp/who\n"
                                         "FROM scratch\nCOPY --from=0 /tmp/who /etc/ssl/certs/ca-certificates.crt /\n")
    server.watari("build", "--root", server.root, tmp_path, "-t", "look:1")
    image = json.loads(server.watari("images", "inspect", "--root", server.root, "look:1", "--json").stdout)
    tar = tarfile.open(fileobj=io.BytesIO(requests.get(f"{server.url}/v2/look/blobs/{image['layers'][0]}", timeout=10).content))
    assert tar.extractfile("who").read() == b"1000\napp:app\njob:app\n"
    assert tar.extractfile("ca-certificates.crt").read() == (tmp_path / "ca.pem").read_bytes()
    document = json.loads(server.watari("images", "inspect", "--root", server.root, "team:latest", "--sbom").stdout)
    assert "User app (1000:1000). User job (1001:1000)." in document["comment"]
    (certificate,) = document["packages"]
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "ca.pem").read_text())
    assert certificate["checksums"] == [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(der).hexdigest()}]
    (update,) = json.loads(base(server, "update", "team:latest").stdout)
    assert update["digest"] == made and not update["changed"]


@pytest.mark.parametrize("wrong, says", [(("--user", "app"), "is no user"), (("--user", "Root:5"), "is no user"), (("--user", "a:0"), "is no user"),
                                         (("--user", "a:5", "--user", "b:5"), "twice"), (("--user", "nobody:5"), "nobody")])
def test_what_is_no_user_is_refused(server, wrong, says):
    refused = base(server, "build", "bad", "--from", "busybox", *wrong, check=False)
    assert refused.returncode != 0 and says in refused.stdout + refused.stderr


def test_keys_and_other_files_are_no_certificates(server, tmp_path):
    for text, says in [("-----BEGIN PRIVATE KEY-----\nx\n", "private key"), ("hello", "no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate")]:
        (tmp_path / "file.pem").write_text(text)
        refused = base(server, "build", "bad", "--from", "busybox", "--certificate", tmp_path / "file.pem", check=False)
        assert refused.returncode != 0 and says in refused.stdout + refused.stderr


def test_a_debian_base_is_reproducible_and_lists_its_packages(server, tmp_path):
    options = ("--user", "app:1000", "--certificate", make_authority(tmp_path))
    first = base(server, "build", "deb", *options, check=False)
    if first.returncode != 0 and "mmdebstrap" in first.stderr:
        pytest.skip(f"mmdebstrap could not make a base here: {first.stderr[-300:]}")
    digest = json.loads(first.stdout)["imageDigest"]
    assert json.loads(base(server, "build", "deb", *options).stdout)["imageDigest"] == digest
    referrers = requests.get(f"{server.url}/v2/deb/referrers/{digest}?artifactType=application/spdx%2Bjson", timeout=10).json()["manifests"]
    assert len(referrers) == 1
    manifest = requests.get(f"{server.url}/v2/deb/manifests/{referrers[0]['digest']}", timeout=10).json()
    document = requests.get(f"{server.url}/v2/deb/blobs/{manifest['layers'][0]['digest']}", timeout=10).json()
    names = {package["name"] for package in document["packages"]}
    assert document["spdxVersion"] == "SPDX-2.3" and {"libc6", "dpkg", "apt"} <= names
    (tmp_path / "Dockerfile").write_text("FROM deb:bookworm\nUSER app\nRUN id -un && openssl verify -CApath /etc/ssl/certs /usr/local/share/ca-certificates/watari-*.crt\n")
    built = server.watari("build", "--root", server.root, tmp_path, "-t", "uses:1")
    assert ".crt: OK" in built.stderr and "app" in built.stderr
