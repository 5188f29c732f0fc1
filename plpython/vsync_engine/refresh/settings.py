"""What a worker is told by vsync.settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of the installation, read once a call of work(); vsync.settings says what they mean and their bounds."""

    threads: int
    batch_tokens: int
    memory_limit_mb: int
    claim_limit: int
    lease_seconds: int
    poll_ms: int
    document_timeout_ms: int
    rule_timeout_ms: int
    share_models: int
