"""Which optimizer trains the small CNN best on Fashion-MNIST, each with its own learning rate?

Run: python -m studies.run fashion_optim_search

The files are downloaded. On Debian the package dataset-fashion-mnist has them, too:
--set data.root=/usr/share/datasets/fashion-mnist
"""

import dataclasses

from studies.catalog import optim_search
from studies.catalog._shared import SCREENED

STUDY = dataclasses.replace(
    optim_search.STUDY,
    name="fashion_optim_search",
    goal="Which optimizer trains the small CNN to the best validation accuracy on Fashion-MNIST in "
    "a fixed number of epochs, when each has its own learning rate, weight decay and schedule?",
    minutes=28,
    # Clothes are neither turned nor sheared as handwriting is; shifts stay.
    fixed={
        "data.name": "fashion_mnist",
        "model.name": "net",
        "batch_size": 64,
        "epochs": 5,
        "label_smoothing": 0.1,
        "augment.shift": 0.05,
        "augment.scale": 0.05,
    }
    | SCREENED,
    trials=54,
    confirm_seeds=4,
)
