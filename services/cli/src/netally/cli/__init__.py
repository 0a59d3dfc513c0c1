"""The ``netally`` command. In: settings and a person's words. Out: running services, plain answers, exit codes.

Services are started as processes (``python -m netally.<service>``) and never imported.
"""
