"""Fuzzing of every parser of the agent: ``make fuzz``; twenty seconds of it belong to the tests."""
