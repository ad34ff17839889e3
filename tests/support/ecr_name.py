"""A server that is reached as <account>.dkr.ecr.<region>.amazonaws.com, by HTTPS on port 443, as clients know ECR.

    with EcrServer() as server:
        server.named(["skopeo", "inspect", f"docker://{server.registry}/web:1"])

The name lives in a mount namespace of the command's own, where /etc/hosts is another file: nothing else on the machine sees it.
"""
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from server import Server  # noqa: E402

ACCOUNT = "123456789012"


class EcrServer(Server):
    def __init__(self, *options, region="ap-northeast-1"):
        # An address of its own in 127.0.0.0/8, where port 443 is nobody else's.
        self.address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
        super().__init__("--https-listen", f"{self.address}:443", *options, region=region)
        self.registry = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"
        self.names = [self.registry] + [f"{service}.{region}.amazonaws.com" for service in ("ecs", "api.ecr", "sts", "elasticloadbalancing", "codedeploy", "logs", "ssm", "ec2")]

    @property
    def bundle(self):
        return str(self.root / "ca-bundle.pem")

    def named_here(self, command, **environment):
        """As named(), whatever it exits with."""
        return self.named(command, check=False, timeout=200, **environment)

    def named(self, command, check=True, timeout=120, **environment):
        """Runs the command where the names mean this server and its authority is trusted."""
        hosts = self.directory / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{self.address} {' '.join(self.names)}\n")
        inside = 'mount --bind "$0" /etc/hosts && exec "$@"'
        trust = {"SSL_CERT_FILE": self.bundle, "AWS_CA_BUNDLE": self.bundle}
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, str(hosts), *map(str, command)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=self.environment(**trust, **environment))
        assert not check or done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
        return done

    def password(self):
        """What `aws ecr get-login-password` prints, asked for by AWS's own name."""
        return self.named([sys.executable, "-m", "awscli", "ecr", "get-login-password"], AWS_ENDPOINT_URL="").stdout.strip()
