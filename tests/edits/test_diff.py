import subprocess
from pathlib import Path

import pytest

from rldoctor.edits import diff, splice
from rldoctor.types import Edit, RLDoctorError

CRLF = b"trainer:\r\n  nodes: 1\r\n  name: x"


def edit(file: str, data: bytes, old: str, new: str) -> Edit:
    start = data.index(old.encode())
    return Edit(file, 1, start, start + len(old.encode()), "replace", old, new)


def test_a_diff_reads_like_one() -> None:
    data = b"set -x\nTP=8\nEP=1\n"
    assert diff([edit("/work/run.sh", data, "TP=8", "TP=4")], {"/work/run.sh": data}).splitlines() == [
        "--- a/work/run.sh",
        "+++ b/work/run.sh",
        "@@ -1,3 +1,3 @@",
        " set -x",
        "-TP=8",
        "+TP=4",
        " EP=1",
    ]


def test_nothing_changed_is_an_empty_diff() -> None:
    assert diff([], {}) == ""
    assert diff([edit("a", b"x\n", "x", "x")], {"a": b"x\n"}) == ""


def test_git_applies_the_diff_to_the_same_bytes(tmp_path: Path) -> None:
    data = {
        "a.sh": b"#!/bin/bash\n" + b"".join(b"line %d\n" % i for i in range(40)) + b"TP=8",
        "conf/b.yaml": CRLF,
    }
    edits = [
        edit("a.sh", data["a.sh"], "line 3\n", ""),
        edit("a.sh", data["a.sh"], "TP=8", "TP=4\n"),
        edit("conf/b.yaml", CRLF, "nodes: 1", "nodes: 2"),
        edit("conf/b.yaml", CRLF, "x", "é"),
    ]
    for name, content in data.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    command = ["git", "apply", "-p1", "--whitespace=nowarn"]
    subprocess.run(command, cwd=tmp_path, input=diff(edits, data).encode(), check=True)
    for name, content in data.items():
        assert (tmp_path / name).read_bytes() == splice(content, [e for e in edits if e.file == name])


def test_an_edit_of_an_unread_file_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="was not read"):
        diff([edit("a", b"x", "x", "y")], {})
