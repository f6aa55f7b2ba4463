"""Segmentation by words: pictures and concepts in, masks out.

Importing this package, :mod:`.request`, :mod:`.installed` and :mod:`.vocabulary` needs no torch.
"""
