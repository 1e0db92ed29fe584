"""Kubernetes objects without a cluster's client, in four storeys, each importing only those below it.

`sources` (shells) find objects and follow them; `resolution` (pure) combines them: overlays, endpoints of pools and
Services, base models; `reading` (pure) makes objects of text; `objects` (pure) are the values.
"""
