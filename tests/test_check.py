"""The story of check: branches of a script, several files, order, and edits until nothing is left."""

from pathlib import Path

import pytest

from rldoctor import check as module
from rldoctor import expr
from rldoctor.check import Checked, check
from rldoctor.facts import ToldFacts
from rldoctor.fix import chosen, fix
from rldoctor.rules import Index, Rule, Rung, Trigger

SCRIPT = """\
python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\
    actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=16 \\
    trainer.nnodes=4
"""
BRANCHES = """\
if nvidia-smi | grep -q H100; then EP=16; else EP=2; fi
python3 -m verl.trainer.main_ppo actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=$EP trainer.nnodes=4
"""


def rule(name: str, when: str, *rungs: Rung, severity: str = "error") -> Rule:
    return Rule(
        id=name, phase="train", severity=severity, title=name, explanation="", references=("x",),
        family="config", verdict="config", on=(Trigger("config"),), when=expr.compile(when), remedies=rungs,
    )  # type: ignore[arg-type]  # fmt: skip


def rung(concept: str, text: str, safety: str = "safe") -> Rung:
    return Rung("a cure", safety, set={concept: expr.compile(text)})  # type: ignore[arg-type]


FEWER = rule("too-many", "train.ep > 4", rung("train.ep", "halve(train.ep)"))


def use(patch: pytest.MonkeyPatch, *rules: Rule) -> None:
    index = Index.of(rules)
    patch.setattr(module, "index", lambda: index)


def run(folder: Path, text: str = SCRIPT, *more: str) -> Checked:
    path = folder / "train.sh"
    path.write_text(text)
    return check([str(path), *more], ToldFacts())


def test_what_holds_on_one_branch_of_the_script_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FEWER, rule("always", "train.nodes == 4"))
    found = {finding.rule: finding for finding in run(tmp_path, BRANCHES).report.findings}
    assert (found["too-many"].confidence, found["always"].confidence) == ("possible", "certain")
    assert "branch" in found["too-many"].assumes[-1]


def test_findings_stand_by_severity_then_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(
        monkeypatch,
        rule("late-error", "train.nodes == 4"),
        rule("early-hint", "train.ep == 16", severity="hint"),
        rule("early-error", "train.ep == 16"),
    )
    checked = run(tmp_path)
    assert [finding.rule for finding in checked.report.findings] == [
        "early-error",
        "late-error",
        "early-hint",
    ]
    assert checked.report.summary == "2 errors, 1 hint in 1 file."


def test_the_same_rule_in_two_files_is_two_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FEWER)
    other = tmp_path / "other.sh"
    other.write_text(SCRIPT)
    checked = run(tmp_path, SCRIPT, str(other))
    assert [finding.id for finding in checked.report.findings] == ["too-many", "too-many#2"]
    assert {finding.subject for finding in checked.report.findings} == {
        str(tmp_path / "train.sh"),
        str(other),
    }


def test_fixing_goes_on_until_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FEWER)
    run(tmp_path)
    fixed = fix([str(tmp_path / "train.sh")], ToldFacts())
    assert (tmp_path / "train.sh").read_text() == SCRIPT.replace("size=16", "size=4")
    assert fixed.checked.report.findings == () and len(fixed.applied) == 2
    assert [path.name for path in tmp_path.glob("*backup*")] == ["train.sh.rldoctor-backup"]
    assert (tmp_path / "train.sh.rldoctor-backup").read_text() == SCRIPT


def test_rules_that_undo_each_other_do_not_go_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(
        monkeypatch,
        rule("up", "train.ep == 2", rung("train.ep", "16"), severity="warning"),
        rule("down", "train.ep == 16", rung("train.ep", "2"), severity="warning"),
    )
    run(tmp_path)
    fixed = fix([str(tmp_path / "train.sh")], ToldFacts())
    assert 1 <= len(fixed.applied) <= 2
    assert len(fixed.left) == 1


def test_two_edits_of_the_same_text_are_not_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(
        monkeypatch,
        rule("first", "train.ep == 16", rung("train.ep", "2"), severity="warning"),
        rule("second", "train.ep > 8", rung("train.ep", "4"), severity="warning"),
    )
    (edit,) = chosen(run(tmp_path), unsafe=False)
    assert edit.new.endswith("size=2")


def test_possible_findings_are_not_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FEWER)
    assert chosen(run(tmp_path, BRANCHES), unsafe=True) == ()


SLIME = """\
python3 train.py --hf-checkpoint /models/Qwen3-30B-A3B --actor-num-nodes 1 --actor-num-gpus-per-node 8 \\
   --rollout-batch-size 32 --n-samples-per-prompt 8 --global-batch-size 256 --use-kl-loss --ref-load /m \\
   --num-experts 128 --expert-model-parallel-size 8 --pipeline-model-parallel-size 2
"""


def test_a_role_that_takes_its_layout_from_the_policy_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(SLIME)
    rules = [each.rule for each in check([str(path)], ToldFacts()).report.findings]
    assert rules.count("expert-parallel-size-does-not-divide-gpus") == 1


def test_a_word_that_is_no_choice_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        'experiment_name: a\nactor:\n  backend: "fsdp:d4"\nrollout:\n  backend: "sglang:d4"\n'
        "stats_logger:\n  wandb:\n    mode: of\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    assert [each.severity for each in found if each.rule == "unknown-choice"] == ["error"]


def test_two_refusals_of_one_setting_are_two_findings(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24 --recompute-granularity selective "
        "--recompute-modules moe_act mla_up_proj\n"
    )
    found = [
        each for each in check([str(path)], ToldFacts()).report.findings if each.rule == "refused-setting"
    ]
    assert len({each.id for each in found}) == len(found) == 2


def test_sizes_of_zero_are_told_and_break_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(f"{SLIME.rstrip()} --tensor-model-parallel-size 0 --save /c --save-interval 20\n")
    found = check([str(path)], ToldFacts()).report.findings
    assert any(each.title.startswith("Sizes are 1 at least") for each in found)


def test_a_mistake_of_two_branches_is_told_once(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        'if [ "$(nvidia-smi topo -m | grep -c NV)" -gt 0 ]; then HAS_NVLINK=1; else HAS_NVLINK=0; fi\n'
        "export NCCL_NVLS_ENABLE=$HAS_NVLINK\n"
        "if [ $HAS_NVLINK -gt 0 ]; then TP=2; else TP=1; fi\n"
        "python3 train.py --hf-checkpoint /m --actor-num-nodes 1 --actor-num-gpus-per-node 8 \\\n"
        "  --num-layers 48 --hidden-size 2048 --num-attention-heads 32 --moe-ffn-hidden-size 768 \\\n"
        "  --num-experts 128 --tensor-model-parallel-size $TP --sequence-parallel \\\n"
        "  --pipeline-model-parallel-size 2 --expert-model-parallel-size 8 --expert-tensor-parallel-size 1\n"
    )
    found = check([str(script)], ToldFacts()).report.findings
    wrong = [each for each in found if each.rule == "expert-parallel-size-does-not-divide-gpus"]
    assert [each.title.partition(":")[0] for each in wrong] == ["8 GPUs are not divisible by 16"]


def test_what_is_written_comes_before_what_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        "python3 -m verl.trainer.main_ppo \\\n    algorithm.gamma=1 \\\n    data.trian_batch_size=8\n"
    )
    rules = [
        each.rule for each in check([str(script)], ToldFacts()).report.findings if each.severity == "error"
    ]
    assert rules[0] == "unknown-key" and "no-micro-batch" in rules


def test_what_a_cut_off_command_lacks_is_no_finding_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        'export CUDA_VISIBLE_DEVICES="1,2,3,4"\npython3 -m verl.trainer.main_ppo \\\n'
        "    algorithm.adv_estimator=grpo \\ # ours\n    trainer.n_gpus_per_node=4 \\\n"
        "    actor_rollout_ref.actor.use_dynamic_bsz=True\n"
    )
    checked = check([str(script)], ToldFacts())
    errors = [each.rule for each in checked.report.findings if each.severity == "error"]
    assert errors[0] == "arguments-cut-off" and set(errors[1:]) <= {
        "no-micro-batch",
        "no-micro-batch-for-log-probabilities",
    }
    assert not any(cure.edits for each in checked.report.findings for cure in each.remedies)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.2", "0.3.1"])
def test_s4_check_asks_nobody_on_two_nodes_for_a_model_name(tmp_path: Path, version: str) -> None:
    # In every release each rank reads the model's config whatever --model-name says (backends/megatron_utils/
    # actor.py): the flag only chooses the converter of weights, so its absence tells no failure.
    script = tmp_path / "run.sh"
    script.write_text(
        "python3 train.py --actor-num-nodes 2 --actor-num-gpus-per-node 8 --colocate "
        "--hf-checkpoint /models/q --rollout-batch-size 32 --n-samples-per-prompt 8 --global-batch-size 256\n"
    )
    report = check([str(script)], ToldFacts(system="slime", versions={"slime": version})).report
    assert "--model-name" not in str([(found.title, found.remedies) for found in report.findings])
