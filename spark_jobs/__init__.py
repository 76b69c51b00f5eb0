"""The batch layer: one module a job, each with a ``main()`` and pure DataFrame functions beside it.

ingest             files and the archived log → Delta ``events`` and ``quarantine``
profiles           ``events`` → Delta ``profiles``, the snapshot (V, T)
publish            ``profiles`` → the store
training_sessions  ``events`` → Delta ``training_sessions``
run                several of them in one Spark application
"""
