"""The Dockerfiles that are compared, in families. All build on the same busybox."""
import dataclasses
import gzip
import io
import os
import tarfile


@dataclasses.dataclass
class Case:
    name: str
    dockerfile: str
    files: dict = dataclasses.field(default_factory=dict)
    args: dict = dataclasses.field(default_factory=dict)
    target: str = ""
    file: str = "Dockerfile"
    secrets: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)
    newer: bool = False  # uses what Debian's buildah does not know, or does otherwise: compared with BuildKit only

    def write(self, context):
        context.mkdir(parents=True)
        for name, content in self.files.items():
            path = context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path = self.dockerfile_path(context)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.dockerfile)

    def dockerfile_path(self, context):
        return context / self.file

    def options(self, builder):
        words = []
        for name, value in self.args.items():
            words += ["--opt", f"build-arg:{name}={value}"] if builder == "buildkit" else ["--build-arg", f"{name}={value}"]
        if self.target:
            words += ["--opt", f"target={self.target}"] if builder == "buildkit" else ["--target", self.target]
        if self.file != "Dockerfile" and builder == "watari":
            words += ["-f", self.file]
        if self.file != "Dockerfile" and builder == "buildah":
            words += ["-f", self.file]
        for name, source in self.secrets.items():
            words += ["--secret", f"id={name},src={source}"]
        return words


# What a file of a context can be besides text.

def mode(bits, content="x"):
    def make(path):
        path.write_text(content)
        path.chmod(bits)
    return make


def directory(bits=0o755):
    def make(path):
        path.mkdir(exist_ok=True)
        path.chmod(bits)
    return make


def link(target):
    return lambda path: path.symlink_to(target)


def hard_link(other):
    return lambda path: os.link(path.parent / other, path)


def sparse(size):
    def make(path):
        with open(path, "wb") as file:
            file.write(b"begin")
            file.truncate(size)
    return make


def attributes(**values):
    def make(path):
        path.write_text("with attributes")
        for name, value in values.items():
            os.setxattr(path, "user." + name, value.encode())
    return make


def plain_gzip(data):
    """Without the time that gzip files carry."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as out:
        out.write(data)
    return buffer.getvalue()


def archive(how, *members):
    """A tar of (name, content, mode, uid, gid); content None makes a directory, ('link', to) a link."""
    def make(path):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:" if how == "gz" else f"w:{how}") as tar:
            for name, content, bits, uid, gid in members:
                info = tarfile.TarInfo(name)
                info.mode, info.uid, info.gid, info.mtime = bits, uid, gid, 1_000_000_000
                if content is None:
                    info.type = tarfile.DIRTYPE
                elif isinstance(content, tuple):
                    info.type = tarfile.SYMTYPE if content[0] == "link" else tarfile.LNKTYPE
                    info.linkname = content[1]
                else:
                    info.size = len(content)
                tar.addfile(info, io.BytesIO(content.encode()) if isinstance(content, str) else None)
        path.write_bytes(plain_gzip(buffer.getvalue()) if how == "gz" else buffer.getvalue())
    return make


TREE = {"src/a.txt": "a", "src/b.md": "b", "src/deep/c.txt": "c", "src/deep/er/d.txt": "d", "src/run.sh": mode(0o755, "#!/bin/sh\n"),
        "src/secret": mode(0o600), "top.txt": "top"}
PASSWD = "RUN mkdir -p /etc && echo 'app:x:1000:1001::/home/app:/bin/sh' >> /etc/passwd && echo 'app:x:1001:' >> /etc/group && echo 'web:x:33:app' >> /etc/group\n"


def numbered(family, texts, files=None, **more):
    for number, text in enumerate(texts):
        yield Case(f"{family}-{number:02}", "FROM busybox\n" + text + "\n", dict(files or {}), **more)


def copies():
    yield from numbered("copy", [
        "COPY top.txt /", "COPY top.txt /new/", "COPY top.txt /new/name", "COPY src /", "COPY src /dir", "COPY src/ /dir/", "COPY src/. /dir",
        "COPY . /all", "COPY ./src/deep /x/y/z", "COPY src/a.txt src/b.md /two/", "COPY [\"src/a.txt\", \"/with space/\"]", "COPY src/*.txt /w/",
        "COPY src/?.md /w/", "COPY src/[ab].* /w/", "COPY src/*/c.txt /w/", "COPY src/deep/* /w/", "COPY s* /w/", "COPY top.txt src /mixed/",
        "WORKDIR /work\nCOPY top.txt .", "WORKDIR /work\nCOPY top.txt rel/", "WORKDIR /work\nCOPY top.txt ../up.txt", "COPY src/run.sh /usr/local/bin/run",
        "RUN mkdir -m 0700 /there\nCOPY src /there", "RUN mkdir -m 0700 -p /there/deep\nCOPY src /there", "RUN echo old > /a.txt\nCOPY src/a.txt /a.txt",
        "RUN mkdir /real && ln -s /real /alias\nCOPY top.txt /alias/", "RUN mkdir /real && ln -s /real /alias\nCOPY src /alias",
        "RUN mkdir /d && echo t > /d/target && ln -s target /d/link\nCOPY top.txt /d/link", "RUN ln -s /nowhere /dangling\nCOPY src /other",
        "COPY src/a.txt /a\nCOPY src/b.md /a", "COPY --chown=5:6 src /o", "COPY --chown=7 src /o", "COPY --chmod=700 src /o", "COPY --chmod=0640 top.txt /o",
        "COPY --chown=5:6 --chmod=4755 src/run.sh /new/dir/run", PASSWD + "COPY --chown=app src /o", PASSWD + "COPY --chown=app:web src /o",
        PASSWD + "USER app\nCOPY src /o", PASSWD + "USER app\nWORKDIR /home/app\nCOPY top.txt ."], TREE)
    yield from numbered("copy-new", [
        "COPY --chmod=u=rwX,go=rX src /o", "COPY --chmod=a+x top.txt /o", "COPY --chmod=go-rwx src /o", "COPY --link src /o", "COPY --link top.txt /a/b/",
        "COPY --link --chown=5:6 src /o", "RUN mkdir -m 0700 /there\nCOPY --link src /there/", "COPY --parents src/deep/c.txt /p/", "COPY --parents src/./deep/er /p/",
        "COPY --parents src/*/c.txt /p/", "COPY --parents src/**/*.txt /p/", "COPY --parents ./src/deep top.txt /p/", "COPY --exclude=*.md src /e", "COPY --exclude=deep src /e",
        "COPY --exclude=**/*.txt src /e", "COPY --exclude=*.md --exclude=deep/er src /e", "COPY --parents --exclude=**/d.txt src/deep /e",
        "COPY nothing* /x/", "COPY nothing* top.txt /x/", "COPY src/[!a].txt /w/", "COPY --exclude=a.txt src/*.txt /e/", "COPY --parents --chown=3:4 src/deep /p",
        "COPY --chmod=755 --parents src/deep /p", "COPY --link --chmod=0700 src /o", "COPY --parents=false top.txt /p", "COPY --exclude=src . /e",
        "COPY --chmod=640 top.txt /new/dir/f", "COPY --chmod=750 src /new/dir", "RUN mkdir -m 751 /there\nCOPY --chmod=700 src /there", "COPY --chmod=u=rwx,go= src /new/dir", "COPY --chown=1000 top.txt /new/dir/f",
        "COPY --chmod=740 --parents src/a.txt /p", "COPY --exclude=*.md src/* /e/", "COPY src/deep/./er /e", "COPY --chown=4:0 --link top.txt /n/f", "COPY / /root-of-context", "COPY src/../top.txt /up"], TREE, newer=True)


def kinds():
    files = {"links/to-file": link("target"), "links/target": "t", "links/dangling": link("/nowhere/at/all"), "links/dir": link("sub"), "links/sub/f": "f",
             "hard/one": "same", "hard/two": hard_link("one"), "hard/three": hard_link("one"), "sparse": sparse(300_000), "empty": "", "dirs/none": directory(0o750),
             "dirs/sticky": directory(0o1777), "modes/suid": mode(0o4755), "modes/none": mode(0o000), "modes/sgid": mode(0o2711), "attr": attributes(colour="blue", taste="salt"),
             "名前/ファイル": "unicode", "with space/and 'quote'": "q", "-dash": "d"}
    yield from numbered("kinds", ["COPY links /l", "COPY links/dir /l", "COPY links/to-file /l", "COPY hard /h", "COPY hard/one hard/two /h/", "COPY sparse /s", "COPY empty /e",
                                  "COPY dirs /d", "COPY modes /m", "COPY --chown=9:9 modes /m", "COPY [\"名前\", \"/n\"]", "COPY [\"with space/and 'quote'\", \"/q\"]", "COPY -dash /d",
                                  "COPY . /all"], files)
    yield from numbered("kinds-new", ["COPY attr /a", "COPY --chown=3:3 attr /a", "COPY . /all\nRUN ln /all/hard/one /all/hard/four"], files, newer=True)


def runs():
    yield from numbered("run", [
        "RUN echo hi > /f", "RUN [\"/bin/sh\", \"-c\", \"echo hi > /f\"]", "RUN mkdir -p /a/b && chmod 700 /a/b && chown 3:4 /a", "RUN rm /bin/vi", "RUN rm -r /bin/vi /bin/awk && touch /bin/awk",
        "RUN ln /bin/busybox /hard && ln -s /hard /soft", "RUN mkfifo /pipe", "RUN truncate -s 1000000 /sparse", "RUN touch /a /b\nRUN rm /a\nRUN mv /b /c",
        "RUN mkdir /d && touch /d/x\nRUN rm -r /d && mkdir /d && touch /d/y", "RUN mkdir /d && touch /d/x\nRUN rm -r /d\nRUN mkdir -m 711 /d", "RUN mkdir /d && touch /d/x\nRUN rm -r /d && echo file > /d",
        "RUN touch /d\nRUN rm /d && mkdir /d && touch /d/in", "RUN chmod 4711 /bin/busybox", "RUN chown 5:5 /bin", "RUN true", "RUN echo $PATH $HOME $PWD > /env",
        "WORKDIR /w\nRUN pwd > out", "ENV A=1\nRUN echo $A > /a\nENV A=2\nRUN echo $A > /b", "ARG A=1\nRUN echo $A > /a", PASSWD + "USER app\nRUN id > /tmp/../dev/null; touch /tmp/x 2>/dev/null || true",
        PASSWD + "RUN mkdir -m 1777 /t\nUSER app\nRUN id > /t/id && umask > /t/umask && echo $HOME > /t/home", PASSWD + "RUN mkdir -m 1777 /t\nUSER 1000:33\nRUN id > /t/id", PASSWD + "RUN mkdir -m 1777 /t\nUSER 4242\nRUN id -u > /t/id; id -g >> /t/id; echo $HOME > /t/home",
        "SHELL [\"/bin/sh\", \"-ec\"]\nRUN false || echo ok > /f", "RUN echo one \\\n  && echo two > /f \\\n  # a comment\n  && echo three >> /f", "RUN echo \"a  b\"  'c  d' > /f", "RUN echo \\$HOME \\\\ > /f",
        "RUN mkdir -p /x/y && touch -d '2001-01-01' /x/y && touch /x/y/z", "RUN cp -a /bin/busybox /copy && rm /copy", "RUN mkdir /empty && chmod 555 /empty", "RUN touch \"/with space\" '/quote\"d'",
        "RUN rm -rf /bin/a* && touch /bin/aa", "RUN for i in 1 2 3; do echo $i > /n$i; done", "RUN echo x > /etc/hosts; echo y > /etc/resolv.conf; true", "RUN test -e /etc/passwd && echo yes > /f || echo no > /f",
        "RUN mkdir -p /proc/x /sys/x 2>/dev/null; mkdir -p /dev/shm/x; true", "RUN touch /dev/x", "RUN mkdir -p /run/x && touch /run/x/y", "RUN touch /.dockerenv-not && rm /.dockerenv-not"])
    yield from numbered("run-new", ["RUN --network=none echo x > /f", "RUN --network=host echo x > /f", "RUN --network=default echo x > /f", "RUN --security=sandbox echo x > /f"], newer=True)


def documents():
    yield from numbered("document", [
        "RUN <<EOF\necho one > /one\necho two > /two\nEOF", "RUN <<-EOF\n\techo one > /one\n\tEOF", "RUN <<'EOF'\necho \"$HOME\" > /f\nEOF", "RUN <<EOF\n#!/bin/busybox sh\necho script > /f\nEOF",
        "RUN cat <<EOF > /f\n$HOME text\nEOF", "RUN cat <<A > /a && cat <<B > /b\nin a\nA\nin b\nB", "RUN sh <<EOF\necho hi > /f\nEOF", "COPY <<EOF /f\nline\nEOF", "ARG V=v\nCOPY <<EOF /f\n$V ${V:-x} \\$V \\n \"q\" 'q'\nEOF",
        "ARG V=v\nCOPY <<'EOF' /f\n$V\nEOF", "COPY <<one <<two /dir/\n1\none\n2\ntwo", "COPY --chmod=755 --chown=3:4 <<EOF /bin/tool\n#!/bin/sh\nEOF", "COPY <<-EOF /f\n\ttabs\n\t\tmore\n\tEOF", "ADD <<EOF /f\nadd\nEOF",
        "COPY top <<EOF /dir/\ntext\nEOF", "RUN <<EOF cat > /f\nfrom stdin\nEOF", "RUN <<EOF\nEOF", "COPY <<EOF /empty\nEOF"], {"top": "top"}, newer=True)


def adds():
    plain = (("d", None, 0o750, 7, 8), ("d/f", "file", 0o640, 7, 8), ("l", ("link", "d/f"), 0o777, 1, 1), ("h", ("hard", "d/f"), 0o640, 7, 8))
    files = {"a.tar": archive("", *plain), "a.tgz": archive("gz", *plain), "a.tar.bz2": archive("bz2", *plain), "a.txz": archive("xz", *plain), "no.tar": "no archive", "top.txt": "top",
             "dir/inner.tgz": archive("gz", *plain), "empty.tar": archive("")}
    yield from numbered("add", ["ADD top.txt /", "ADD no.tar /", "ADD dir /d", "ADD --chown=3:4 top.txt /t", "ADD a.tar /x", "ADD a.tgz /x/", "ADD a.tar.bz2 /x/", "ADD a.txz /x/", "COPY a.tgz /x/",
                                "RUN mkdir -p /x/d && touch /x/d/before\nADD a.tar /x/", "ADD a.tar top.txt /x/", "ADD *.txt /w/"], files)
    yield from numbered("add-new", ["ADD --chown=3:4 a.tar /x", "ADD --chmod=700 a.tar /x", "ADD --unpack=false a.tgz /x/", "ADD --exclude=*.txt . /x/", "ADD --link a.tar /x/", "RUN mkdir -m 700 /x\nADD a.tgz /x"], files, newer=True)


def variables():
    tests = ["$V", "${V}", "${V:-d}", "${V-d}", "${U:-d}", "${U-d}", "${E:-d}", "${E-d}", "${V:+p}", "${U:+p}", "${E+p}", "${E:+p}", "${V:?bad}", "pre${V}post", "$V$V", "\\$V", "'$V'", "\\\"$V\\\"", "${U:-${V}}", "${U:-a b}"]
    for number, word in enumerate(tests):
        yield Case(f"variable-{number:02}", f"FROM busybox\nARG V=value\nARG E=\nENV R=\"{word}\"\nLABEL l=\"{word}\"\nRUN echo \"$R\" > /f\n")
    newer = ["${P#*/}", "${P##*/}", "${P%/*}", "${P%%/*}", "${P/b/X}", "${P//b/X}", "${P/\\//-}", "${P//\\//-}", "${P#a}", "${P%c}", "${P%\\*}", "${P#?}", "${P//[b]/x}", "${P/*/all}", "$1", "$?x", "${U#a}", "${E//a/b}", "${P/q/z}"]
    for number, word in enumerate(newer):
        yield Case(f"expansion-{number:02}", f"FROM busybox\nARG P=a/b/b/c\nARG E=\nENV R=\"{word}\"\n", newer=True)
    yield from numbered("environment", ["ENV A=1 B=2", "ENV A 1 2 3", "ENV A=a\\ b", "ENV A=\"a b\" B='c d'", "ENV A=1\nENV A=2 B=$A", "ENV A=$PATH:/x", "ENV A=", "ENV A=a=b", "ENV A=\"\"",
                                        "ARG A=1\nENV A=$A", "ARG A\nENV B=x${A}y", "LABEL a=1 b.c=\"2 3\"", "LABEL a 1 2", "LABEL \"q.r\"=\"s\\\nt\"", "ENV A=\"multi \\\nline\""])
    yield from numbered("argument", ["ARG A=1 B=2\nENV C=$A$B", "ARG A=1\nARG B=${A}2\nENV C=$B", "ARG A\nENV B=[$A]", "ARG A=default\nENV B=$A"], args={"A": "given"})
    yield from numbered("precedence", ["ENV A=env\nARG A=arg\nENV B=$A\nRUN echo $A > /f", "ARG A=arg\nENV A=env\nENV B=$A\nRUN echo $A > /f", "ARG A=1 B=$A\nENV C=$B"], newer=True)
    yield Case("argument-global", "ARG BASE=busybox\nARG V=1\nFROM $BASE\nENV A=[$V]\nARG V\nENV B=[$V]\n")
    yield Case("argument-global-given", "ARG V=1\nFROM busybox\nARG V\nENV B=[$V]\n", args={"V": "2"})
    yield Case("argument-global-default", "ARG V=1\nARG W=${V}2\nFROM busybox\nARG W=local\nENV B=[$W]\n")
    yield Case("argument-platform", "FROM busybox\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM\nENV A=$TARGETPLATFORM-$TARGETOS-$TARGETARCH-$TARGETVARIANT-$BUILDPLATFORM\n", newer=True)
    yield Case("argument-platform-undeclared", "FROM busybox\nENV A=[$TARGETARCH]\n")
    yield Case("argument-from-platform", "FROM --platform=$BUILDPLATFORM busybox\nRUN touch /x\n", newer=True)
    yield Case("argument-inherited", "FROM busybox AS a\nARG V=1\nFROM a\nENV W=[$V]\n", newer=True)
    yield Case("argument-proxy", "FROM busybox\nRUN echo $http_proxy > /f\n", args={"http_proxy": "http://proxy.test"})
    yield Case("argument-escape", "# escape=`\nFROM busybox\nENV A=`$x B=\"a`\"b\" C=c:\\d\nRUN echo a `\n b > /f\n")


def configuration():
    yield from numbered("config", [
        "CMD a b", "CMD [\"a\", \"b\"]", "ENTRYPOINT a b", "ENTRYPOINT [\"a\"]\nCMD [\"b\"]", "CMD [\"b\"]\nENTRYPOINT [\"a\"]", "CMD []", "ENTRYPOINT []", "SHELL [\"/bin/sh\", \"-x\"]\nCMD a\nENTRYPOINT b",
        "EXPOSE 80", "EXPOSE 80/udp 443/tcp", "EXPOSE 8000-8003", "ARG P=81\nEXPOSE $P", "VOLUME /data", "VOLUME [\"/a\", \"/b c\"]", "VOLUME /a /b", "USER 1000", "USER nobody:nogroup", "USER 5:6",
        "WORKDIR /a\nWORKDIR b\nWORKDIR ../c", "WORKDIR /a/b/\nRUN pwd > /f", "ENV D=/e\nWORKDIR $D/f", "STOPSIGNAL SIGINT", "STOPSIGNAL 9", "HEALTHCHECK NONE", "HEALTHCHECK CMD true", "HEALTHCHECK --interval=10s --timeout=5s --start-period=1m --retries=4 CMD [\"a\", \"b\"]",
        "MAINTAINER some one <a@b>", "CMD echo \"$HOME\" 'x'", "CMD [\"a\",]", "CMD [ \"a\" ]", "CMD [a, b]", "ENTRYPOINT exec top -b", "LABEL a=b\nLABEL a=c", "EXPOSE 80\nEXPOSE 80/tcp\nEXPOSE 81", PASSWD + "USER app\nWORKDIR /mine", "ONBUILD RUN touch /x\nONBUILD COPY a b"])
    yield from numbered("config-new", ["HEALTHCHECK --start-interval=2s --interval=1m CMD x", "HEALTHCHECK --interval=1m30s CMD x", "EXPOSE 8080:80", "WORKDIR /a b", "VOLUME rel", "EXPOSE 80/TCP", "CMD"], newer=True)


def stages():
    two = "FROM busybox AS build\nRUN mkdir -p /out/d && echo 1 > /out/a && echo 2 > /out/d/b && chown -R 5:6 /out && chmod 2755 /out/d && ln /out/a /out/h && ln -s a /out/l && touch /only\n"
    ends = ["FROM busybox\nCOPY --from=build /out /in", "FROM scratch\nCOPY --from=build /out /", "FROM scratch\nCOPY --from=build /out/a /out/d /x/", "FROM busybox\nCOPY --from=0 /out/a /", "FROM build\nRUN rm /out/a", "FROM busybox\nCOPY --from=busybox /bin/vi /vi",
            "FROM busybox\nCOPY --from=build --chown=1:1 /out /in", "FROM busybox\nCOPY --from=build /out/l /resolved", "FROM build AS next\nRUN echo more > /more\nFROM next\nRUN rm /only", "FROM busybox\nCOPY --from=BUILD /out/* /in/", "FROM busybox AS unused\nRUN false\nFROM busybox\nRUN touch /x",
            "FROM busybox\nCOPY --from=build /out/ /in/\nCOPY --from=build /out/d /in/d2", "FROM scratch\nCOPY --from=build /bin/busybox /bin/sh\nCMD [\"/bin/sh\"]"]
    for number, end in enumerate(ends):
        yield Case(f"stage-{number:02}", two + end + "\n", newer=number in (9, 10))
    yield Case("stage-target", "FROM busybox AS one\nRUN touch /one\nFROM one AS two\nRUN touch /two\n", target="one")
    yield Case("stage-target-number", "FROM busybox AS one\nRUN touch /one\nFROM one\nRUN touch /two\n", target="0", newer=True)
    yield Case("stage-duplicate", "FROM busybox AS a\nRUN touch /1\nFROM busybox AS a\nRUN touch /2\nFROM a\n", newer=True)
    yield Case("stage-mount", two + "FROM busybox\nRUN --mount=from=build,target=/b cp -a /b/out /copy\n")
    yield Case("stage-onbuild", "FROM busybox AS base\nONBUILD RUN echo trigger > /t\nONBUILD ENV A=1\nFROM base\nRUN cat /t > /u\n", newer=True)
    yield Case("stage-onbuild-document", "FROM busybox AS base\nONBUILD COPY <<EOF /t\ntext\nEOF\nFROM base\n", newer=True)
    yield Case("stage-arg-name", "ARG WHICH=b\nFROM busybox AS a\nRUN touch /a\nFROM busybox AS b\nRUN touch /b\nFROM ${WHICH}\nRUN touch /c\n")
    yield Case("stage-whiteouts", "FROM busybox AS a\nRUN mkdir /d && touch /d/1 /d/2\nRUN rm /d/1\nRUN rm -r /d && mkdir /d && touch /d/3\nFROM scratch\nCOPY --from=a /d /d\n")
    yield Case("stage-scratch-empty", "FROM scratch\nLABEL a=b\nCOPY a /\n", {"a": "a"})


def mounts():
    files = {"ctx/a": "a", "ctx/run": mode(0o755, "#!/bin/sh\necho ran > /ran\n"), "token": "s3cr3t\n"}
    yield from numbered("mount", ["RUN --mount=type=tmpfs,target=/t touch /t/x && touch /y", "RUN --mount=type=cache,target=/c touch /c/x && ls /c > /f", "RUN --mount=target=/m,source=ctx cat /m/a > /f", "RUN --mount=target=/m,source=ctx/a cat /m > /f",
                                  "RUN --mount=type=bind,source=ctx,target=/m,rw touch /m/new && ls /m > /f", "RUN --mount=type=tmpfs,target=/new/dir true", "RUN --mount=type=cache,target=/cc,uid=5,gid=6,mode=0711 stat -c %u:%g:%a /cc > /f"], files)
    yield from numbered("mount-new", ["WORKDIR /w\nRUN --mount=target=rel,source=ctx cat rel/a > f", "RUN --mount=type=secret,id=none true", "RUN --mount=type=cache,target=/c,from=busybox,source=/bin ls /c | head -3 > /f", "ARG T=/vt\nRUN --mount=type=tmpfs,target=$T touch /vt/x; ls / | grep vt > /f",
                                      "RUN --mount=type=cache,target=/c,id=shared,sharing=locked touch /c/one\nRUN --mount=type=cache,target=/d,id=shared ls /d > /f", "RUN --mount=target=/m,source=ctx,rw=true rm /m/a; ls /m > /f", "RUN --mount=type=tmpfs,target=/bin/x true",
                                      "RUN --mount=type=bind,source=ctx,target=/m touch /m/x 2>/dev/null || echo read-only > /f"], files, newer=True)
    for number, text in enumerate(["RUN --mount=type=secret,id=tok cat /run/secrets/tok | wc -c > /f", "RUN --mount=type=secret,id=tok,target=/s,mode=0444,uid=3,gid=4 stat -c %u:%g:%a /s > /f", "RUN --mount=type=secret,id=tok,env=TOK echo ${#TOK} > /f",
                                   "RUN --mount=type=secret,id=tok,target=/deep/in/dir/s true", "RUN --mount=type=secret,id=tok,required=true test -s /run/secrets/tok && touch /ok", "RUN --mount=type=secret,id=tok stat -c %u:%g:%a /run/secrets/tok > /f"]):
        yield Case(f"secret-{number:02}", "FROM busybox\n" + text + "\n", files, secrets={"tok": "CONTEXT/token"}, newer=True)


def ignores():
    files = {"a.txt": "a", "b.md": "b", "d/c.txt": "c", "d/e/f.txt": "f", "d/keep": "k", ".hidden": "h", "node_modules/x/y": "y", "log/x.log": "l"}
    for number, rules in enumerate(["*.md", "d", "d/*", "**/*.txt", "*\n!a.txt", "*\n!d/keep", "d\n!d/keep", "**\n!**/*.txt", "# comment\n\na.txt  ", "/a.txt", "d/e/", "!a.txt", "*.txt\n!d/c.txt\nd/c.txt", "?.txt", "[ab].*", "node_modules\nlog/**", ".*", "d/**/f.txt", "Dockerfile\n.dockerignore", "**/x*"]):
        yield Case(f"ignore-{number:02}", "FROM busybox\nCOPY . /all\n", {**files, ".dockerignore": rules}, newer=number in (16, 18))
    yield Case("ignore-own", "FROM busybox\nCOPY . /all\n", {**files, ".dockerignore": "*.txt", "my.Dockerfile.dockerignore": "*.md"}, file="my.Dockerfile", newer=True)
    yield Case("ignore-subdirectory", "FROM busybox\nCOPY . /all\n", {**files, ".dockerignore": "build"}, file="build/Dockerfile", newer=True)


def syntax():
    yield from numbered("syntax", ["run echo lower > /f", "Run echo Mixed > /f", "RUN echo a > /f \\\n\\\n && echo b > /g", "   RUN echo indented > /f", "RUN\techo tab > /f", "# comment\nRUN echo x > /f # no comment",
                                   "RUN echo 'single \\' > /f", "RUN echo a  \\\n   b > /f", "COPY a\\ b /x", "RUN echo \"#hash\" > /f", "RUN echo a \\ \n b > /f", "RUN [ \"echo\", 'no json' ] || echo shell > /f", "RUN [ -e / ] && echo test > /f", "ENV A=x\\\ny"], {"a b": "space"})
    yield Case("syntax-crlf", "FROM busybox\r\nRUN echo x > /f\r\nENV A=b\r\n")
    yield Case("syntax-bom", "\ufeffFROM busybox\nRUN echo x > /f\n", newer=True)
    yield Case("syntax-no-newline", "FROM busybox\nRUN echo x > /f")
    yield Case("syntax-comment-first", "# just a comment\n\n\nFROM busybox\n# another\nRUN echo x > /f\n")


def accumulations():
    """Longer files, as people have them."""
    yield Case("app-ruby", "FROM busybox AS gems\nWORKDIR /app\nCOPY Gemfile Gemfile.lock ./\nRUN mkdir -p vendor/gems && cp Gemfile.lock vendor/gems/list\nFROM busybox\nRUN mkdir -p /etc && echo 'app:x:1000:1000::/app:/bin/sh' >> /etc/passwd && echo 'app:x:1000:' >> /etc/group\n"
               "WORKDIR /app\nCOPY --from=gems /app/vendor vendor\nCOPY --chown=app:app . .\nRUN chmod +x bin/start && rm -rf spec\nUSER app\nENV RACK_ENV=production PORT=3000\nEXPOSE 3000\nENTRYPOINT [\"bin/start\"]\nCMD [\"web\"]\n",
               {"Gemfile": "g", "Gemfile.lock": "l", "bin/start": "#!/bin/sh\n", "spec/x": "x", "config.ru": "run", "lib/a/b.rb": "b"})
    yield Case("app-node", "FROM busybox AS deps\nWORKDIR /srv\nCOPY package*.json ./\nRUN mkdir node_modules && echo dep > node_modules/dep.js\nFROM deps AS test\nCOPY . .\nRUN test -f index.js\nFROM busybox\nWORKDIR /srv\nCOPY --from=deps /srv/node_modules ./node_modules\nCOPY . .\nHEALTHCHECK --interval=5s CMD wget -q localhost:3000\nCMD [\"node\", \"index.js\"]\n",
               {"package.json": "{}", "package-lock.json": "{}", "index.js": "x", "node_modules/local": "must not win", ".dockerignore": "node_modules\n"})
    yield Case("app-static", "FROM scratch\nADD rootfs.tgz /\nCOPY --chmod=555 app /app\nUSER 65534:65534\nENTRYPOINT [\"/app\"]\n", {"rootfs.tgz": archive("gz", ("etc", None, 0o755, 0, 0), ("etc/passwd", "root:x:0:0::/:/\n", 0o644, 0, 0)), "app": "binary"})
    yield Case("app-churn", "FROM busybox\n" + "".join(f"RUN mkdir -p /d{i % 3} && echo {i} > /d{i % 3}/f{i} && rm -f /d{(i + 1) % 3}/f{i - 2}\n" for i in range(12)))
    yield Case("app-deep", "FROM busybox\n" + "".join(f"COPY f /{'/'.join('abcdefgh'[:i + 1])}/f{i}\n" for i in range(8)), {"f": "f"})
    for number in range(12):  # files that come, change their kind, and go
        steps = ["mkdir -p /k/x", "rm -rf /k/x", "echo file > /k/x", "ln -s y /k/x", "mkdir -p /k/y/z", "touch /k/y/z/f", "chmod 700 /k", "chown 3:3 /k", "mv /k /m", "mkdir /k", "cp -a /m /k/m", "rm -rf /m"]
        order = steps[number:] + steps[:number]
        yield Case(f"kinds-change-{number:02}", "FROM busybox\nRUN mkdir -p /k\n" + "".join(f"RUN {step} 2>/dev/null || true\n" for step in order))


def failures():
    """Both must refuse, whatever their words."""
    yield from numbered("refused", ["COPY missing /", "RUN false", "COPY --from=nostage /x /", "USER ghost\nRUN true", "COPY a b /nodir", "FROM", "ENV", "COPYY a b", "WORKDIR", "EXPOSE http", "ADD --chmod=999 a /", "ENV A=${U:?must be set}", "RUN <<EOF\nno end",
                                    "HEALTHCHECK --interval=x CMD y", "ONBUILD ONBUILD RUN x", "SHELL not json", "LABEL a=\"open", "RUN mkdir /d && touch /f\nCOPY dir /f"], {"a": "a", "b": "b", "dir/x": "x"}, newer=True)


FAMILIES = [copies, kinds, runs, documents, adds, variables, configuration, stages, mounts, ignores, syntax, accumulations, failures]


def all_cases():
    import reference  # which uses what stands above
    return [case for family in FAMILIES + reference.FAMILIES for case in family()]
