"""Which model of scikit-learn reads its own 8 x 8 digits best?"""

from typing import ClassVar

from search_spaces.space import Choice, Float, Int, Space, When
from studies.spec import StudySpec


class Digits:
    """A classifier of the digits; 300 images are kept for the test."""

    def prepare(self):
        import hashlib

        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        rest, self.test_x, rest_y, self.test_y = train_test_split(
            images / 16, labels, test_size=300, random_state=0, stratify=labels
        )
        self.train_x, self.val_x, self.train_y, self.val_y = train_test_split(
            rest, rest_y, test_size=300, random_state=1, stratify=rest_y
        )
        return hashlib.sha256(images.tobytes()).hexdigest()[:16]

    def __call__(self, params, *, seed):
        self.model = self.made(params, seed % 2**32).fit(self.train_x, self.train_y)
        return {"val_accuracy": self.model.score(self.val_x, self.val_y)}

    def made(self, params, seed):
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import SGDClassifier
        from sklearn.svm import SVC

        if params["model"] == "forest":
            return RandomForestClassifier(params["trees"], random_state=seed)
        if params["model"] == "svm":
            return SVC(C=params["C"], random_state=seed)
        return SGDClassifier("log_loss", alpha=params["alpha"], random_state=seed)

    def test(self, params, seed, folder):
        self(params, seed=seed)
        return {"accuracy": self.model.score(self.test_x, self.test_y)}

    def describe(self):
        import sklearn

        return {"sklearn": sklearn.__version__}

    __test__: ClassVar[bool] = False


STUDY = StudySpec(
    name="sklearn_digits",
    goal="Which model of scikit-learn reads its own digits best?",
    space=Space(
        {
            "model": Choice(("forest", "logistic", "svm")),
            "trees": Int(5, 50, when=When("model", ("forest",))),
            "alpha": Float(1e-6, 1e-1, log=True, when=When("model", ("logistic",))),
            "C": Float(0.1, 100.0, log=True, when=When("model", ("svm",))),
        }
    ),
    scientific="model",
    defaults={"forest": {"trees": 10}, "logistic": {"alpha": 1e-4}, "svm": {"C": 1.0}},
    baseline="forest",
    objective=Digits,
    trials=9,
    trials_per_choice=3,
)
