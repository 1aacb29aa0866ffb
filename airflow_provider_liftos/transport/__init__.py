"""HTTP with manners: limits, breaker, retries, redaction; one flow for workers and triggerers."""
