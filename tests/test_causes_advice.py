"""What an unknown exception's kind alone lets one advise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.causes.blanks import blank
from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts


def _cures(tmp_path: Path, log: str) -> list[str]:
    path = tmp_path / "train.log"
    path.write_text(log)
    finding = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert finding.rule == "unrecognised"
    return [remedy.title for remedy in finding.remedies]


def _raised(error: str, file: str = "/opt/venv/lib/python3.11/site-packages/lathe/turn.py") -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 9, in turn\n    spin(rows)\n{error}\n'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("TypeError: GRPOTrainer._cut() takes 1 positional argument but 2 were given", "lathe and trl"),
        ("AttributeError: 'Qwen9Config' object has no attribute 'widths'", "lathe and transformers"),
        ("AttributeError: 'WheelTrainer' object has no attribute 'spokes'", "this trainer was written"),
        ("AttributeError: 'LatheLMHeadModel' object has no attribute 'layers'", "class that turn"),
        ("AttributeError: 'NoneType' object has no attribute 'mean'", "is None in turn"),
        ("TypeError: list indices must be integers or slices, not str", "the type that turn"),
        ("_queue.Empty", "process at the other end died"),
        ("ValueError: zero-size array to reduction operation maximum", "nothing is left in turn"),
        (
            "RuntimeError: max(): Expected reduction dim to be specified for input.numel() == 0.",
            "nothing is left",
        ),
        (
            "RuntimeError: The size of tensor a (5) must match the size of tensor b (6)",
            "Compare the two lengths",
        ),
        ("ValueError: Expected input batch_size (8) to match target batch_size (4).", "shorter batch"),
        ("KeyError: 'bolts'", "'bolts' should come from"),
        ("RuntimeError: turning requires lathe-oil>=2.1 on the bed", "Install the release that is asked for"),
        ("RuntimeError: Turn failed after 3 retries each. Addr: 10.0.0.7", "log of the server"),
        ("AssertionError: spindle must be odd", "demands: spindle must be odd"),
        (
            "requests.exceptions.HTTPError: 400 Client Error: Bad Request for url: http://x/turn",
            "its own error",
        ),
        ("NotImplementedError: no such wheel", "what is implemented"),
        (
            "NotImplementedError",
            "leads to turn (/opt/venv/lib/python3.11/site-packages/lathe/turn.py:9), or without it",
        ),
        ("NameError: name 'Wheel' is not defined", "Install the optional package"),
        ("UnboundLocalError: local variable 'rows' referenced before assignment", "Upgrade lathe"),
        ("IndexError: Invalid key: 7 is out of bounds for size 0", "remove_unused_columns=False"),
        ("OverflowError: out of range integral type conversion attempted", "-100"),
        ("TypeError: '<=' not supported between instances of 'float' and 'str'", "1.0e-6"),
        ("RuntimeError: the dtype of both wheels should agree", "one data type"),
        ("subprocess.CalledProcessError: Command '['ninja']' returned 1", "by hand"),
        ("aiohttp.client_exceptions.ServerDisconnectedError: Server disconnected", "server's own log"),
        ("EOFError", "at the other end"),
    ],
)
def test_kind(tmp_path: Path, error: str, words: str) -> None:
    cures = _cures(tmp_path, _raised(error))
    assert words in cures[0]
    assert cures[-1].startswith("Search the issues")


def test_file_on_top_tells_the_kind(tmp_path: Path) -> None:
    zero = "/opt/venv/lib/python3.11/site-packages/deepspeed/runtime/zero/partitioned_param_coordinator.py"
    assert "ZeRO-2" in _cures(tmp_path, _raised("IndexError: list index out of range", zero))[0]


def test_assertion_without_words_is_quoted(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/app/lathe/turn.py", line 12, in turn\n'
        "    assert len(rows) == chuck_size\n"
        "AssertionError\n"
    )
    assert "demands: assert len(rows) == chuck_size" in _cures(tmp_path, log)[0]


def test_kind_that_says_nothing_points_to_the_library(tmp_path: Path) -> None:
    assert _cures(tmp_path, _raised("lathe.Stopped: 17"))[0].startswith("Upgrade lathe")


def test_kind_that_says_nothing_points_to_the_code(tmp_path: Path) -> None:
    cures = _cures(tmp_path, _raised("lathe.Stopped: 17", "/app/mine/turn.py"))
    assert cures[0] == "Look at turn (/app/mine/turn.py:9): spin(rows)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "RuntimeError: The wheel is worn. Set LATHE_WHEEL=2 to take another one.",
            "Set LATHE_WHEEL=2 to take",
        ),
        (
            "ValueError: too many bolts, please increase `max_bolts` or cut them",
            "please increase `max_bolts`",
        ),
        (
            "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'http://10.0.0.4:30/x'",
            "curl its",
        ),
    ],
)
def test_a_cure_that_the_message_tells_comes_first(tmp_path: Path, error: str, words: str) -> None:
    assert words in _cures(tmp_path, _raised(error))[0]


def test_how_to_see_more_is_no_cure(tmp_path: Path) -> None:
    cures = _cures(tmp_path, _raised("RuntimeError: spun off. Set LATHE_DEBUG=1 for more details."))
    assert not any("message says" in cure for cure in cures)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("assert len(bolts) != 0", "why nothing is left"),
        ("assert bolts % wheels == 0", "numbers that divide"),
        ("assert bolt.dtype == nut.dtype", "one data type"),
        ("assert args.bolt_length is not None", "Set the option"),
        ("assert bolt_num == nut_num", "Compare the two counts"),
    ],
)
def test_asserted_condition_says_what_to_look_for(tmp_path: Path, condition: str, words: str) -> None:
    place = '  File "/app/mine/turn.py", line 9, in turn\n'
    cures = _cures(tmp_path, f"Traceback (most recent call last):\n{place}    {condition}\nAssertionError\n")
    assert condition in cures[0]
    assert words in cures[0]


def test_way_round_the_part_that_failed_is_the_second_cure(tmp_path: Path) -> None:
    stack = "/opt/venv/lib/python3.11/site-packages/liger_kernel/ops/turn.py"
    first, second, *_ = _cures(tmp_path, _raised("lathe.Stopped: 17", stack))
    assert first.startswith("Upgrade liger_kernel") and "use_liger_kernel False" in second


def test_way_round_joins_the_second_cure_of_a_kind(tmp_path: Path) -> None:
    stack = "/opt/venv/lib/python3.11/site-packages/liger_kernel/ops/turn.py"
    second = _cures(tmp_path, _raised("NotImplementedError: no such wheel", stack))[1]
    assert second.startswith("Upgrade liger_kernel") and "use_liger_kernel False" in second


def test_framework_in_a_checkout_is_named(tmp_path: Path) -> None:
    cures = _cures(tmp_path, _raised("lathe.Stopped: 17", "/work/slime/slime/ray/turn.py"))
    assert cures[0].startswith("Upgrade slime")


def test_caller_of_torch_is_named_before_it(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/opt/venv/lib/python3.11/site-packages/lathe/turn.py", line 9, in turn\n'
        "    spin(rows)\n"
        '  File "/opt/venv/lib/python3.11/site-packages/torch/nn/functional.py", line 9, in spin\n'
        "    return rows\n"
        "lathe.Stopped: 17\n"
    )
    assert _cures(tmp_path, log)[0].startswith("Upgrade lathe and torch")


def test_a_name_that_only_the_words_of_an_assertion_lack_leads_to_its_condition(tmp_path: Path) -> None:
    log = _raised("NameError: name 'belt' is not defined", "/app/lathe/turn.py").replace(
        "spin(rows)", 'assert self.belt in self.belts, f"{belt} is not there"'
    )
    first = _cures(tmp_path, log)[0]
    assert "name 'belt' is not defined" in first
    assert "its condition failed first" in first
    assert "assert self.belt in self.belts" in first


def test_an_exception_that_a_logger_tells_goes_before_the_state_logged_before_it(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "[lathe]: 2026-01-02 10:00:00,1 - turn - ERROR - rows left: 0, wanted: 32\n"
        "[lathe]: 2026-01-02 10:00:00,1 - turn - ERROR - AssertionError: nothing to turn\n"
    )
    finding = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert "AssertionError: nothing to turn" in finding.evidence[0].text


def test_megatron_bridge_goes_by_its_own_name(tmp_path: Path) -> None:
    log = _raised("ValueError: no such layer", "/opt/Megatron-Bridge/src/megatron/bridge/turn.py")
    assert any("megatron-bridge" in cure for cure in _cures(tmp_path, log))


def test_a_library_that_looks_an_attribute_up_is_not_who_asked(tmp_path: Path) -> None:
    asked = 'Traceback (most recent call last):\n  File "/app/spin.py", line 3, in spin\n    lathe.wheels\n'
    found = '  File "/opt/lib/python3.11/site-packages/torch/nn/modules/module.py", line 9, in __getattr__\n'
    cures = _cures(tmp_path, f"{asked}{found}AttributeError: 'Lathe' object has no attribute 'wheels'\n")
    assert "spin (/app/spin.py:3)" in cures[1]
    assert "torch" not in cures[0]


@pytest.mark.parametrize(
    ("line", "search"),
    [
        (
            "lathe_api.c:63 FATAL cannot open the lathe: no such symbol",
            "cannot open the lathe: no such symbol",
        ),
        ("[2026-01-29 06:53:43 TP3] wheel.cc:219 FATAL the wheel is broken", "the wheel is broken"),
        (
            "(Core pid=12) ERROR 03-25 21:13:53 [core.py:844] the lathe lost its belt",
            "the lathe lost its belt",
        ),
    ],
)
def test_search_without_the_loggers_head(tmp_path: Path, line: str, search: str) -> None:
    assert _cures(tmp_path, f"starting\n{line}\n")[-1].endswith(f"for: {search}")


def test_owner_told_by_the_message_alone(tmp_path: Path) -> None:
    cures = _cures(
        tmp_path, _raised("TypeError: FastLanguageModel.turn() got an unexpected keyword argument 'axle'")
    )
    assert "unsloth" in cures[0]


@pytest.mark.parametrize(
    "error",
    ["OSError: [Errno 113] No route to host", "ConnectionRefusedError: [Errno 111] Connection refused"],
)
def test_a_connection_that_nobody_answers_is_no_missing_file(tmp_path: Path, error: str) -> None:
    (tmp_path / "job.log").write_text(
        f'Traceback (most recent call last):\n  File "a.py", line 3, in ask\n{error}\n'
    )
    root = diagnose([str(tmp_path / "job.log")], None, ToldFacts()).findings[0]
    assert "should listen" in root.remedies[0].title and "firewall" in root.remedies[1].title


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("OSError: [Errno 18] Invalid cross-device link: '/tmp/a' -> '/data/b'", "one file system"),
        ("OSError: [Errno 36] File name too long: '/data/run'", "Shorten the name"),
        ("OSError: [Errno 39] Directory not empty: '/ckpt/step_10'", "one process make and clear"),
        ("RuntimeError: Pin memory thread exited unexpectedly", "--shm-size"),
        ("OSError: [Errno 8] Exec format error: '/opt/triton/bin/ptxas'", "this machine's processor"),
        ("socket.timeout: timed out", "Start what should listen there"),
        ("gymnasium.error.NameNotFound: Environment `Lathe` doesn't exist.", "registers this environment"),
        ("grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:", "UNAVAILABLE"),
        ("lmdb.LockError: mdb_txn_begin: Resource temporarily unavailable", "lock=False"),
        ("ValueError: error spawning proc mesh: statuses: Timeout=0..1", "MESH_PROC_SPAWN_MAX_IDLE"),
        ("AttributeError: 'ClientContext' object has no attribute 'address_info'", "RAY_ADDRESS=auto"),
        ("http.client.RemoteDisconnected: Remote end closed the connection", "that server's own log"),
    ],
)
def test_what_the_system_refuses_is_told_by_its_number(tmp_path: Path, error: str, cure: str) -> None:
    (tmp_path / "job.log").write_text(
        f'Traceback (most recent call last):\n  File "a.py", line 3, in ask\n{error}\n'
    )
    root = diagnose([str(tmp_path / "job.log")], None, ToldFacts()).findings[0]
    assert cure in root.remedies[0].title


def test_a_variable_of_the_environment_is_to_be_set(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/app/judge.py", line 12, in ask\n'
        '    key = os.environ["LATHE_KEY"]\n'
        '  File "/usr/lib/python3.11/os.py", line 685, in __getitem__\n'
        "    raise KeyError(key) from None\n"
        "KeyError: 'LATHE_KEY'\n"
    )
    assert _cures(tmp_path, log)[0].startswith("Set that environment variable")


def test_an_index_into_gpus_is_not_an_empty_batch(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/root/lathe/ray/wheels.py", line 104, in start_wheels\n'
        "    base_gpu_id = int(ordered_gpu_ids[at])\n"
        "IndexError: list index out of range\n"
    )
    assert _cures(tmp_path, log)[0].startswith("Ask for no more GPUs")


def test_a_configuration_of_another_model_asks_for_the_class_that_belongs_to_it(tmp_path: Path) -> None:
    log = _raised(
        "AttributeError: 'LatheVisionConfig' object has no attribute 'spokes'",
        "/opt/venv/lib/python3.11/site-packages/transformers/models/mill/modeling_mill.py",
    )
    assert "by the class that its own config.json names" in _cures(tmp_path, log)[1]


def test_a_table_of_positions_is_built_for_longer_sequences(tmp_path: Path) -> None:
    log = _raised("AssertionError").replace("spin(rows)", "assert freqs_cis.shape == (seqlen, width)")
    assert "for the longest sequence there is" in _cures(tmp_path, log)[0]


def test_a_converter_of_weights_is_run_without_splitting_them(tmp_path: Path) -> None:
    log = _raised(
        "RuntimeError: The size of tensor a (3072) must match the size of tensor b (768) at dimension 0",
        "/work/Megatron-LM/tools/checkpoint/saver_lathe.py",
    )
    assert "--target-tensor-parallel-size 1" in _cures(tmp_path, log)[0]


def test_a_converter_skips_what_holds_no_tensor(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/work/toolkits/convertor/hf2megatron_lathe.py", line 93, in convert\n'
        "    params = val.to(dtype)\n"
        "AttributeError: 'NoneType' object has no attribute 'to'\n"
    )
    assert "_extra_state" in _cures(tmp_path, log)[0]


def test_a_clone_that_holds_a_package_of_its_name_is_a_library(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/workspace/MindSpeed/mindspeed/args_lathe.py", line 58, in full\n'
        "    return get_args()\n"
        '  File "/home/me/verl/megatron/training/global_vars.py", line 25, in get_args\n'
        "    assert var is not None, f'{name} is not there'\n"
        "AssertionError: args is not there\n"
    )
    assert any("megatron and MindSpeed" in cure for cure in _cures(tmp_path, log))


def test_what_a_message_shows_as_none_is_named(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/work/lathe/turn.py", line 4, in build\n'
        '    raise ValueError(f"Invalid wheel arguments: {kind}, {self.wheel_type}")\n'
        "ValueError: Invalid wheel arguments: WheelKind.rim, None\n"
    )
    assert "Set wheel_type (--wheel-type), which is None there" in _cures(tmp_path, log)[0]


@pytest.mark.parametrize(
    ("message", "code", "names"),
    [
        ("no axle=None and b=7", 'raise E(f"no {axle=} and {b=}")', ("axle",)),
        ("no None", 'raise E(f"no {s}")', ()),
        ("no None", "raise E(f'no {config.rim!r}')", ("rim",)),
        ("no rim", "raise E(f'no {config.rim}')", ()),
        ("None", 'raise E("None")', ()),
    ],
)
def test_the_names_of_empty_values(message: str, code: str, names: tuple[str, ...]) -> None:
    assert blank(message, code) == names


def test_a_rule_names_the_packages_of_its_failure(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "Traceback (most recent call last):\n"
        '  File "/data/LLaMA-Factory/src/llamafactory/chat/vllm_engine.py", line 98, in __init__\n'
        "    self.model = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(**engine_args))\n"
        "TypeError: __init__() got an unexpected keyword argument 'limit_mm_per_prompt'\n"
    )
    finding = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert finding.rule == "argument-unknown-to-this-release"
    assert "Upgrade vllm and llamafactory" in finding.remedies[0].title


def test_a_rotary_embedding_of_another_transformers(tmp_path: Path) -> None:
    log = _raised("KeyError: 'rope_theta'", "/work/own/lathe.py")
    assert "transformers<5" in _cures(tmp_path, log)[0]


def test_the_options_of_a_line_that_meets_none_are_named(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/root/slime/slime/utils/lathe.py", line 124, in init_wheels\n'
        "    _width = args.rim_width * args.rim_count // 2\n"
        "             ~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~~\n"
        "TypeError: unsupported operand type(s) for *: 'int' and 'NoneType'\n"
    )
    assert _cures(tmp_path, log)[0].startswith("Set rim_width (--rim-width) or rim_count (--rim-count)")


def test_a_rule_names_no_package_where_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "RuntimeError: Expected all tensors to be on the same device, "
        "but found at least two devices, cuda:0 and cpu!\n"
    )
    titles = " ".join(each.title for each in diagnose([str(path)], None, ToldFacts()).findings[0].remedies)
    assert "upgrade the trainer" in titles and "LIBRARIES" not in titles


def test_the_package_that_lacks_a_name_is_the_first_to_change(tmp_path: Path) -> None:
    log = _raised("ImportError: cannot import name 'Rim' from 'wheels' (/opt/venv/wheels/__init__.py)")
    assert "Upgrade or downgrade wheels and lathe" in _cures(tmp_path, log)[0]
