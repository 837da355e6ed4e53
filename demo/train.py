"""Trains a classifier of hand-written digits. Knows nothing of aseptic but three variables."""

import json
import os
from pathlib import Path

import joblib
import pandas
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

params = json.loads(Path(os.environ["ASEPTIC_PARAMS"]).read_text())
out = Path(os.environ["ASEPTIC_OUT"])

rows = pandas.concat([pandas.read_csv(path) for path in sorted(Path("/data/train").glob("*.csv"))])
pixels, digits = rows.drop(columns="digit"), rows["digit"]

model = SVC(C=params["C"], gamma=params["gamma"])
accuracies = cross_val_score(model, pixels, digits, cv=5)
accuracy = accuracies.mean()
model.fit(pixels, digits)

with open(os.environ["ASEPTIC_METRICS"], "a") as metrics:
    for fold, of_fold in enumerate(accuracies):
        print(json.dumps({"step": fold, "accuracy": of_fold, "loss": 1 - of_fold}), file=metrics)

joblib.dump(model, out / "model.joblib")
(out / "metrics.json").write_text(json.dumps({"rows": len(rows), "accuracy": round(accuracy, 4)}) + "\n")
print(f"trained on {len(rows)} digits; accuracy in cross-validation: {accuracy:.4f}")
