"""Lines that bash takes for something else than they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

RUN = "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24"
JOB = 'ray job submit --address="http://127.0.0.1:8265" -- python3 train.py --hf-checkpoint /m --lr 1e-6'


def found(text: str, folder: Path, rule: str = "script-does-something-else") -> list[Finding]:
    path = folder / "run.sh"
    path.write_bytes(text.encode())
    return [each for each in check([str(path)], ToldFacts()).report.findings if each.rule == rule]


@pytest.mark.parametrize(
    ("text", "severity", "cure"),
    [
        (f"{RUN} \\\n  \u2014bf16\n", "error", "Write --bf16"),
        (f"{RUN} \\\n  \u2013-lr 1e-4\n", "error", "Write --lr"),
        (f"{RUN} --lr\u00a01e-4\n", "error", "Write --lr 1e-4"),
        (f"source \u201cmodel.sh\u201d\n{RUN}\n", "error", 'Write "model.sh"'),
        (f"A =(\n  --bf16\n)\n{RUN} ${{A[@]}}\n", "error", "Write A=("),
        (f"A=(\n  --bf16 \\ \n  --lr 1e-4\n)\n{RUN} ${{A[@]}}\n", "error", "Take the backslash out"),
        (
            f"export CUDA_VISIBLE_DEVICES=0, 1, 2\n{RUN}\n",
            "error",
            "CUDA_VISIBLE_DEVICES=0,1,2",
        ),
        (
            f"#!/bin/bash\ncd /work\n#SBATCH --nodes=2\n{RUN}\n",
            "warning",
            "Put all #SBATCH lines above the first command",
        ),
        (f"#!/bin/bash -ex\npkill -9 ray\n{RUN}\n", "warning", "pkill -9 ray || true, or set -e below it"),
        (f"{RUN} \\\r\n  --bf16\n", "error", "Give line 1 a Unix line end (sed -i 's/\\r$//' SCRIPT)"),
        (f"A+=(--bf16)\nA=(--lr 1e-4)\n{RUN} ${{A[@]}}\n", "warning", "A+=( in line 2, or both in one"),
        (f"A=(--bf16)\nA=(--lr 1e-4)\n{RUN} ${{A[@]}}\n", "warning", "A+=( in line 2, or both in one"),
    ],
)
def test_a_line_does_something_else(text: str, severity: str, cure: str, tmp_path: Path) -> None:
    (finding,) = found(text, tmp_path)
    assert finding.severity == severity
    assert [each.title for each in finding.remedies] == [cure]


@pytest.mark.parametrize(
    "text",
    [
        f"# \u201cquoted\u201d \u2014 in a comment\necho \u201cdone\u201d\n{RUN}\n",
        f'A="\u2014 text in quotes"\n{RUN} --lr 1e-4\n',
        f"python - <<'EOF'\nkeys = (\n  1,\n)\n#SBATCH --nodes=2\nEOF\n{RUN}\n",
        f"A=(\n  --bf16 \\\n  --lr 1e-4\n)\n{RUN} ${{A[@]}}\n",
        f"#!/bin/bash\n# a comment\n\n#SBATCH --nodes=2\n{RUN}\n",
        f"set -e\nset +e\npkill -9 ray\n{RUN}\n",
        f"set -ex\npkill -9 ray || true\n{RUN}\n",
        f"set -ex\n{RUN}\npkill -9 ray\n",
        f"A=(--bf16)\n{RUN} ${{A[@]}}\nA=(--lr 1e-4)\n{RUN} ${{A[@]}}\n",
        f'if [ "$B" = 1 ]; then\nA=(--bf16)\nelse\nA=(--lr 1e-4)\nfi\n{RUN} ${{A[@]}}\n',
        f'A=(--bf16)\nA=("${{A[@]}}" --lr 1e-4)\n{RUN} ${{A[@]}}\n',
    ],
)
def test_a_line_does_what_it_says(text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []


def test_a_negative_number_with_an_exponent(tmp_path: Path) -> None:
    (finding,) = found(f"{JOB} --entropy-coef -1e-05\n", tmp_path, "refused-setting")
    (edit,) = finding.remedies[0].edits
    assert edit.new == "--entropy-coef -0.00001"
    assert found(f"{JOB} --entropy-coef=-1e-05\n", tmp_path, "refused-setting") == []
    assert found(f"{JOB} --entropy-coef -0.5\n", tmp_path, "refused-setting") == []


def test_a_variable_of_a_job_under_another_name(tmp_path: Path) -> None:
    env = """--runtime-env-json='{"env_vars": {"PYTHON_PATH": "/root/Megatron-LM"}}'"""
    text = JOB.replace("-- python3", f"{env} -- python3")
    (finding,) = found(text, tmp_path, "variable-that-nothing-reads")
    assert finding.remedies[0].title == "PYTHONPATH in place of PYTHON_PATH"


def test_a_runtime_environment_without_quotes(tmp_path: Path) -> None:
    text = 'E="{\n \\"env_vars\\": {\\"A\\": \\"1\\"}\n}"\n' + JOB.replace(
        "-- python3", "--runtime-env-json=${E} -- python3"
    )
    (finding,) = found(text, tmp_path, "override-torn-by-a-space")
    assert finding.remedies[0].title == 'Write --runtime-env-json="${E}"'


def test_several_numbers_in_one_word(tmp_path: Path) -> None:
    (finding,) = found(f"{JOB} --rollout-stop-token-ids 151645,151643\n", tmp_path, "refused-setting")
    (edit,) = finding.remedies[0].edits
    assert edit.new == "--rollout-stop-token-ids 151645 151643"


def test_a_mapping_of_python_in_json(tmp_path: Path) -> None:
    wrong = """--apply-chat-template-kwargs '{"enable_thinking": False}'"""
    (finding,) = found(f"{JOB} {wrong}\n", tmp_path, "override-torn-by-a-space")
    assert finding.remedies[0].title == (
        """Write --apply-chat-template-kwargs '{"enable_thinking": false}'"""
    )
    assert found(f"{JOB} {wrong.replace('False', 'false')}\n", tmp_path, "override-torn-by-a-space") == []
