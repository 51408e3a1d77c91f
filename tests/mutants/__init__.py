"""Mutation of the guards: each one is taken away, alone, and the tests that are there for it must turn red.

``table`` lists the mutants, ``run`` applies one to a copy of the tree and runs its tests. ``make mutants`` runs all.
"""
