from __future__ import annotations

from tests.engine.conftest import harness, own_harness, own_sandbox, prepared, sandbox, still

__all__ = ["harness", "own_harness", "own_sandbox", "prepared", "sandbox", "still"]
