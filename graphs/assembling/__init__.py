"""From a recording to a topology."""
