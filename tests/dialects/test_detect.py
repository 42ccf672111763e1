import pytest

from rldoctor import dialects
from rldoctor.dialects.detect import Mark, detect_among
from rldoctor.sources import read_text
from rldoctor.types import Command, Document, Setting


def found(text, kind="shell"):
    detections = dialects.detect(read_text(text, f"run.{kind}", kind))
    return {(each.system, each.certainty) for each in detections}


def test_the_program_decides():
    assert found("python3 -m verl.trainer.main_ppo data.train_batch_size=8\n") == {("verl", "certain")}
    assert found("python3 -m recipe.dapo.main_dapo actor_rollout_ref.rollout.n=8\n") == {("verl", "certain")}


def test_an_evaluation_is_no_training_run_of_verl():
    assert found("python3 -m verl.trainer.main_eval data.path=x\n") == set()


def test_a_program_with_a_table_of_its_own_is_one_of_its_system():
    assert found("torchrun -m verl.trainer.sft_trainer data.train_batch_size=8 trainer.total_epochs=2\n") == {
        ("verl", "certain"),
        ("torchrun", "certain"),
    }


def test_a_general_program_needs_a_key_of_its_own():
    assert found("python3 train.py --lr 1e-3\n") == {("slime", "possible")}
    assert found("python3 train.py --rollout-batch-size 8 --num-layers 2\n") == {("slime", "certain")}


def test_keys_decide_where_no_program_is_known():
    pasted = "actor_rollout_ref.rollout.n=8"
    assert found(f"python3 my_trainer.py {pasted}\n") == {("verl", "certain")}
    assert found("actor_rollout_ref:\n  rollout:\n    n: 8\n", "yaml") == {("verl", "certain")}
    assert found("learning_rate: 1\n", "yaml") == set()


def test_one_file_speaks_several_systems():
    text = (
        "ray start --head --num-gpus 8\n"
        "ray job submit --address=x -- python3 train.py --rollout-batch-size 8 --num-rollout 3\n"
    )
    systems = found(text)
    assert ("slime", "certain") in systems and ("ray", "certain") in systems


def test_launchers_come_last():
    text = "ray start --head --num-gpus 8\npython3 -m verl.trainer.main_ppo data.train_batch_size=8\n"
    detections = dialects.detect(read_text(text, "run.sh", "shell"))
    assert [each.system for each in detections] == ["verl", "ray"]
    assert [each.launcher for each in detections] == [False, True]


@pytest.mark.parametrize("keys", [("--shared", "--outer-only"), ("--shared", "--shared-2", "--outer-only")])
def test_a_system_that_embeds_another_wins_by_a_key_of_its_own(keys):
    marks = (Mark("outer", (), ("--outer",), ("inner",)), Mark("inner", (), ("--shared",)))
    command = Command("", tuple(Setting(key, "1", "flag") for key in keys))
    detections = detect_among(Document("x", "command", ((command,),)), marks)
    assert [each.system for each in detections] == ["outer"]


def test_each_world_is_detected_on_its_own():
    verl = Command("verl.trainer.main_ppo")
    document = Document("x", "shell", ((verl,), ()))
    assert [each.world for each in dialects.detect(document)] == [0]
