"""Megatron-LM's table on a torchrun script, its derived sizes, and its printed argument list."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects
from rldoctor.check import check
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.logs import LogReading, read
from rldoctor.sources import read_text

SCRIPT = """\
#!/bin/bash
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPUS_PER_NODE=8
NUM_NODES=4

torchrun --nproc_per_node $GPUS_PER_NODE --nnodes $NUM_NODES \\
    --master_addr node-0 --master_port 6000 \\
    pretrain_gpt.py \\
    --num-layers 32 --hidden-size 4096 --num-attention-heads 32 \\
    --seq-length 8192 --max-position-embeddings 8192 --swiglu \\
    --num-experts 64 --moe-router-topk 6 \\
    --tensor-model-parallel-size 2 --sequence-parallel \\
    --pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 4 \\
    --expert-model-parallel-size 4 \\
    --micro-batch-size 1 --global-batch-size 256 --train-iters 5000 \\
    --bf16 --lr 3e-4 --clip-grad 1.0 \\
    --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather \\
    --recompute-activations \\
    --save /ckpt/moe --load /ckpt/moe --save-interval 500 --ckpt-format torch_dist --async-save \\
    --distributed-timeout-minutes 60
"""

GOLDEN = {
    "train.backend": "megatron",
    "train.nodes": 4,
    "train.gpus_per_node": 8,
    "train.world_size": 32,
    "train.tp": 2,
    "train.pp": 4,
    "train.vpp": 2,
    "train.cp": 1,
    "train.ep": 4,
    "train.etp": 2,
    "train.dp": 4,
    "train.edp": 1,
    "train.sequence_parallel": True,
    "train.distributed_optimizer": True,
    "train.megatron_fsdp": False,
    "train.sharding": "optim",
    "train.grad_accum_fusion": True,
    "train.moe_dispatcher": "allgather",
    "batch.micro": 1,
    "batch.global": 256,
    "batch.samples_per_rank": 64,
    "batch.max_context_len": 8192,
    "batch.prompts_per_step": None,
    "batch.loss_global_norm": False,
    "model.num_layers": 32,
    "model.num_kv_heads": 32,
    "model.head_dim": 128,
    "model.ffn_hidden_size": 10880,
    "model.num_experts": 64,
    "model.moe_ffn": 10880,
    "model.moe_topk": 6,
    "model.tie_embeddings": True,
    "model.param_dtype": "bf16",
    "mem.recompute": "selective",
    "mem.grad_reduce_dtype": "fp32",
    "mem.cpu_optimizer": False,
    "optim.lr": 3e-4,
    "optim.nan_check": True,
    "algo.estimator": "none",
    "ckpt.format": "torch_dist",
    "ckpt.dist_checkpointing": True,
    "ckpt.fully_parallel": True,
    "ckpt.async_save": True,
    "ckpt.save_interval": 500,
    "ckpt.load_dir": "/ckpt/moe",
    "dist.timeout": 3600,
    "run.steps": 5000,
    "env.CUDA_DEVICE_MAX_CONNECTIONS": "1",
}


def facts(script: str, version: str | None = None) -> Facts:
    told = ToldFacts(versions={"megatron": version} if version else {})
    return next(f for f in walk(read_text(script, "pretrain.sh", "shell"), told) if f.system == "megatron")


def fsdp(*flags: str) -> str:
    return SCRIPT.replace("--use-distributed-optimizer", " ".join(("--use-megatron-fsdp", *flags)))


def test_golden_case_of_a_pretraining_run() -> None:
    found = facts(SCRIPT)
    assert {name: found.value(name) for name in GOLDEN} == GOLDEN


def test_world_size_that_no_launcher_tells_is_unknown() -> None:
    found = facts(
        "python pretrain_gpt.py --num-layers 4 --tensor-model-parallel-size 2 --micro-batch-size 1\n"
    )
    assert found.fact("train.dp").state == "unknown"
    assert found.fact("batch.global").state == "unknown"
    assert found.value("train.etp") == 2


def test_sequence_parallel_needs_tensor_parallel() -> None:
    script = SCRIPT.replace("--tensor-model-parallel-size 2", "--tensor-model-parallel-size 1")
    assert facts(script).value("train.sequence_parallel") is False


def test_m1_fsdp_turns_the_distributed_optimizer_on_since_0_18() -> None:
    found = facts(fsdp("--ckpt-format fsdp_dtensor"))
    assert found.value("train.backend") == "megatron_fsdp"
    assert found.value("train.distributed_optimizer") is True
    assert found.value("train.sharding") == "optim_grads_params"
    old = facts(fsdp(), "0.14")
    assert old.value("train.distributed_optimizer") is False
    assert old.value("train.sharding") == "no_shard"


def test_m1_version_2_keeps_the_distributed_optimizer_off() -> None:
    found = facts(fsdp("--megatron-fsdp-version 2"))
    assert found.value("train.megatron_fsdp_version") == 2
    assert found.value("train.distributed_optimizer") is False


def test_m4_user_buffers_force_the_double_buffer() -> None:
    assert facts(fsdp("--use-nccl-ub")).value("train.fsdp_double_buffer") is True
    assert facts(fsdp()).value("train.fsdp_double_buffer") is False


def test_custom_fsdp_of_old_releases_is_the_same_thing() -> None:
    found = facts(SCRIPT.replace("--use-distributed-optimizer", "--use-custom-fsdp"))
    assert found.value("train.megatron_fsdp") is True


def test_fp16_with_a_dynamic_loss_scale_has_no_nan_check() -> None:
    assert facts(SCRIPT.replace("--bf16", "--fp16")).value("optim.nan_check") is False
    assert facts(SCRIPT.replace("--bf16", "--fp16 --loss-scale 1024")).value("optim.nan_check") is True


def test_a_forks_flags_with_underscores_are_read() -> None:
    script = "torchrun --nproc_per_node 8 pretrain_gpt.py --num_layers 24 --save /c --save_interval 100\n"
    (told,) = walk(read_text(script, "pretrain.sh", "shell"), ToldFacts(system="megatron"))
    assert (told.value("model.num_layers"), told.value("ckpt.save_interval")) == (24, 100)


def test_megatrons_own_rl() -> None:
    script = SCRIPT.replace("pretrain_gpt.py", "train_rl.py --perform-rl-step --grpo-group-size 16")
    found = facts(script)
    assert found.value("algo.estimator") == "grpo"
    assert found.value("batch.prompts_per_step") == 32
    assert found.value("batch.samples_per_rollout") == 512
    assert found.value("rollout.engine") == "builtin"


def test_timeout_after_the_first_step_counts_when_it_is_written() -> None:
    script = SCRIPT.replace(
        "--distributed-timeout-minutes 60", "--distributed-timeout-seconds-after-init 900"
    )
    assert facts(script).value("dist.timeout") == 900


@pytest.mark.parametrize(
    ("concept", "ours", "key", "theirs"),
    [
        ("dist.timeout", 7200, "--distributed-timeout-minutes", 120),
        ("train.grad_accum_fusion", False, "--no-gradient-accumulation-fusion", True),
        ("ckpt.format", "fsdp_dtensor", "--ckpt-format", "fsdp_dtensor"),
        ("ckpt.fully_parallel", False, "--no-ckpt-fully-parallel-save", True),
        ("train.nccl_ub", True, "--use-nccl-ub", True),
        ("mem.grad_reduce_dtype", "bf16", "--grad-reduce-in-bf16", True),
        ("mem.meta_init", True, "--init-model-with-meta-device", True),
        ("train.per_token_loss", True, "--calculate-per-token-loss", True),
        ("train.ep", 8, "--expert-model-parallel-size", 8),
        ("train.fsdp_double_buffer", True, "--fsdp-double-buffer", True),
    ],
)
def test_values_are_said_in_megatrons_own_words(concept: str, ours: object, key: str, theirs: object) -> None:
    row = facts(SCRIPT).row(concept)
    assert row is not None
    assert row.key == key
    assert dialects.encode(row, ours) == theirs
    assert dialects.decode(row, theirs) == ours


@pytest.mark.parametrize(
    ("name", "printed", "concept", "ours"),
    [
        ("--check-for-nan-in-loss-and-grad", "False", "optim.nan_check", False),
        ("--gradient-accumulation-fusion", "True", "train.grad_accum_fusion", True),
        ("--nccl-ub", "True", "train.nccl_ub", True),
        ("--ckpt-fully-parallel-save", "True", "ckpt.fully_parallel", True),
        ("--use-distributed-optimizer", "False", "train.distributed_optimizer", False),
        ("--untie-embeddings-and-output-weights", "True", "model.tie_embeddings", False),
        ("--num-experts", "None", "model.num_experts", None),
        ("--distributed-timeout-minutes", "30", "dist.timeout", 1800),
    ],
)
def test_names_of_the_printed_argument_list_have_rows(
    name: str, printed: str, concept: str, ours: object
) -> None:
    rows = [r for r in dialects.load("megatron").rows if r.concept == concept and name in r.keys]
    assert len(rows) == 1
    assert dialects.decode(rows[0], printed) == ours


DUMP = """\
using world size: 32, data-parallel size: 8, tensor-model-parallel size: 2, pipeline-model-parallel size: 2
------------------------ arguments ------------------------
  check_for_nan_in_loss_and_grad .................. False
  ckpt_format ..................................... fsdp_dtensor
  distributed_timeout_minutes ..................... 30
  expert_model_parallel_size ...................... 4
  gradient_accumulation_fusion .................... True
  micro_batch_size ................................ 1
  nccl_ub ......................................... True
  num_experts ..................................... 128
  pipeline_model_parallel_size .................... 2
  tensor_model_parallel_size ...................... 2
  use_distributed_optimizer ....................... True
  use_megatron_fsdp ............................... True
  world_size ...................................... 32
-------------------- end of arguments ---------------------
 [2026-08-22 15:22:22.123456] iteration        1/    5000 | consumed samples:          256 | elapsed time per iteration (ms): 12345.6 | throughput per GPU (TFLOP/s/GPU): 210.5 | learning rate: 1.500000E-07 | global batch size:   256 | lm loss: 1.104262E+01 | loss scale: 1.0 | grad norm: 3.214 | number of skipped iterations:   0 | number of nan iterations:   0 |
 [2026-08-22 15:22:34.123456] iteration        2/    5000 | consumed samples:          512 | elapsed time per iteration (ms): 11000.0 | throughput per GPU (TFLOP/s/GPU): 236.0 | learning rate: 3.000000E-07 | global batch size:   256 | lm loss: nan | loss scale: 1.0 | grad norm: nan | number of skipped iterations:   0 | number of nan iterations:   1 |
"""  # noqa: E501


def reading(text: str, folder: Path) -> LogReading:
    path = folder / "run.log"
    path.write_text(text)
    return read([str(path)], ())


def test_m1_facts_come_out_of_the_printed_argument_list(tmp_path: Path) -> None:
    printed = reading(DUMP, tmp_path).configs
    assert [config.form for config in printed] == ["argument_dump"]
    found = next(f for f in walk(printed[0].document, ToldFacts()) if f.system == "megatron")
    wanted = {
        "train.megatron_fsdp": True,
        "train.backend": "megatron_fsdp",
        "train.grad_accum_fusion": True,
        "train.nccl_ub": True,
        "train.fsdp_double_buffer": True,
        "train.distributed_optimizer": True,
        "train.world_size": 32,
        "train.dp": 8,
        "model.num_experts": 128,
        "ckpt.format": "fsdp_dtensor",
        "optim.nan_check": False,
        "dist.timeout": 1800,
    }
    assert {name: found.value(name) for name in wanted} == wanted


def test_step_lines_are_samples_in_the_vocabularys_units(tmp_path: Path) -> None:
    steps = {(s.step, s.metric): s.value for s in reading(DUMP, tmp_path).samples}
    assert steps[1, "loss"] == 11.04262
    assert steps[1, "grad_norm"] == 3.214
    assert steps[1, "step_time"] == pytest.approx(12.3456)
    assert steps[2, "nan_iterations"] == 1
    assert steps[2, "grad_norm"] != steps[2, "grad_norm"]


def test_a_configuration_without_a_launcher_has_the_cluster_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model_config.yaml"
    sizes = "  --tensor-model-parallel-size: 2\n  --pipeline-model-parallel-size: 2\n"
    path.write_text(
        f"MODEL_ARGS:\n{sizes}  --micro-batch-size: 4\n  --global-batch-size: 30\n  --num-layers: 8\n"
    )
    for told, rules in (({"cluster.nodes": "1", "cluster.gpus_per_node": "8"}, 1), ({}, 0)):
        found = check([str(path)], ToldFacts(told, "megatron")).report.findings
        assert sum(each.rule == "batch-does-not-divide" for each in found) == rules
