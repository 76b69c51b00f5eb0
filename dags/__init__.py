"""What runs when: thin DAG files of operators, schedules and assets. The work is in ``spark_jobs`` and ``models``."""
