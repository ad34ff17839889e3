"""Differences that are right, each with its reason."""
import dataclasses


@dataclasses.dataclass
class Rule:
    builder: str  # whom we differ from; * is everyone
    case: str     # glob of case names
    line: str     # regular expression for the difference
    why: str


RULES = [
    Rule("buildah", "*", r"^config Labels:.*io\.buildah\.version", "buildah signs its images."),
    Rule("buildah", "*", r"^/(etc|etc/hostname|etc/hosts|etc/resolv\.conf|proc|sys|dev|run|run/\.containerenv): only theirs", "Mount points that buildah leaves in the image."),
    Rule("buildah", "kinds-*", r"mode [2467]\d+ / 0\d+$", "buildah loses set-user-id bits with --chown; BuildKit keeps them."),
    Rule("buildkit", "kinds-*", r"xattrs .*user\..* / None$", "Attributes of files in a context are kept; BuildKit's layers carry none but capabilities."),
    Rule("buildkit", "run-05", r"^/(bin/busybox|hard):", "A new hard link to a file of a lower layer: our layer holds both names, still one file; BuildKit's makes two files of them."),
    Rule("buildkit", "kinds-new-02", r"^/all/hard/(one|four): names", "The same."),
    Rule("buildkit", "run-new-01", r"theirs refuses", "--network=host: BuildKit wants its entitlement, which is a matter of how it was started."),
    Rule("*", "refused-04", r"ours refuses", "Several sources to what is no directory: the reference says it is an error; BuildKit 0.26 keeps the last file and loses the others."),
    Rule("buildkit", "syntax-08", r"ours builds", "A blank behind the escape character does not end a word in COPY here, as it does not in ENV; BuildKit cuts there and finds no file."),
]
