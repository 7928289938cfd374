"""The page of `promptmlr serve`: recognition and labelling in a browser, and the same as a small service.

server.py       a socket, uvicorn, and the end of both
guard.py        who may ask, how much and how long: before anything else sees a request
app.py          what can be asked
uploads.py      images out of a request
worker.py       one thread in which the model runs, and the places to wait for it
served.py       a run as the service sees it
labelling.py    the labelling queue: pages.py what is asked at once, modes.py which cells, leases.py who has them
asking.py       what is labelled, and by whose proposals: proposals.py a ranking, learning.py the next one
keeping.py      where answers go: in_table.py a CSV (label_file.py), in_journal.py what is written first (journal.py)
static/         the page
"""
