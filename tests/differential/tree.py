"""What an image holds: its flattened file tree and its configuration, read from an OCI layout by plain Python."""
import gzip
import hashlib
import io
import json
import subprocess
import tarfile

KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link",
         tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo", tarfile.GNUTYPE_SPARSE: "file"}


def blob(layout, digest):
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def plain(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def drop(tree, path):
    for name in [name for name in tree if name == path or name.startswith(path + "/")]:
        del tree[name]


def apply(tree, data):
    """One layer on top of `tree`: {path: description}; hard links share a set of names."""
    with tarfile.open(fileobj=io.BytesIO(plain(data))) as tar:
        members = tar.getmembers()
        below = set(tree)
        for member in members:  # whiteouts are about the layers below only
            path = member.name.strip("/").removeprefix("./")
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                for each in [each for each in below if each.startswith(parent + "/")]:
                    tree.pop(each, None)
            elif name.startswith(".wh."):
                drop(tree, (parent + "/" if parent else "") + name[4:])
        for member in members:
            path = member.name.strip("/").removeprefix("./")
            if not path or path == "." or path.rpartition("/")[2].startswith(".wh."):
                continue
            if member.islnk():
                target = member.linkname.strip("/").removeprefix("./")
                entry = tree[target]
                entry["names"] = sorted({*entry.get("names", [target]), path})
                for name in entry["names"]:
                    tree[name] = entry
                continue
            if path in tree and not (member.isdir() and tree[path]["kind"] == "dir"):
                drop(tree, path)
            entry = {"kind": KINDS[member.type], "mode": f"{member.mode & 0o7777:04o}", "owner": f"{member.uid}:{member.gid}"}
            if entry["kind"] == "file":
                content = tar.extractfile(member).read()
                entry |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()[:16]}
            if entry["kind"] == "link":
                entry |= {"to": member.linkname, "mode": "0777"}
            if entry["kind"] in ("char", "block"):
                entry["device"] = f"{member.devmajor}:{member.devminor}"
            xattrs = {key[len("SCHILY.xattr."):]: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            if xattrs:
                entry["xattrs"] = dict(sorted(xattrs.items()))
            tree[path] = entry
    return tree


def read(layout):
    """(tree, config) of the only image in the OCI layout."""
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(blob(layout, index["manifests"][0]["digest"]))
    if "manifests" in manifest:
        manifest = json.loads(blob(layout, manifest["manifests"][0]["digest"]))
    tree = {}
    for layer in manifest["layers"] or []:  # BuildKit: null
        apply(tree, blob(layout, layer["digest"]))
    document = json.loads(blob(layout, manifest["config"]["digest"]))
    config = {key: value for key, value in document.get("config", {}).items() if value not in (None, "", [], {}, False)}
    config.pop("ArgsEscaped", None)  # a note for Windows
    if document.get("author"):
        config["author"] = document["author"]
    return tree, config


def differences(ours, theirs):
    """Lines that say what is not the same; none when all is."""
    lines = []
    for path in sorted({*ours[0], *theirs[0]}):
        a, b = ours[0].get(path), theirs[0].get(path)
        if a is None or b is None:
            lines.append(f"/{path}: only {'theirs' if a is None else 'ours'} {a or b}")
        elif a != b:
            lines.append(f"/{path}: " + ", ".join(f"{key} {a.get(key)} / {b.get(key)}" for key in sorted({*a, *b}) if a.get(key) != b.get(key)))
    for key in sorted({*ours[1], *theirs[1]}):
        if ours[1].get(key) != theirs[1].get(key):
            lines.append(f"config {key}: {ours[1].get(key)} / {theirs[1].get(key)}")
    return lines
