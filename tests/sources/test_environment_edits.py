"""Environment variables: set, changed and taken away where the command takes them from."""

import pytest

from rldoctor import sources


def edited(script, name, value):
    document = sources.read_text(script, "run.sh", "shell")
    command = document.worlds[0][-1]
    edits = sources.set_env(document, command, name, value)
    data = document.files["run.sh"]
    for edit in sorted(edits, key=lambda each: -each.start):
        assert data[edit.start : edit.end].decode() == edit.old
        data = data[: edit.start] + edit.new.encode() + data[edit.end :]
    again = sources.read_text(data, "run.sh", "shell").worlds[0][-1]
    found = {setting.key: setting.value for setting in again.env}
    assert found.get(name) == (None if value is None else str(value))
    return data.decode()


@pytest.mark.parametrize(
    ("script", "value", "becomes"),
    [
        ("export V=1\npython t.py\n", 2, "export V=2\npython t.py\n"),
        ("export A=0 V='1' # why\npython t.py\n", 2, "export A=0 V='2' # why\npython t.py\n"),
        ("V=1 python t.py\n", 2, "V=2 python t.py\n"),
        ("env V=1 python t.py\n", 2, "env V=2 python t.py\n"),
        ("export V=${V:-1}\npython t.py\n", 2, "export V=${V:-2}\npython t.py\n"),
        ("export V=$(nproc)\npython t.py\n", 2, "export V=2\npython t.py\n"),
        ("set -x\npython t.py\n", "a b", "set -x\nexport V='a b'\npython t.py\n"),
        (
            "if true; then\n    nohup \\\n      python t.py &\nfi\n",
            2,
            "if true; then\n    export V=2\n    nohup \\\n      python t.py &\nfi\n",
        ),
        ("set -x\r\nsrun -N 1 \\\r\n  t.py\r\n", 2, "set -x\r\nexport V=2\r\nsrun -N 1 \\\r\n  t.py\r\n"),
        ("export V=1\npython t.py\n", None, "python t.py\n"),
        ("export A=0 V=1\npython t.py\n", None, "export A=0\npython t.py\n"),
        ("A=0 V=1 python t.py\n", None, "A=0 python t.py\n"),
        ("V=1 \\\n  python t.py\n", None, "python t.py\n"),
        ("V=1; export V; python t.py\n", None, "export V; python t.py\n"),
    ],
)
def test_a_plain_command_takes_its_environment_from_exports_and_prefixes(script, value, becomes):
    assert edited(script, "V", value) == becomes


def job(pairs, quote='\\"'):
    body = pairs.replace('"', quote)
    return f'RUNTIME_ENV="{{{body}}}"\nray job submit --runtime-env-json="${{RUNTIME_ENV}}" -- python3 t.py\n'


LINES = '\n  "env_vars": {\n    "A": "0",\n    "V": "1"\n  }\n'


@pytest.mark.parametrize(
    ("pairs", "value", "becomes"),
    [
        (LINES, "2", LINES.replace('"V": "1"', '"V": "2"')),
        (LINES, 'x "y"', LINES.replace('"V": "1"', '"V": "x \\"y\\""')),
        (LINES, None, '\n  "env_vars": {\n    "A": "0"\n  }\n'),
        ('"env_vars": {"V": "1", "B": "2"}', None, '"env_vars": {"B": "2"}'),
        ('"env_vars": {"A": "0"}', "2", '"env_vars": {"A": "0", "V": "2"}'),
        (
            '\n  "env_vars": {\n    "A": "0"\n  }\n',
            "2",
            '\n  "env_vars": {\n    "A": "0",\n    "V": "2"\n  }\n',
        ),
        ('"env_vars": {}', "2", '"env_vars": {"V": "2"}'),
    ],
)
def test_a_ray_job_takes_its_environment_from_its_json(pairs, value, becomes):
    expected = job(becomes.replace('\\"', "\0")).replace("\0", '\\\\\\"')
    assert edited(job(pairs), "V", value) == expected


def test_json_in_single_quotes_keeps_its_quotes():
    script = 'ray job submit --runtime-env-json=\'{"env_vars": {"A": "0"}}\' -- python3 t.py\n'
    assert edited(script, "V", "2") == script.replace('"A": "0"', '"A": "0", "V": "2"')


def test_a_value_from_a_variable_becomes_a_literal_in_the_json():
    script = job('"env_vars": {"V": "${X}"}').replace("RUNTIME", "X=1\nRUNTIME", 1)
    assert edited(script, "V", "2") == script.replace("${X}", "2")


def test_a_job_without_json_gets_one():
    script = "ray job submit --address=x -- python3 t.py --a 1\n"
    assert edited(script, "V", "2") == (
        'ray job submit --address=x --runtime-env-json=\'{"env_vars": {"V": "2"}}\' -- python3 t.py --a 1\n'
    )


def test_nothing_to_unset_is_no_edit():
    document = sources.read_text("python t.py\n", "run.sh", "shell")
    assert sources.unset_env(document, document.worlds[0][-1], "V") == ()


def test_yaml_recipes_have_their_own_mapping():
    recipe = "ENV_VARS:\n  A: 1\nMODEL_ARGS:\n  --lr: 1\n"
    document = sources.read_text(recipe, "model_config.yaml", "yaml")
    command = document.worlds[0][0]
    (edit,) = sources.set_env(document, command, "V", "2")
    assert recipe[: edit.start] + edit.new + recipe[edit.end :] == recipe.replace(
        "  A: 1\n", "  A: 1\n  V: 2\n"
    )
