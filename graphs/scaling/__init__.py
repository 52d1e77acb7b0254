"""Scale and sign symmetries: found by derivatives, put to the test, applied."""
