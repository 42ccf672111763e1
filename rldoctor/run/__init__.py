"""``rldoctor run``: plan, launch, watch, and with --autotune heal and tune. Only it owns processes.

``command`` is the way in, ``supervise`` the story; ``journal`` and ``history`` are what survives a kill -9.
"""
