"""What slime's files for roles and engine groups say, and edits that go into those files."""

from pathlib import Path

from rldoctor import sources
from rldoctor.facts import Facts, ToldFacts, walk_known

ROLES = """\
megatron:
  - name: default
    role: critic
    overrides:
      lr: 1.0e-5
      tensor_model_parallel_size: 4   # wider than the actor
  - name: default
    role: actor
    overrides:
      lr: 1.0e-6
      num_nodes: 7
      max_tokens_per_gpu: 4096
"""
ENGINES = """\
sglang:
  - name: actor
    num_gpus_per_engine: 2
    server_groups:
      - {worker_type: prefill, num_gpus: 4, overrides: {mem_fraction_static: 0.7, chunked_prefill_size: 1024}}
      - {worker_type: decode, num_gpus: 8, overrides: {mem_fraction_static: 0.7}}
      - {worker_type: placeholder, num_gpus: 4}
"""
SCRIPT = """\
python3 train.py --advantage-estimator ppo --actor-num-nodes 1 --actor-num-gpus-per-node 8 \\
  --rollout-num-gpus 16 --hf-checkpoint /m/Qwen3-4B --lr 1e-4 --rollout-batch-size 32 --num-rollout 10 \\
  --megatron-config-path roles.yaml --sglang-config ./engines.yaml
"""


def walked(folder: Path, roles: str | None = ROLES, engines: str = ENGINES) -> Facts:
    if roles is not None:
        (folder / "roles.yaml").write_text(roles)
    (folder / "engines.yaml").write_text(engines)
    (folder / "run.sh").write_text(SCRIPT)
    (found,) = walk_known(sources.read(str(folder / "run.sh")), ToldFacts())
    return found


def test_the_actors_overrides_stand_above_the_flags_and_the_critics_are_its_own(tmp_path: Path) -> None:
    found = walked(tmp_path)
    assert (found.fact("optim.lr").value, found.fact("optim.lr", "critic").value) == (1e-6, 1e-5)
    assert (found.fact("train.tp").value, found.fact("train.tp", "critic").value) == (1, 4)
    assert found.fact("batch.max_tokens_per_gpu").value == 4096
    assert found.fact("train.nodes").value == 1  # what slime does not take from there
    place = found.fact("optim.lr").origin.place
    assert place is not None and (Path(place.file).name, place.line) == ("roles.yaml", 10)


def test_engine_groups_tell_what_they_share_and_take(tmp_path: Path) -> None:
    found = walked(tmp_path)
    assert found.fact("rollout.gpus_per_engine").value == 2
    assert found.fact("rollout.mem_fraction").value == 0.7
    assert found.fact("rollout.listed_gpus").value == 16
    assert found.fact("rollout.chunked_prefill_tokens").value != 1024


def test_a_files_own_setting_is_edited_in_that_file(tmp_path: Path) -> None:
    found = walked(tmp_path)
    pair = found.setting("optim.lr")
    assert pair is not None and found.document is not None
    (edit,) = sources.replace(found.document, pair[1], 2e-6)
    assert (Path(edit.file).name, edit.line, edit.old) == ("roles.yaml", 10, "lr: 1.0e-6")
    data = (tmp_path / "roles.yaml").read_bytes()
    assert data[edit.start : edit.end].decode() == edit.old and "lr: 2" in edit.new


def test_files_that_are_not_here_or_broken_leave_the_flags(tmp_path: Path) -> None:
    assert walked(tmp_path, roles=None).fact("optim.lr").value == 1e-4
    broken = walked(tmp_path, roles="megatron: [")
    assert broken.fact("optim.lr").value == 1e-4
    assert broken.document is not None and "roles.yaml" in str(broken.document.problems[0])
    odd = walked(tmp_path, roles="megatron: {role: actor}\n", engines="sglang: 3\n")
    assert odd.fact("rollout.listed_gpus").value is None
