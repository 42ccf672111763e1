from rldoctor.dialects.rows import Dialect, Row
from rldoctor.dialects.versions import in_force, newest, says

ROWS = (
    Row("train.tp", "tp", "int"),
    Row("sync.bucket", "old.bucket", "int", since="0.5", until="0.7"),
    Row("sync.bucket", "new.bucket", "int", since="0.7"),
    Row("rollout.eager", "eager", "bool", until="0.6"),
    Row("rollout.eager", "eager", "flag", since="0.8"),
)
DEMO = Dialect("demo", ROWS, releases=("0.5", "0.6", "0.7", "0.8", "0.10"))


def test_keys_that_still_work_allow_the_newest_release():
    assert newest(DEMO, {"tp", "new.bucket"}) == "0.10"
    assert newest(DEMO, {"eager"}) == "0.10"
    assert newest(DEMO, set()) == "0.10"


def test_a_key_that_was_removed_tells_an_older_release():
    assert newest(DEMO, {"old.bucket", "tp"}) == "0.6"


def test_keys_that_never_worked_together_leave_the_newest():
    assert newest(DEMO, {"old.bucket", "new.bucket"}) == "0.10"


def test_the_assumption_is_said():
    assert says(DEMO, "0.6") == "demo 0.6 (newest that the keys seen allow)"


def test_releases_are_ordered_as_versions():
    assert in_force(ROWS[4], "0.10") and not in_force(ROWS[4], "0.7")
    assert in_force(ROWS[3], None) is False and in_force(ROWS[4], None)
