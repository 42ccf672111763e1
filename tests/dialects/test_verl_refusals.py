"""Names that verl, or what it hands them to, takes for something else than was meant."""

from __future__ import annotations

import pytest

from rldoctor.dialects.verl.refusals import refuse
from rldoctor.types import Setting


def says(**words: str) -> list[str]:
    keys = {
        "model": "actor_rollout_ref.model.path",
        "resume": "trainer.resume_from_path",
        "mode": "trainer.resume_mode",
        "teacher": "distillation.teacher_models.teacher_model.model_path",
        "engine": "actor_rollout_ref.rollout.name",
        "sglang": "actor_rollout_ref.rollout.engine_kwargs.sglang.attention_backend",
        "trust": "actor_rollout_ref.model.trust_remote_code",
    }
    settings = {keys[name]: Setting(keys[name], value, "override") for name, value in words.items()}
    return [each.says for each in refuse(settings, "0.9")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"model": "/c/global_step_20/actor"}, "shards of a training state"),
        ({"model": "/c/global_step_20/actor/huggingface"}, None),
        ({"model": "moonshotai/Moonlight-16B-A3B-Instruct"}, "code of its own"),
        ({"model": "moonshotai/Moonlight-16B-A3B-Instruct", "trust": "True"}, None),
        ({"model": "meta-llama/Llama-3.1-8B"}, "no chat template"),
        ({"model": "meta-llama/Llama-3.1-8B-Instruct"}, None),
        ({"mode": "resume_path", "resume": "/c/global_step_20/"}, "no part of a number"),
        ({"mode": "resume_path", "resume": "/c/global_step_20/actor"}, "no part of a number"),
        ({"mode": "resume_path", "resume": "/c/global_step_20"}, None),
        ({"mode": "auto", "resume": "/c/global_step_20/"}, None),
        ({"model": "Qwen/Qwen3-8B", "teacher": "meta-llama/Llama-3.1-70B-Instruct"}, "different families"),
        ({"model": "Qwen/Qwen3-8B", "teacher": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"}, None),
        ({"engine": "vllm", "sglang": "fa3"}, "gets no arguments of sglang"),
        ({"engine": "sglang", "sglang": "fa3"}, None),
    ],
)
def test_a_name_and_what_it_is_taken_for(words: dict[str, str], said: str | None) -> None:
    found = says(**words)
    assert (len(found) == 1 and said in found[0]) if said is not None else not found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"enable": "True"}, "measured from max_resp_len"),
        ({"enable": "True", "most": "2048"}, None),
        ({"enable": "False"}, None),
        ({"enable": "True", "most": "2048", "factor": "-1.0"}, "a negative one rewards them"),
    ],
)
def test_a_penalty_for_overlong_answers(words: dict[str, str], said: str | None) -> None:
    section = "reward_model.reward_kwargs."
    keys = {
        "enable": f"{section}overlong_buffer_cfg.enable",
        "factor": f"{section}overlong_buffer_cfg.penalty_factor",
        "most": f"{section}max_resp_len",
    }
    settings = {keys[name]: Setting(keys[name], value, "append") for name, value in words.items()}
    found = [each.says for each in refuse(settings, "0.6.1")]
    assert (len(found) == 1 and said in found[0]) if said is not None else not found
