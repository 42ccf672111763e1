"""Names that a configuration gives of code, against the files that are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

VERL = """python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    actor_rollout_ref.actor.use_dynamic_bsz=True actor_rollout_ref.rollout.n=8 \\
    {words}
"""
SLIME = """python3 train.py --hf-checkpoint /models/Qwen3-4B --rollout-batch-size 32 \\
    {words}
"""


def findings(tmp_path: Path, text: str, code: str, name: str = "scores.py") -> list[Finding]:
    (tmp_path / name).write_text(code)
    script = tmp_path / "run.sh"
    script.write_text(text)
    found = check([str(script)], ToldFacts()).report.findings
    return [each for each in found if each.rule == "refused-setting"]


def test_a_function_that_the_file_lacks(tmp_path: Path) -> None:
    code = "def gsm_score(data_source, solution_str, ground_truth, extra_info=None):\n    return 1.0\n"
    found = findings(tmp_path, VERL.format(words="custom_reward_function.path=scores.py"), code)
    assert "has no compute_score, but gsm_score" in found[0].title
    assert "custom_reward_function.name=gsm_score" in "".join(each.new for each in found[0].remedies[0].edits)


@pytest.mark.parametrize(
    "code",
    [
        "from rewards.gsm import compute_score\n",
        "from rewards.gsm import *\n",
        "if True:\n    def compute_score(**kwargs):\n        return 0.0\n",
        "import functools\ncompute_score = functools.partial(max, 0.0)\n",
        "def compute_score(data_source, solution_str, ground_truth, extra_info, scale=1.0):\n    return 1\n",
        "def compute_score(\n",
    ],
)
def test_what_a_file_may_well_have(code: str, tmp_path: Path) -> None:
    assert not findings(tmp_path, VERL.format(words="custom_reward_function.path=scores.py"), code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("solution, truth", "does not take data_source, solution_str, ground_truth, extra_info"),
        ("data_source, solution_str, ground_truth, extra_info, weight", "wants weight besides"),
    ],
)
def test_a_function_that_cannot_be_called_so(arguments: str, said: str, tmp_path: Path) -> None:
    words = "custom_reward_function.path=scores.py custom_reward_function.name=score"
    found = findings(tmp_path, VERL.format(words=words), f"def score({arguments}):\n    return 1.0\n")
    assert said in found[0].title


def test_a_manager_of_whole_batches_calls_otherwise(tmp_path: Path) -> None:
    words = "custom_reward_function.path=scores.py reward_model.reward_manager=batch"
    code = "def compute_score(data_sources, solution_strs, ground_truths, extra_infos):\n    return [1.0]\n"
    assert not findings(tmp_path, VERL.format(words=words), code)


def test_a_dotted_name_of_slime(tmp_path: Path) -> None:
    text = SLIME.format(words="--custom-rm-path scores.rewrd_func")
    found = findings(tmp_path, text, "async def reward_func(args, sample):\n    return 1.0\n")
    assert found[0].remedies[0].edits[0].new == "--custom-rm-path scores.reward_func"


def test_a_file_of_slime_is_no_dotted_name(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mis.py").write_text("def weigh(args):\n    return args\n")
    (tmp_path / "mine" / "mis.yaml").write_text("bound: 2\n")
    (tmp_path / "run.sh").write_text(
        "python3 train.py --custom-config-path mine/mis.yaml --rollout-batch-size 8\n"
    )
    found = check([str(tmp_path / "run.sh")], ToldFacts(system="slime")).report.findings
    assert not [each for each in found if "mis" in each.title]


def test_an_agent_loop_that_its_file_does_not_list(tmp_path: Path) -> None:
    words = (
        "actor_rollout_ref.rollout.agent.agent_loop_config_path=loops.yaml "
        "actor_rollout_ref.rollout.agent.default_agent_loop=react"
    )
    listed = "- name: react_agent\n  _target_: agents.React\n- name: plain\n  _target_: agents.Plain\n"
    found = findings(tmp_path, VERL.format(words=words), listed, "loops.yaml")
    assert "defines react_agent, plain, and no react" in found[0].title
    assert "default_agent_loop=react_agent" in found[0].remedies[0].edits[0].new
    listed = listed.replace("name: plain", "name: react")
    assert not findings(tmp_path, VERL.format(words=words), listed, "loops.yaml")


def test_a_file_of_tools_without_any(tmp_path: Path) -> None:
    words = "actor_rollout_ref.rollout.multi_turn.tool_config_path=tools.yaml"
    wrong = "tool:\n  - class_name: verl.tools.gsm8k_tool.Gsm8kTool\n"
    assert (
        "has no list named tools"
        in findings(tmp_path, VERL.format(words=words), wrong, "tools.yaml")[0].title
    )
    assert not findings(tmp_path, VERL.format(words=words), wrong.replace("tool:", "tools:"), "tools.yaml")
