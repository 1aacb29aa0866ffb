"""Raw rows into unified ones: set-based SQL, money, calendar."""
