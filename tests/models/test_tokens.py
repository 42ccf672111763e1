import json
from pathlib import Path
from typing import Any

from rldoctor.models.tokens import StopTokens, stop_token_ids

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
QWEN_TOKENS = {
    "151643": {"content": "<|endoftext|>", "special": True},
    "151644": {"content": "<|im_start|>", "special": True},
    "151645": {"content": "<|im_end|>", "special": True},
}


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_s10_a_base_model_whose_template_ends_with_another_token(tmp_path: Path) -> None:
    write(
        tmp_path,
        generation_config={"eos_token_id": 151643, "max_new_tokens": 2048},
        tokenizer_config={
            "added_tokens_decoder": QWEN_TOKENS,
            "chat_template": CHATML,
            "eos_token": "<|endoftext|>",
        },
    )
    found = stop_token_ids(tmp_path)
    assert found == StopTokens((151643,), "generation_config.json", (151645,), has_template=True)
    assert found.missing == (151645,)


def test_s10_an_instruct_model_stops_at_the_turn_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        generation_config={"eos_token_id": [151645, 151643]},
        config={"eos_token_id": 151645},
        tokenizer_config={
            "added_tokens_decoder": QWEN_TOKENS,
            "chat_template": CHATML,
            "eos_token": "<|im_end|>",
        },
    )
    found = stop_token_ids(tmp_path)
    assert (found.ids, found.chat_end_ids, found.missing) == ((151645, 151643), (151645,), ())


def test_config_json_counts_where_generation_config_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, generation_config={"do_sample": True}, config={"text_config": {"eos_token_id": [7, 9]}})
    assert stop_token_ids(tmp_path) == StopTokens((7, 9), "config.json")


def test_the_tokenizer_is_the_last_resort(tmp_path: Path) -> None:
    write(
        tmp_path,
        tokenizer_config={"eos_token": {"content": "</s>", "__type": "AddedToken"}},
        tokenizer={"added_tokens": [{"id": 2, "content": "</s>"}, {"id": "3", "content": 4}, None]},
    )
    assert stop_token_ids(tmp_path) == StopTokens((2,), "tokenizer_config.json", has_template=False)


def test_a_template_in_its_own_file_and_one_that_names_the_variable(tmp_path: Path) -> None:
    write(
        tmp_path,
        config={"eos_token_id": 128001},
        added_tokens={"<|eot_id|>": 128009, "<|end_of_text|>": 128001},
        tokenizer_config={"eos_token": "<|end_of_text|>"},
    )
    (tmp_path / "chat_template.jinja").write_text("{{ '<|eot_id|>' }}")
    assert stop_token_ids(tmp_path).missing == (128009,)
    (tmp_path / "chat_template.jinja").write_text("{{ message.content + eos_token }}")
    assert stop_token_ids(tmp_path).chat_end_ids == (128001,)


def test_several_named_templates_the_default_counts(tmp_path: Path) -> None:
    templates = [{"name": "tool_use", "template": "<|eot_id|>"}, {"name": "default", "template": CHATML}]
    write(
        tmp_path,
        config={"eos_token_id": 1},
        tokenizer_config={"added_tokens_decoder": QWEN_TOKENS, "chat_template": templates},
    )
    assert stop_token_ids(tmp_path).chat_end_ids == (151645,)


def test_no_folder_and_no_files_are_empty(tmp_path: Path) -> None:
    assert stop_token_ids(tmp_path / "nowhere") == StopTokens()
    assert stop_token_ids(tmp_path) == StopTokens()


def test_broken_and_lying_files_are_noted_and_the_rest_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        generation_config='{"eos_token_id": ',
        config={"eos_token_id": ["x", True, -1, 2.5, 5]},
        tokenizer_config={"added_tokens_decoder": {"a": {"content": 1}, "7": None}, "eos_token": 3},
    )
    found = stop_token_ids(tmp_path)
    assert (found.ids, found.source) == ((5,), "config.json")
    assert len(found.notes) == 1
    assert "generation_config.json: not valid JSON" in found.notes[0]
