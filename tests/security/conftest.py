from __future__ import annotations

from tests.hooks.conftest import liftos
from tests.platforms.conftest import make, prepared, sandbox, still, world, worlds

__all__ = ["liftos", "make", "prepared", "sandbox", "still", "world", "worlds"]
