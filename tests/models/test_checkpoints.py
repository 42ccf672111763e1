import json
import os
from pathlib import Path

import pytest

from rldoctor.models.checkpoints import markers

TRACKER = "latest_checkpointed_iteration.txt"


def put(folder: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def torch_dist(folder: Path, step: str = "iter_0000020") -> Path:
    put(folder, f"{step}/.metadata", f"{step}/__0_0.distcp", f"{step}/common.pt")
    backend = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    put(folder, f"{step}/metadata.json", content=json.dumps(backend).encode())
    return folder


def tracked(folder: Path, text: str) -> Path:
    return put(folder, TRACKER, content=text.encode())


def test_s1_a_whole_torch_dist_checkpoint(tmp_path: Path) -> None:
    torch_dist(tracked(tmp_path, "20\n"))
    torch_dist(tmp_path, "iter_0000010")
    found = markers(tmp_path)
    assert (found.format, found.iteration, found.iterations) == ("torch_dist", 20, (10, 20))
    assert found.complete
    assert found.tracker == str(tmp_path / TRACKER)
    assert found.weights == str(tmp_path / "iter_0000020")
    assert found.metadata == str(tmp_path / "iter_0000020/metadata.json")


def test_s1_without_the_tracker_a_loader_starts_from_random_weights(tmp_path: Path) -> None:
    found = markers(torch_dist(tmp_path))
    assert (found.format, found.iteration, found.iterations) == ("torch_dist", None, (20,))
    assert found.tracker is None
    assert not found.complete
    assert "random weights" in found.note


def test_s1_a_step_that_is_not_there(tmp_path: Path) -> None:
    torch_dist(tracked(tmp_path, "20"))
    assert markers(tmp_path, step=20).complete
    found = markers(tmp_path, step=15)
    assert (found.format, found.complete) == ("torch_dist", False)
    assert "iteration 15, which is not there (there: 20)" in found.note
    stale = markers(torch_dist(tracked(tmp_path / "b", "40")))
    assert not stale.complete
    assert f"{TRACKER} says iteration 40" in stale.note


def test_a_release(tmp_path: Path) -> None:
    found = markers(torch_dist(tracked(tmp_path, "release"), "release"))
    assert (found.format, found.iteration, found.release, found.complete) == ("torch_dist", 0, True, True)
    gone = markers(tracked(tmp_path / "b", "release"))
    assert (gone.format, gone.complete, gone.note) == ("unknown", False, "release is not there")


@pytest.mark.parametrize("text", ["", "twenty", "-3", "9" * 400, "\x00\xff"])
def test_a_broken_tracker_is_told(tmp_path: Path, text: str) -> None:
    found = markers(torch_dist(tracked(tmp_path, text)))
    assert found.iteration is None
    assert not found.complete
    assert "neither a number nor 'release'" in found.note


def test_a_save_that_was_killed_is_not_complete(tmp_path: Path) -> None:
    put(tracked(tmp_path, "7"), "iter_0000007/__0_0.distcp")
    found = markers(tmp_path)
    assert (found.format, found.complete) == ("torch_dcp", False)
    assert ".metadata is missing" in found.note


def test_m5_megatron_fsdp_is_told_from_plain_dcp_without_unpickling(tmp_path: Path) -> None:
    put(tracked(tmp_path / "a", "1"), "iter_0000001/__0_0.distcp")
    put(tmp_path / "a", "iter_0000001/.metadata", content=b"\x80\x02.. model.module.decoder.layers.0 ..")
    put(tracked(tmp_path / "b", "1"), "iter_0000001/__0_0.distcp")
    put(tmp_path / "b", "iter_0000001/.metadata", content=b"\x80\x02.. model.decoder.layers.0.weight ..")
    assert [markers(tmp_path / name).format for name in "ab"] == ["fsdp_dtensor", "torch_dcp"]
    assert markers(tmp_path / "a").complete


def test_m5_a_torch_dist_checkpoint_is_no_fsdp_dtensor(tmp_path: Path) -> None:
    torch_dist(tracked(tmp_path, "20"))
    put(tmp_path, "iter_0000020/.metadata", content=b"model.module.decoder")
    assert markers(tmp_path).format == "torch_dist"


def test_a_pickle_that_would_run_code_is_never_opened_as_one(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    payload = b"cos\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR."
    put(tracked(tmp_path / "c", "1"), "iter_0000001/.metadata", "iter_0000001/__0_0.distcp", content=payload)
    put(tmp_path / "c", "iter_0000001/common.pt", content=payload)
    assert markers(tmp_path / "c").format == "torch_dcp"
    assert not proof.exists()


def test_legacy_megatron_ranks(tmp_path: Path) -> None:
    put(tracked(tmp_path, "3"), "iter_0000003/mp_rank_00_000/model_optim_rng.pt")
    assert (markers(tmp_path).format, markers(tmp_path).complete) == ("torch", True)
    (tmp_path / "iter_0000003/mp_rank_00_001").mkdir()
    assert markers(tmp_path).note == "mp_rank_00_001 is empty"


def test_c1_a_hugging_face_folder(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    put(tmp_path, "config.json", "model-00001-of-00002.safetensors")
    put(tmp_path, "model.safetensors.index.json", content=json.dumps(index).encode())
    found = markers(tmp_path)
    assert (found.format, found.iteration, found.complete) == ("hf", None, False)
    assert found.note == "model-00002-of-00002.safetensors is missing or empty"
    put(tmp_path, "model-00002-of-00002.safetensors")
    assert markers(tmp_path).complete
    put(tmp_path, "model-00002-of-00002.safetensors", content=b"")
    assert not markers(tmp_path).complete


def test_a_git_lfs_clone_without_weights_is_unknown(tmp_path: Path) -> None:
    assert markers(put(tmp_path, "config.json", "tokenizer.json")).format == "unknown"


def test_verl_fsdp_steps(tmp_path: Path) -> None:
    tracked(tmp_path, "30")
    actor = "global_step_30/actor"
    put(tmp_path, f"{actor}/model_world_size_2_rank_0.pt", f"{actor}/huggingface/config.json")
    put(tmp_path, "global_step_30/data.pt")
    found = markers(tmp_path)
    assert (found.format, found.complete, found.note) == ("fsdp", False, "rank 1 of 2 has no shard")
    put(tmp_path, f"{actor}/model_world_size_2_rank_1.pt")
    assert markers(tmp_path).complete
    assert markers(tmp_path / "global_step_30").weights == str(tmp_path / actor)
    put(tmp_path, f"{actor}/model_world_size_4_rank_1.pt")
    assert "several world sizes: [2, 4]" in markers(tmp_path).note


def test_verl_megatron_steps(tmp_path: Path) -> None:
    torch_dist(tracked(tmp_path, "5"), "global_step_5/actor/model/dist_ckpt")
    found = markers(tmp_path)
    assert (found.format, found.iteration, found.complete) == ("torch_dist", 5, True)
    assert found.weights == str(tmp_path / "global_step_5/actor/model/dist_ckpt")


def test_an_iteration_folder_itself(tmp_path: Path) -> None:
    found = markers(torch_dist(tmp_path) / "iter_0000020")
    assert (found.format, found.iteration, found.complete) == ("torch_dist", None, True)


def test_absent_empty_file_and_strange(tmp_path: Path) -> None:
    assert markers(tmp_path / "nowhere").format == "absent"
    assert markers(tmp_path).format == "empty"
    assert markers(put(tmp_path, "run.sh")).format == "unknown"
    assert markers(tmp_path / "run.sh").note == "a file, not a folder"
    assert markers("bad\0name").format == "unknown"
    assert markers("x" * 5000).format == "unknown"


def test_another_programs_metadata_json_decides_nothing(tmp_path: Path) -> None:
    put(tmp_path, "metadata.json", content=b'{"model": 1}')
    put(tmp_path, "model.safetensors")
    assert markers(tmp_path).format == "hf"
    put(tmp_path, "metadata.json", content=b"[" * 100_000)
    assert markers(tmp_path).format == "hf"


def test_a_folder_that_may_not_be_listed(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list everything")
    (tmp_path / "locked").mkdir(mode=0o000)
    assert "cannot be listed" in markers(tmp_path / "locked").note
