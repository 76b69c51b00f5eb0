"""The intent model: data set, network, training, calibration, export, evaluation, registry.

``train`` makes a candidate from the table ``training_sessions``, ``evaluate`` scores the artifact as it will be served,
``register`` versions it and lets it through the gate or says why not. The realtime layer sees the artifact only.
"""
