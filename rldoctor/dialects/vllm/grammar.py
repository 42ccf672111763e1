"""What a command of vLLM may say: the flags of its server."""

from rldoctor.dialects.grammar import server

build = server("vllm", "serve")
