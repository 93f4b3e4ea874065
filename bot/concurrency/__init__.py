"""Small tools for concurrent code. Adapters and services share them.

Start with the one you need: `single_flight.py` shares one run of work, `waiting.py` waits for work or a pause,
`background.py` owns tasks that outlive their starter and runs work alongside a block, `backoff.py` grows pauses,
`window.py` counts within a sliding time window, `turns.py` gives the event loop turns during long work,
`kept_results.py` keeps results of pure work. They must not know what they are used for.
"""
