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
    Rule("buildkit", "copying-0[12]", "ours builds", "The same for blanks in quotes: they end no word in COPY here."),
    Rule("buildkit", "heredoc-28", "ours builds", "The same."),
    Rule("buildkit", "setting-5[03]", "ours builds", "The same in EXPOSE and VOLUME."),
    Rule("buildkit", "copying-26", "ours builds", "A pattern that matches nothing: BuildKit wants the directory of the pattern to hold something that it sends."),
    Rule("buildkit", "copying-31", "ours refuses", "As refused-04, by a pattern: BuildKit keeps the last file and loses the others."),
    Rule("buildkit", "adding-20", "ours refuses", "As refused-04: the reference wants a / at the end."),
    Rule("buildkit", "copying-6[56]", "ours builds", "--parents of the whole context: BuildKit does not find \"/\"."),
    Rule("buildkit", "linked-*", "ours builds", "--parents through a link: BuildKit does not find the file."),
    Rule("buildkit", "copying-12[345]", "ours refuses", "--chown with a name that the image does not know: BuildKit makes it root's without a word."),
    Rule("buildkit", "copying-13[23]", "ours refuses", "--chown=-1 and 5:6:7: the same."),
    Rule("buildkit", "copying-130", "ours builds", "--chown=name with --link: the name is looked up in the layers below; BuildKit refuses."),
    Rule("buildkit", "copying-135", "ours refuses", "--from= without a name: a variable that is not replaced or a mistake; BuildKit takes the context."),
    Rule("buildkit", "heredoc-38", "ours refuses", "A JSON array has no here-documents: there is no file called <<EOF. BuildKit takes the next lines for its text."),
    Rule("buildkit", "adding-01", "ours refuses", "An archive with ../ in a name is hostile and refused; BuildKit unpacks it below the destination."),
    Rule("buildkit", "setting-21", "ours refuses", "USER with two words is a mistake; BuildKit writes both into the configuration."),
    Rule("buildkit", "setting-12[01]", "ours refuses", "A trigger that can never be carried out is refused where it is written, not where it is built on."),
    Rule("buildkit", "staged-16", "ours builds", "Stage names in FROM do not depend on case, as they do not in COPY --from."),
    Rule("buildkit", "mounted-10", "^/f", "A step without an agent has no SSH_AUTH_SOCK; BuildKit's names a socket that is not there."),
    Rule("buildkit", "ignored-38", "^/all/d.*only theirs", "BuildKit sends files that a later rule leaves out, as empty ones."),
    Rule("buildkit", "directive-06", "ours builds", "# syntax= names a front end that BuildKit fetches; here it is noted."),
    Rule("buildkit", "directive-09", "ours refuses", "# escape= without a character is a mistake; BuildKit passes it over."),
    Rule("buildkit", "directive-15", "ours builds", "The same."),
]
