"""Names of the user attributes that a study keeps in its storage."""

SEED = "seed"


ATTEMPT = "attempt"


METRICS = "metrics"


SECONDS = "seconds"


FAILURE = "failure"


FAILURES = "failures"


ORDER = "order"


OWNER = "supervisor"


RESERVED = frozenset({SEED, ATTEMPT, METRICS, SECONDS, FAILURE, FAILURES, ORDER, OWNER})
"""User attributes of a trial that the book writes itself."""


FORKED = "forked"
"""The study's user attribute that says where it comes from."""


LEASE = "lease"
"""The study's user attribute that holds the lease, or None."""


PART = "part:"
"""How the study's user attribute with the lease of one of several supervisors begins."""


FINGERPRINT = "fingerprint"
"""The study's user attribute that holds ``{"hash": ..., "values": ...}``."""


RECORD = "plan"
"""The study's user attribute that holds what ``plan_attribute`` gives."""


BUDGET = "budget"
"""The study's user attribute with trials and confirm seeds of the last run, as in ``Plan``."""


CODE = "code"
"""Name of the hashes among the values of a fingerprint; absent where nothing is a user's own."""


IDENTITY = "identity"
"""The study's user attribute that holds it."""


SEARCH_ORDER = "order"
"""User attribute of the study: the batch order that it was begun with; None: asynchronous."""


STOPPED = "stopped"
"""The study's user attribute that says why its search was ended early, or None."""


ENQUEUED = "enqueued"
"""Attribute of such a trial: the file it comes from. Of the study: all that were enqueued."""


IMPORTED = "imported"
"""User attribute of the study: the results. Of a trial that a sampler sees: file and line."""


ENTRY = "entry"
"""User attribute of a confirm trial: which entry of the list it is."""


SENTINEL = "sentinel"
"""User attribute of a trial that runs unpruned."""


WOULD_PRUNE = "would_prune"
"""System attribute of a sentinel: the step at which the pruner would have stopped it."""


POPULATION = "population"
"""User attribute of the study: the record."""


SCHEDULE = "schedule"
"""User attribute of a member that is over: its hyperparameters from which epoch on, and whose state
it went on from: ``[{"epoch": 0, "params": …}, {"epoch": 2, "source": 5, "params": …}]``."""


LINEAGE = "lineage"
"""User attribute of a member that is over and copied another: the one training that it is."""


CONFIRM = ".confirm"
"""Ending of the name of a study's confirmation in the storage."""


RUNS = "runs"
"""User attribute of the study: for each run the number of its first event, and its settings."""


ENVIRONMENT = "environment"
"""The confirm study's user attribute that holds versions and data hashes."""


TEST = "test"
"""The confirm study's user attribute that holds the record."""


FOLDERS = "folders"
"""The search's user attribute with the folders that the study has run in."""


RACE = "race"
"""The confirm study's user attribute that holds which configurations the race stopped.

``{identity of the params: seeds}``; see ``studies/search/enqueued.py::identity``.
"""


CARRIED = "carried"
"""User attribute of a trial that was taken over: ``{"study": name, "trial": number}``."""


TEST_DATA = "test_data"
"""The study's user attribute with the fingerprint of data whose test files came after its begin."""
