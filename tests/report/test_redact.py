import pytest

from rldoctor.report.redact import HIDDEN, redact, redact_all


@pytest.mark.parametrize(
    "text",
    [
        "export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567",
        "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz",
        '--runtime-env-json=\'{"env_vars": {"HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz"}}\'',
        "http://runner:s3cretpass@10.0.0.7:3128/simple",
        "Authorization: Bearer abcdefghijklmnop.qrstuvwxyz",
        "openai key sk-proj-abcdefghijklmnopqrstuv",
        "mysql_password: hunter2hunter2",
        "wandb login 0123456789abcdef0123456789abcdef01234567",
        "huggingface-cli login --token 0123456789abcdef0123",
        "python serve.py --api-key 0123456789abcdef0123 --port 8000",
        "GET https://bucket.s3.amazonaws.com/x?X-Amz-Signature=0123456789abcdef&y=1",
        "https://acc.blob.core.windows.net/c?sv=1&sig=0123456789abcdef%2B",
        "DefaultEndpointsProtocol=https;AccountKey=0123456789abcdef0123456789==",
        "post to https://hooks.slack.com/services/T0/B0/0123456789abcdef",
        "git clone https://0123456789abcdef0123@github.com/me/private",
        "-----BEGIN RSA PRIVATE KEY-----\n0123456789abcdef",
        "Cookie: session=0123456789abcdef",
        "key AIza0123456789abcdef0123456789abcdef0123",
        "failed with X-Auth-Token: '0123456789abcdef'",
        "DB_PASS=hunter2hunter2",
        "sshpass -p hunter2hunter2 ssh root@10.0.0.2",
        "MODELSCOPE ms-01234567-89ab-cdef-0123-0123456789ab",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    shown = redact(text)
    assert HIDDEN in shown
    for secret in ("0123456789abcdef", "hf_abc", "s3cretpass", "abcdefghijklmnop", "hunter2"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "--max-tokens-per-gpu 9216",
        "actor.max_token_len_per_gpu=16384",
        "rollout.stop_token_ids=[151645]",
        "pad_token=<|endoftext|>",
        "export HF_TOKEN=$MY_TOKEN",
        "api_key: null",
        "http://10.0.0.7:8000/get_model_info",
        "tokenizer: /models/qwen/tokenizer.json",
        "--max-new-tokens 1024 --tokenizer-path /models/qwen/tokenizer-of-some-length",
        "--token-budget 1234567890123456789",
        "https://github.com/verl-project/verl/issues/1158?q=token",
        "ssh me@10.0.0.7",
        "--eos-token <|im_end|>",
        "one_pass: 123456 tokens, forward_pass=0.123456",
    ],
)
def test_settings_that_only_sound_alike_stay(text: str) -> None:
    assert redact(text) == text


def test_values_under_secret_keys_are_hidden_in_nested_data() -> None:
    shown = redact_all({"env.WANDB_API_KEY": "abcdef123456", "edits": [{"new": "HF_TOKEN=hf_" + "a" * 30}]})
    assert shown == {"env.WANDB_API_KEY": HIDDEN, "edits": [{"new": f"HF_TOKEN={HIDDEN}"}]}


def test_the_name_of_an_exception_is_no_secrets_name() -> None:
    told = "botocore.exceptions.NoCredentialsError: Unable to locate credentials"
    assert redact(told) == told
    assert redact("credentials_error_key: hunter2hunter2") != "credentials_error_key: hunter2hunter2"
