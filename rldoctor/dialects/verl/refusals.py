"""What verl cannot do with names that it is given: models, checkpoints to go on from, arguments of engines.

Places are in verl/ at 1dda039b9 and at the tags v0.3.0 to v0.9.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rldoctor.dialects.limits import Cure, Limit
from rldoctor.dialects.values import plain
from rldoctor.types import Setting

MODEL: Final = "actor_rollout_ref.model.path"
CODE: Final = "actor_rollout_ref.model.trust_remote_code"
RESUME: Final = "trainer.resume_from_path"
ENGINE: Final = "actor_rollout_ref.rollout.name"
TEACHER: Final = "distillation.teacher_models.teacher_model.model_path"
ROLLOUT: Final = "actor_rollout_ref.rollout."
KWARGS: Final = f"{ROLLOUT}engine_kwargs."
_HANDED: Final = {
    "gpu_memory_utilization": "gpu_memory_utilization",
    "mem_fraction_static": "gpu_memory_utilization",
    "tensor_parallel_size": "tensor_model_parallel_size",
    "tp_size": "tensor_model_parallel_size",
    "max_model_len": "max_model_len",
    "context_length": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "max_running_requests": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "enforce_eager": "enforce_eager",
    "enable_chunked_prefill": "enable_chunked_prefill",
    "enable_prefix_caching": "enable_prefix_caching",
    "load_format": "load_format",
    "dtype": "dtype",
}
SFT: Final = ("model.path", "model.partial_pretrain")
_OVERLONG: Final = ("overlong_buffer_cfg.enable", "overlong_buffer_cfg.penalty_factor", "max_resp_len")
_NEGATIVE: Final = r"-\d+(?:\.\d*)?"
_SHARDS: Final = r"(.*/global_step_\d+/(?:actor|critic))/?"
_STEP: Final = r"(.*global_step_\d+)(/.*)"
_OWN_CODE: Final = (
    r"(?i)moonlight-|kimi-(?:vl|k2)|chatglm|glm-4-9b-chat(?!-hf)|internlm|baichuan|minicpm"
    r"|internvl(?!.*-hf)|phi-3-small"
)
_UNTAUGHT: Final = (
    r"(?i)(?:llama-2-\d+b(?:-hf)?|llama-3(?:\.\d)?-\d+b|mistral-7b-v0\.\d|gemma-(?:\d-)?\d+b"
    r"|deepseek-(?:llm|math)-\d+b-base|olmo-\d+b)\Z"
)
_FAMILY: Final = r"(?i)qwen|llama|mistral|gemma|glm|gpt-oss|phi-|internlm|olmo|deepseek|minimax|kimi"


def refuse(settings: Mapping[str, Setting], release: str) -> Iterator[Limit]:
    """Yield names that verl, or what it hands them to, takes for something else than was meant."""
    for key in (MODEL, *SFT):
        yield from _model(key, plain(settings.get(key)), settings)
    if plain(settings.get("trainer.resume_mode")) == "resume_path":
        yield from _checkpoint(plain(settings.get(RESUME)))
    if TEACHER in settings:
        yield from _teacher(plain(settings.get(MODEL)), plain(settings[TEACHER]))
    yield from _of_another_engine(settings)
    for section in ("reward_model.reward_kwargs", "reward.reward_kwargs"):
        yield from _overlong(section, settings)


def _overlong(section: str, settings: Mapping[str, Setting]) -> Iterator[Limit]:
    """workers/reward_manager/dapo.py: a penalty for answers that come near to the longest length."""
    switch, factor, most = (f"{section}.{name}" for name in _OVERLONG)
    if plain(settings.get(switch)).lower() != "true":
        return
    where = "workers/reward_manager/dapo.py"
    if most not in settings:
        length = plain(settings.get("data.max_response_length")) or "N"
        says = "The penalty of overlong answers is measured from max_resp_len, which is not told"
        advice = f"Write +{most}={length}, the longest answer"
        yield Limit(reads=(switch,), shows=(switch,), says=says, where=where, advice=advice)
    if re.fullmatch(_NEGATIVE, plain(settings.get(factor))):
        cures = (Cure(factor, ["const", abs(float(plain(settings[factor])))]),)
        says = "The factor is taken off for overlong answers: a negative one rewards them"
        yield Limit(reads=(factor,), shows=(factor,), says=says, where=where, severity="warning", cures=cures)


def _model(key: str, path: str, settings: Mapping[str, Setting]) -> Iterator[Limit]:
    shards = re.fullmatch(_SHARDS, path) if "global_step_" in path else None
    if shards is not None:
        yield Limit(
            reads=(key,),
            shows=(key,),
            says="That folder holds shards of a training state; HF weights, if saved, are in huggingface/",
            where="utils/checkpoint/fsdp_checkpoint_manager.py",
            severity="warning",
            cures=(Cure(key, ["const", f"{shards[1]}/huggingface"]),),
            advice="python -m verl.model_merger merge --backend fsdp "
            f"--local_dir {shards[1]} --target_dir {shards[1]}/merged, then name that; or save hf_model too",
        )
    if key == MODEL and CODE not in settings and re.search(_OWN_CODE, path):
        yield Limit(
            reads=(key,),
            shows=(key, CODE),
            says="This model brings code of its own, which is run only where that is trusted",
            where="utils/model.py",
            severity="warning",
            cures=(Cure(CODE, ["const", True]),),
        )
    template = any("chat_template" in name for name in settings)
    if key == MODEL and not template and re.search(_UNTAUGHT, path):
        yield Limit(
            reads=(key,),
            shows=(key,),
            says="This base model's tokenizer has no chat template, and prompts are put into one",
            where="utils/dataset/rl_dataset.py",
            severity="warning",
            advice="Take the Instruct (chat) model, or a template of your own with "
            "actor_rollout_ref.model.custom_chat_template",
        )


def _checkpoint(path: str) -> Iterator[Limit]:
    """trainer/ppo/ray_trainer.py reads what follows the last global_step_ as a number."""
    found = re.fullmatch(_STEP, path)
    if found is not None:
        says = f"What follows global_step_ is read as the step, and {found[2]} is no part of a number"
        cure = Cure(RESUME, ["const", found[1]])
        yield Limit(
            reads=(RESUME,), shows=(RESUME,), says=says, where="trainer/ppo/ray_trainer.py", cures=(cure,)
        )


def _teacher(student: str, teacher: str) -> Iterator[Limit]:
    """experimental/teacher_loop compares log-probabilities token by token."""
    own, other = ([name.lower() for name in re.findall(_FAMILY, path)] for path in (student, teacher))
    if own and other and set(own).isdisjoint(other):
        yield Limit(
            reads=(TEACHER,),
            shows=(MODEL, TEACHER),
            says="Teacher and student are of different families, whose tokens mean different things",
            where="docs/algo/opd.md",
            advice=f"Take a teacher of the student's family ({own[0]})",
        )


def _of_another_engine(settings: Mapping[str, Setting]) -> Iterator[Limit]:
    engine = plain(settings.get(ENGINE))
    strays = (
        [key for key in settings if key.startswith(KWARGS)] if engine in ("vllm", "sglang", "trtllm") else []
    )
    for key in strays:
        other, _, name = key.removeprefix(KWARGS).partition(".")
        twin = f"{ROLLOUT}{_HANDED[name]}" if name in _HANDED else None
        if other == engine and twin is not None and twin in settings:
            yield Limit(
                reads=(key, twin),
                shows=(key, twin),
                says=f"verl hands {name} to the engine itself, as {twin} says",
                where="workers/rollout",
                severity="warning",
                cures=(Cure(key),),
            )
        if other != engine and other in ("vllm", "sglang", "trtllm"):
            says = f"The engine is {engine}, which gets no arguments of {other}"
            yield Limit(
                reads=(key,),
                shows=(ENGINE, key),
                says=says,
                where="workers/rollout/replica.py",
                severity="warning",
                cures=(Cure(key),),
                advice=f"Write it under {KWARGS}{engine}, in the words of {engine}",
            )
