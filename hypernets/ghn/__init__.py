"""Graph hypernetworks: from the computation graph of an architecture to all of its parameters in one forward pass.

An `Architecture` is what one reads of a network: primitives, shapes, path lengths, and the `Target`s it has to write.
"""
