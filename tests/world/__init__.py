"""A simulated world: worker, archiver, producers and publish on a store in memory, with a clock of its own, and faults.

Every command to the store and to the tables is a point at which another part may go on, a connection may break, or a process may
die. A seed decides everything, so that what it finds can be had again: ``python -m tests.world SEED`` prints its schedule.

    clock     the world's time, and who runs when
    wire      connections to the store: fakeredis behind faults
    tables    Delta tables in memory, with deltalake's conflicts
    parts     the processes
    run       one seed, from its schedule to the oracle's words
"""
