"""Which model of scikit-learn reads its own 8 x 8 digits best? A study that trains no network.

Run: python -m studies.run docs/studies/digit_models.py
"""

from search_spaces.space import Choice, Float, Int, Space, When
from studies.spec import StudySpec


class Digits:
    """A classifier of the 1,797 digits, of which 400 are kept for the test."""

    def prepare(self):
        """Load the images and put those of the test aside."""
        import hashlib

        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        self.images, self.test_images, self.labels, self.test_labels = train_test_split(
            images / 16, labels, test_size=400, random_state=0, stratify=labels
        )
        return hashlib.sha256(images.tobytes()).hexdigest()[:16]

    def __call__(self, params, *, seed):
        """Fit a model; the seed also decides which 400 images validate it.

        A support vector machine or a nearest neighbour has no randomness of its own. With other
        images for each seed the intervals hold what differs from one set of images to the next.
        """
        from sklearn.model_selection import train_test_split

        train, validation, labels, validation_labels = train_test_split(
            self.images,
            self.labels,
            test_size=400,
            random_state=seed % 2**32,
            stratify=self.labels,
        )
        self.model = self.made(params, seed % 2**32).fit(train, labels)
        return {"val_accuracy": self.model.score(validation, validation_labels)}

    def made(self, params, seed):
        """Return the model of ``params``."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC

        if params["model"] == "forest":
            return RandomForestClassifier(
                params["trees"], max_features=params["features"], random_state=seed
            )
        if params["model"] == "logistic":
            return LogisticRegression(C=params["logistic.C"], max_iter=1000)
        if params["model"] == "neighbours":
            return KNeighborsClassifier(params["k"], weights=params["weights"])
        return SVC(C=params["svm.C"], gamma=params["gamma"])

    def test(self, params, seed, folder):
        """Fit the same model again and judge it by the test images."""
        self(params, seed=seed)
        return {"accuracy": self.model.score(self.test_images, self.test_labels)}

    def describe(self):
        """Return the version that decides what a model computes."""
        import sklearn

        return {"scikit-learn": sklearn.__version__}


STUDY = StudySpec(
    name="digit_models",
    goal="Which model of scikit-learn reads its own 8 x 8 digits best, when each is tuned?",
    space=Space(
        {
            "model": Choice(("logistic", "forest", "neighbours", "svm")),
            "logistic.C": Float(1e-2, 1e2, log=True, when=When("model", ("logistic",))),
            "trees": Int(20, 200, log=True, when=When("model", ("forest",))),
            "features": Float(0.03, 0.5, log=True, when=When("model", ("forest",))),
            "k": Int(1, 15, when=When("model", ("neighbours",))),
            "weights": Choice(("uniform", "distance"), when=When("model", ("neighbours",))),
            "svm.C": Float(0.1, 100.0, log=True, when=When("model", ("svm",))),
            "gamma": Float(1e-3, 1.0, log=True, when=When("model", ("svm",))),
        }
    ),
    scientific="model",
    # Those of scikit-learn; gamma is its "scale" for these images.
    defaults={
        "logistic": {"logistic.C": 1.0},
        "forest": {"trees": 100, "features": 0.125},
        "neighbours": {"k": 5, "weights": "uniform"},
        "svm": {"svm.C": 1.0, "gamma": 0.11},
    },
    baseline="logistic",
    objective=Digits,
    trials=48,
    trials_per_choice=10,
    confirm_seeds=8,
)
