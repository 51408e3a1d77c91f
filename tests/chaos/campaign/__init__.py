"""The chaos campaign: a real installation under constant load, faults in numbers, and what was lost or doubled.

Reading order: ``load`` (what runs), ``effects`` (what it wrote down outside the system), ``oracles`` (what must be true
of it), ``faults/`` (what is done to it, one small function each), ``campaign`` (one fault after the other).
"""
