"""Pictures on disk: of a service's batches and of anybody's arrays; its doors are ``save``, ``sink`` and ``viewing``.

A still is chosen (``choice``), composed where it is a mosaic (``mosaic``), coded (``coding``) and put on the disk
(``files``) by one of several ways (``writers``, ``processes``), in chunks.
"""
