"""What a command of SGLang may say: the flags of its server."""

from rldoctor.dialects.grammar import server

build = server("sglang", "server")
