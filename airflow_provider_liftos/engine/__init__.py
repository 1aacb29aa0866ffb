"""Plan, submit, wait, fetch, split: the engine of extraction, killable at any moment."""
