"""Dead letters, tried again when somebody starts this: given-up slices and refused rows.

Choose by platform, kind or ids, or run it as it is for the newest hundred; ``airflow liftos
dead-letters replay`` starts it too. Each goes the ordinary way to publish, and is closed by it.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_liftos.operators.replay import (
    REPLAY_PARAMS,
    LiftosChooseLettersOperator,
    LiftosReplayOperator,
)

with DAG("liftos_replay_dead_letters", schedule=None, params=REPLAY_PARAMS, tags=["liftos"]):
    chosen = LiftosChooseLettersOperator(task_id="choose")
    LiftosReplayOperator.partial(task_id="replay", retries=2).expand(letters=chosen.output)
