"""The architecture space of DeepNets-1M (https://arxiv.org/abs/2110.13100), with which graph hypernetworks are trained.

A `genotype` says what a cell does, a `plan` what a whole network is, `network` builds it, `walking` goes through its
operations without torch, of which `recipe_graph` makes the computation graph, `space` draws, `hdf5` stores.
"""
