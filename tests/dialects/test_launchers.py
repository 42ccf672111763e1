"""What ray start and torchrun say about the cluster."""

from rldoctor.facts import ToldFacts, walk
from rldoctor.sources import read_text

VERL = "python3 -m verl.trainer.main_ppo trainer.nnodes={nodes} trainer.n_gpus_per_node={gpus}\n"


def facts(text, **told):
    return walk(read_text(text, "run.sh", "shell"), ToldFacts(**told))[0]


def test_s2_ray_start_says_what_exists():
    run = facts("ray start --head --num-gpus 4\n" + VERL.format(nodes=1, gpus=8))
    assert run.value("cluster.gpus_per_node") == 4
    assert run.value("cluster.gpus") == 4 and run.value("cluster.asked_gpus") == 8
    assert run.fact("cluster.gpus_per_node").origin.text == "--num-gpus 4"


def test_s2_other_nodes_join_from_elsewhere():
    run = facts("ray start --head --num-gpus 8\n" + VERL.format(nodes=4, gpus=8))
    assert run.value("cluster.nodes") == 4 and run.value("cluster.gpus") == 32
    assert run.fact("cluster.gpus").assumes


def test_s2_what_nobody_tells_is_assumed_to_be_there():
    run = facts(VERL.format(nodes=2, gpus=8))
    assert run.value("cluster.gpus") == 16
    assert run.fact("cluster.gpus").state == "assumed" and run.fact("train.gpus").state == "known"


def test_s2_what_is_told_stands_above_all():
    text = "ray start --head --num-gpus 4\n" + VERL.format(nodes=2, gpus=8)
    run = facts(text, set={"cluster.gpus": "8"})
    assert run.value("cluster.gpus") == 8
    assert run.fact("cluster.gpus").origin.kind == "set"


def test_torchrun_gives_what_megatron_does_not_say_itself():
    text = "torchrun --nnodes 2 --nproc-per-node 8 pretrain_gpt.py --tensor-model-parallel-size 4\n"
    run = facts(text)
    assert run.value("train.gpus") == 16 and run.value("cluster.gpus") == 16
    assert run.value("train.dp") == 4
