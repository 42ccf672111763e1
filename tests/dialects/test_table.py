import json

import pytest

from rldoctor import dialects
from rldoctor.dialects import table
from rldoctor.dialects.rows import Dialect, as_json, embedded

HEAD = 'system: demo\nreleases: ["1.0", "2.0"]\nprograms: [demo]\nrows:\n'


def read(tmp_path, text):
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    return table.read(path)


def mistakes(tmp_path, text):
    with pytest.raises(table.DialectErrors) as error:
        read(tmp_path, text)
    return error.value.message.splitlines()


@pytest.mark.parametrize("name", dialects.NAMES)
def test_every_shipped_table_is_read_and_survives_json(name):
    shipped = dialects.load(name)
    assert Dialect.from_json(json.loads(json.dumps(as_json(shipped)))) == shipped
    assert shipped.rows and shipped.system == name


def test_an_unknown_system_is_told_with_the_nearest():
    with pytest.raises(table.RLDoctorError, match="unknown system slme, did you mean slime"):
        dialects.load("slme")


def test_a_file_with_many_mistakes_tells_them_all_with_their_lines(tmp_path):
    text = HEAD + (
        "- {concept: train.tpp, key: tp, type: int}\n"
        "- {concept: train.pp, key: pp, type: integer}\n"
        "- {concept: train.ep, key: ep, typ: int, when: train.tp = 2}\n"
        '- {concept: ckpt.format, key: fmt, type: enum, enum: {a: zarrr}, since: "3.0"}\n'
        "- {concept: train.backend, key: backend, type: str}\n"
        "- {concept: train.cp, role: judge, key: cp, type: str, scale: 2}\n"
    )
    said = mistakes(tmp_path, text)
    expected = [
        "line 5: train.tpp: unknown concept train.tpp, did you mean train.tp?",
        "line 6: train.pp: unknown type integer, did you mean int?",
        "line 7: train.ep: type is missing",
        "line 8: ckpt.format: 3.0 is none of the releases",
        "line 8: ckpt.format: unknown choice zarrr, did you mean zarr?",
        "line 9: train.backend: train.backend is an enum: say theirs: ours",
        "line 10: train.cp: scale belongs to a number",
    ]
    assert all(line in said for line in expected), said
    assert any("unknown key typ, did you mean type?" in line for line in said)
    assert any("train.tp = 2: not an expression" in line for line in said)
    assert any("unknown role judge" in line for line in said)


def test_a_condition_over_an_unknown_name_is_refused(tmp_path):
    said = mistakes(tmp_path, HEAD + "- {concept: train.tp, key: tp, type: int, when: train.backnd == 'x'}\n")
    assert said == ["line 5: train.tp: unknown concept train.backnd, did you mean train.backend?"]


def test_conditions_may_read_roles_versions_and_the_system(tmp_path):
    when = "critic.train.tp == 2 and version.demo < '2' and system == 'demo' and env.X == '1'"
    read(tmp_path, HEAD + f'- {{concept: train.tp, key: tp, type: int, when: "{when}"}}\n')


def test_broken_yaml_is_told_with_its_place(tmp_path):
    with pytest.raises(table.DialectErrors, match="line 5"):
        read(tmp_path, HEAD + "- {concept: train.tp, key: [}\n")


def test_a_file_without_rows_or_system_is_refused(tmp_path):
    assert mistakes(tmp_path, "rows: []\n")
    assert mistakes(tmp_path, "system: demo\n") == ["rows is a list of rows"]


def test_embedded_rows_come_after_and_behind_their_prefix(tmp_path):
    inner = read(
        tmp_path,
        'system: inner\nreleases: ["1.0", "2.0"]\nrows:\n'
        "- {concept: rollout.tp, key: --tp-size, aliases: [--tp], type: int, since: '2.0'}\n"
        "- {concept: rollout.dp, key: --dp, type: int, until: '2.0'}\n"
        "- {concept: rollout.max_seqs, key: --max-seqs, type: int, defaults: {'1.0': 8, '2.0': 16}}\n",
    )
    text = HEAD.replace("rows:", "embeds: [{system: inner, prefix: --in-}]\nrows:")
    outer = read(tmp_path, text + "- {concept: rollout.tp, key: --tp, type: int}\n")
    rows = embedded(outer, {"inner": inner}).rows
    assert [row.key for row in rows] == ["--tp", "--in-tp-size", "--in-max-seqs"]
    assert rows[1].aliases == ("--in-tp",) and rows[1].since is None
    assert rows[2].default == 16 and rows[2].defaults == ()
