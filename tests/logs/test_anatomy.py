from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldoctor.logs.anatomy import LONGEST, read_line
from rldoctor.types import Identity

SHAPES = [
    (
        "\x1b[36m(WorkerDict pid=412, ip=10.1.2.3)\x1b[0m fine\x1b[32m [repeated 7x across cluster]\x1b[0m",
        "fine",
        Identity("10.1.2.3", None, 412, "WorkerDict"),
    ),
    ("^[[36m(TaskRunner pid=8)^[[0m up", "up", Identity(None, None, 8, "TaskRunner")),
    ("[36m(RayTrainWorker pid=9)[0m step done", "step done", Identity(None, None, 9, "RayTrainWorker")),
    (
        "[rank5]:[E627 12:26:40.073 ProcessGroupNCCL.cpp:629] [Rank 5] waits",
        "[Rank 5] waits",
        Identity(rank=5),
    ),
    ('[default3]:[rank3]:   File "a.py", line 3, in f', '  File "a.py", line 3, in f', Identity(rank=3)),
    ("12: Traceback (most recent call last):", "Traceback (most recent call last):", Identity(rank=12)),
    ("(raylet, ip=10.0.0.7) worker left", "worker left", Identity("10.0.0.7", None, None, "raylet")),
    ("(autoscaler +1m30s) Tip: look", "Tip: look", Identity(actor="autoscaler")),
    ("> > ValueError: no", "ValueError: no", Identity()),
    ("`Error executing job`", "Error executing job`", Identity()),
    (
        "(EngineCore pid=7) ERROR 06-16 10:59:13 [core.py:505]   File",
        "  File",
        Identity(None, None, 7, "EngineCore"),
    ),
    (
        "(Worker_DP2_EP2 pid=7) ERROR 08-13 11:28:36 (multiproc_executor.py:1004)   File",
        "  File",
        Identity(None, None, 7, "Worker_DP2_EP2"),
    ),
    ("2026-03-02 11:35:40,928 - grpo - INFO - [rank 1] ready", "[rank 1] ready", Identity(rank=1)),
    ("[2026-03-02 11:35:40,928 E 39 39] (raylet) store.cc:83: full", "full", Identity(actor="raylet")),
    (" 12%|#   | 6/50 [1:00<9:00, 8.1s/it]x.BadError: no", "x.BadError: no", Identity()),
    (" 12%|#   | 6/50 [1:00<9:00, 8.1s/it]Bus error (core dumped)", "Bus error (core dumped)", Identity()),
    (" 12%|#   | 6/50 [1:00<9:00, 8.1s/it]", " 12%|#   | 6/50 [1:00<9:00, 8.1s/it]", Identity()),
    ("(X pid=1)  2%|# | 1/50 [1:00<9:00, 8s/it](Y pid=2) Killed", "Killed", Identity(None, None, 1, "X")),
    ("(X pid=1) \rPrompts:  1%|\rPrompts: 50%|", "Prompts: 50%|", Identity(None, None, 1, "X")),
    (
        "[2026-03-18T16:24:02+08:00] grpo-8b-2f >> (SGLangEngine pid=31) [2026-03-18 08:24:01 TP7] hit",
        "hit",
        Identity(None, None, 31, "SGLangEngine"),
    ),
    ("(VllmWorker rank=3 pid=8) ready", "ready", Identity(None, None, 8, "VllmWorker rank=3")),
    ("(A(b-0) pid=8, ) OSError: no", "OSError: no", Identity(None, None, 8, "A(b-0)")),
    (
        "(ActorWorker(infer-3) pid=8) OSError: no",
        "OSError: no",
        Identity(None, None, 8, "ActorWorker(infer-3)"),
    ),
    ("plain words: 12 of 13", "plain words: 12 of 13", Identity()),
    (
        'qwen-server  |   File "a.py", line 3, in f',
        '  File "a.py", line 3, in f',
        Identity(actor="qwen-server"),
    ),
    ("[sglang]     | ready", "ready", Identity(actor="sglang")),
    ("loss     | 0.25", "loss     | 0.25", Identity()),
    (
        "[2026-03-02 11:35:40,928] [INFO] [logging.py:96:log_dist] [Rank 2] step=10, skipped=0",
        "[Rank 2] step=10, skipped=0",
        Identity(rank=2),
    ),
    ("  | 21:33:46.932 | (Runner pid=7) boom", "boom", Identity(pid=7, actor="Runner")),
    ("| | (Runner pid=7) boom", "boom", Identity(pid=7, actor="Runner")),
    ("[1,3]<stderr>:    boom()", "    boom()", Identity(rank=3)),
    ("[1,mpirank:3,algo-2]<stdout>:boom", "boom", Identity(rank=3)),
    ("10.0.0.7: [rank5]: boom", "boom", Identity("10.0.0.7", 5)),
    ('worker-1:   File "a.py", line 3, in b', '  File "a.py", line 3, in b', Identity("worker-1")),
    ("gpu17.farm: sheep.WoolError: boom", "sheep.WoolError: boom", Identity("gpu17.farm")),
    ("Rank 3: Traceback (most recent call last):", "Traceback (most recent call last):", Identity(rank=3)),
    ("[pod/train-0/main] boom", "boom", Identity(actor="train-0")),
    ("train-0 main WoolError: boom", "WoolError: boom", Identity(actor="train-0")),
    ("epoch1: 0.31", "epoch1: 0.31", Identity()),
    ("torch.cuda.WoolError: boom", "torch.cuda.WoolError: boom", Identity()),
    ("Rank 3: 0.31", "Rank 3: 0.31", Identity()),
    ("| 12 | 0.31 | boom |", "| 12 | 0.31 | boom |", Identity()),
    ("Mar  4 05:06:07 farm-2 train.sh[42]: [rank3]: boom", "boom", Identity("farm-2", 3)),
    (
        'Mar 14 05:06:07 farm-2 python3[42]:   File "a.py", line 3',
        '  File "a.py", line 3',
        Identity("farm-2"),
    ),
    ("    [rank3]: boom", "boom", Identity(rank=3)),
    ("    (Runner pid=7)   boom", "  boom", Identity(pid=7, actor="Runner")),
    ('  12    File "a.py", line 3, in b', '  File "a.py", line 3, in b', Identity()),
    ("  13      return boom(x)", "    return boom(x)", Identity()),
    ("14\t[rank3]: WoolError: boom", "WoolError: boom", Identity(rank=3)),
    ("15 | Traceback (most recent call last):", "Traceback (most recent call last):", Identity()),
    ("16:sheep.WoolError: boom", "sheep.WoolError: boom", Identity()),
    ("  10   0.5321  0.22", "  10   0.5321  0.22", Identity()),
    ("  10      boom", "  10      boom", Identity()),
]


@pytest.mark.parametrize(("raw", "text", "who"), SHAPES)
def test_wrapping_is_taken_off(raw: str, text: str, who: Identity) -> None:
    line = read_line(raw.encode(), 2026)
    assert (line.text, line.who) == (text, who)


def test_repetition_counts() -> None:
    assert read_line(b"(W pid=1) NCCL waits [repeated 14x across cluster]").repeated == 14
    more = b"boom [repeated 3x across cluster] (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0)"
    assert (read_line(more).text, read_line(more).repeated) == ("boom", 3)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("2026-06-27 11:23:52,209 x", 1782559432.209),
        ("[2026-06-27 11:23:52] x", 1782559432.0),
        ("2026-06-27T13:23:52.5+02:00 x", 1782559432.5),
        ("2026-06-27T11:23:52Z x", 1782559432.0),
        ("【2026-06-27 11:23:52】(Policy pid=1) x", 1782559432.0),
        ("[E627 11:23:52.209000000 a.cpp:1] x", 1782559432.209),
        ("W0627 11:23:52.209000 4711 torch/run.py:793] x", 1782559432.209),
        ("INFO 06-27 11:23:52 [core.py:5] x", 1782559432.0),
        ("[2026-06-27 11:23:52 TP3] x", 1782559432.0),
        ("20260627-11:23:52.209 x", 1782559432.209),
        ("1782559432.209 x", 1782559432.209),
        ("Jun 27 11:23:52 x", 1782559432.0),
        ("[11:23:52] x", None),
        ("E99 x", None),
    ],
)
def test_times_of_common_shapes(raw: str, seconds: float | None) -> None:
    line = read_line(raw.encode(), 2026)
    assert line.time == (None if seconds is None else pytest.approx(seconds))
    assert line.text.endswith("x")


def test_a_date_without_a_year_needs_one() -> None:
    assert read_line(b"[E627 11:23:52.2 a.cpp:1] x").time is None


def test_a_longer_line_is_cut() -> None:
    assert len(read_line(b"a" * (10 * LONGEST)).text) == LONGEST


@given(st.text(max_size=300))
def test_any_text_is_taken_apart(text: str) -> None:
    line = read_line(text.encode("utf-8", "surrogatepass"), 2026)
    assert line.repeated >= 0
    assert len(line.text) <= len(text) + 3


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_apart(raw: bytes) -> None:
    read_line(raw, None)


@given(
    st.lists(
        st.sampled_from(
            [
                "(A pid=1) ",
                "[rank1]:",
                "[",
                "(",
                "> ",
                "2026-06-27 ",
                "11:23:52",
                "[E627 ",
                "\r",
                "\x1b[0m",
                "0: ",
                "x",
                "]",
            ]
        ),
        max_size=60,
    )
)
def test_what_is_left_stands_in_the_line(parts: list[str]) -> None:
    raw = "".join(parts)
    bare = raw.replace("\x1b[0m", "").replace("\0", "")
    assert read_line(raw.encode()).text in bare


@pytest.mark.parametrize(
    "piece", ["[", "(", "(A pid=", "> ", "2026-", "[rank", "\x1b[", "\r", "`", " ", "[repeated "]
)
def test_hostile_lines_end(piece: str) -> None:
    assert read_line((piece * 20000).encode()).text is not None


def test_json_with_a_number_for_its_time() -> None:
    line = read_line(b'{"label": "A", "message": "a worker died", "timestamp": 1795309582}')
    assert (line.text, line.time) == ("a worker died", 1795309582.0)
    assert read_line(b'{"message": "step 3", "timestamp": 12}').time is None


def test_a_level_between_dashes_without_a_name() -> None:
    assert read_line(b"2026-11-22 00:51:23,170 - INFO - step 3/12 loss 6.9").text == "step 3/12 loss 6.9"


def test_json_with_its_error_in_a_field_of_its_own() -> None:
    line = (
        b'{"level":"error","ts":"2026-05-01T10:00:00Z","msg":"failed to create Job","error":"it is invalid"}'
    )
    assert read_line(line).text == "failed to create Job: it is invalid"
    traced = b'{"message": "step failed", "exc_info": "Traceback:\\n  File 1\\nZooError: no neck\\n"}'
    assert read_line(traced).text == "step failed: ZooError: no neck"


@pytest.mark.parametrize("key", ["log", "msg", "Body", "MESSAGE"])
def test_a_line_of_json_is_what_it_carries(key: str) -> None:
    raw = json.dumps({"severity": "ERROR", key: "RuntimeError: NCCL error"}).encode()
    assert read_line(raw).text == "RuntimeError: NCCL error"


@pytest.mark.parametrize(
    "head",
    [
        "[2026-05-16, 16:39:51 UTC] {subprocess.py:93} INFO - ",
        "2026-05-16 16:39:51.208 | ERROR    | __main__:main:12 - ",
        "ERROR 2026-05-16T16:39:51.208123Z [resource.labels.containerName: pytorch] ",
    ],
)
def test_what_schedulers_and_clouds_put_before_a_line(head: str) -> None:
    anatomy = read_line(f'{head}  File "train.py", line 3, in main'.encode())
    assert anatomy.text == '  File "train.py", line 3, in main'
    assert anatomy.time is not None and int(anatomy.time) == 1778949591
