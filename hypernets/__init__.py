"""Networks that write networks. Nothing is exported yet: graph hypernetworks come with their own release."""
