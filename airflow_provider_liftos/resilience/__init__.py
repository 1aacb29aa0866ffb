"""Asking politely: limits, the circuit breaker and pauses between attempts."""
