"""One network's neurons in the order of another's."""
